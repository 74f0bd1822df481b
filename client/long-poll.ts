/** The long-poll rail: for networks that let neither streams nor upgrades through. */
import type { Control } from '../src/protocol/controls.ts'
import type { TwinrailEvent } from '../src/protocol/events.ts'
import { HEARTBEAT_MS, WAIT_MS } from '../src/protocol/limits.ts'
import { ClientError, errorOfResponse } from './errors.ts'
import { endOf, eventsUrl, expectType, type Rail } from './rail.ts'
import { Watchdog } from './watchdog.ts'

interface Page {
  events: TwinrailEvent[]
  controls: Control[]
  next: string
  caughtUp: boolean
}

/** An empty page is this rail's ping, so the heartbeat is how long the server may hold one back. */
export const longPoll: Rail = async function* (request) {
  const { sessionId, start, fetch, signal } = request
  const watchdog = new Watchdog(start.heartbeatMs)
  const headers = { ...request.headers, accept: 'application/json' }
  const longest = Math.min(start.heartbeatMs ?? HEARTBEAT_MS, WAIT_MS)
  let { after } = start
  let live = false
  // the first page comes at once, so that the rail is known to work
  for (let wait: number | undefined; ; wait = longest) {
    const address = eventsUrl(request, { after, wait })
    const response = await watchdog.wait(fetch(address, { headers, cache: 'no-store', signal }))
    if (response.status === 204) return yield endOf(request)
    if (!response.ok) throw await watchdog.wait(errorOfResponse(response))
    expectType(response, 'application/json')

    const bytes = await watchdog.wait(response.arrayBuffer())
    request.onBytes(bytes.byteLength)
    const { events, controls, next, caughtUp } = pageOf(new TextDecoder().decode(bytes))
    for (const control of controls) {
      if (control.type === 'end') continue // it stands after the events
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
    // told below, like JSON of another shape
  }
  throw new ClientError('protocol-error', 'The server sent something that is no page of events')
}
