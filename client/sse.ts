/** The SSE rail: over fetch, since EventSource hides the status, cannot send headers and never stops reading. */
import { createParser } from 'eventsource-parser'
import { ClientError, errorOfResponse } from './errors.ts'
import { Probe } from './probe.ts'
import { endOf, eventsUrl, expectType, type Message, parseMessage, type Rail } from './rail.ts'
import { Watchdog } from './watchdog.ts'

/** Characters of one unfinished event: twice what the server lets an event be. */
const EVENT_CHARS = 2 * 1024 * 1024

export const sse: Rail = async function* (request) {
  const { fetch, signal } = request
  const watchdog = new Watchdog(request.start.heartbeatMs)
  const headers = { ...request.headers, accept: 'text/event-stream' }
  const sentAt = Date.now()
  const response = await watchdog.wait(fetch(eventsUrl(request), { headers, cache: 'no-store', signal }))
  if (response.status === 204) return yield endOf(request)
  if (!response.ok) throw await watchdog.wait(errorOfResponse(response))
  expectType(response, 'text/event-stream')

  const messages: Message[] = []
  const parser = createParser({
    maxBufferSize: EVENT_CHARS,
    onEvent: ({ data }) => {
      if (data !== '') messages.push(parseMessage(data))
    },
    onRetry: request.onRetry,
    onError: error => {
      if (error.type === 'max-buffer-size-exceeded') throw new ClientError('protocol-error', error.message)
    },
  })
  const decoder = new TextDecoder()
  const reader = response.body!.getReader()
  const probe = new Probe(request.onBuffering)
  try {
    for (;;) {
      const { done, value } = await watchdog.wait(reader.read())
      if (done) return
      const arrivedAt = Date.now()
      request.onBytes(value.byteLength)
      parser.feed(decoder.decode(value, { stream: true }))
      const came = messages.splice(0)
      for (const message of came) {
        watchdog.heard(message)
        probe.heard(message, arrivedAt)
        if (message.kind === 'control' && message.control.type === 'hello') {
          request.onClock(sentAt, message.control.serverTime)
        }
      }
      yield* came
      // who took long over them has not been reading: that the rest came meanwhile says nothing of the way
      if (Date.now() - arrivedAt > 100) probe.stop()
    }
  } finally {
    probe.stop()
  }
}
