/** The long-poll transport, for networks that pass neither streams nor upgrades. */
import { ClientError, errorOfResponse } from '../errors.ts'
import { type Control, HEARTBEAT_MS, type TwinrailEvent, WAIT_MS } from '../protocol.ts'
import { endOf, eventsUrl, expectType, type TransportStream } from './transport.ts'
import { Watchdog } from './watchdog.ts'

interface Page {
  events: TwinrailEvent[]
  controls: Control[]
  next: string
  caughtUp: boolean
}

/** The long-poll transport. An empty page serves as the ping, so a request waits for one heartbeat at most. */
export const longPoll: TransportStream = async function* (request) {
  const { sessionId, start, fetch, signal } = request
  const watchdog = new Watchdog(start.heartbeatMs)
  const headers = { ...request.credential.headers, accept: 'application/json' }
  const longestWait = Math.min(start.heartbeatMs ?? HEARTBEAT_MS, WAIT_MS)
  let { after } = start
  let live = false
  // The first page is requested without a wait, to show at once that the transport works.
  for (let wait: number | undefined; ; wait = longestWait) {
    const address = eventsUrl(request, { after, wait })
    const response = await watchdog.wait(
      fetch(address, { headers, cache: 'no-store', signal } as RequestInit),
    )
    if (response.status === 204) return yield endOf(request)
    if (!response.ok) throw await watchdog.wait(errorOfResponse(response))
    expectType(response, 'application/json')

    const bytes = await watchdog.wait(response.arrayBuffer())
    request.onBytes(bytes.byteLength)
    const { events, controls, next, caughtUp } = pageOf(new TextDecoder().decode(bytes))
    for (const control of controls) {
      if (control.type === 'end') continue // yielded after the events
      if (control.type === 'reset') live = false
      yield { kind: 'control', control }
    }
    for (const event of events) yield { kind: 'event', event }
    if (caughtUp && !live) {
      live = true
      yield { kind: 'control', control: { type: 'caught-up', sessionId, offset: next } }
    }
    const end = controls.find(control => control.type === 'end')
    if (end) return yield { kind: 'control', control: end }
    after = next
  }
}

function pageOf(json: string): Page {
  try {
    const page = JSON.parse(json)
    if (Array.isArray(page?.events) && Array.isArray(page.controls) && typeof page.next === 'string')
      return page
  } catch {
    // Invalid JSON is reported below, as JSON of another shape is.
  }
  throw new ClientError('protocol-error', 'The server sent JSON that is not a page')
}
