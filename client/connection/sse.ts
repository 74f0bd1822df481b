/** The SSE transport. It uses fetch: EventSource hides the status, cannot send headers and never stops reading. */
import { createParser } from 'eventsource-parser'
import { ClientError, errorOfResponse } from '../errors.ts'
import {
  endOf,
  eventsUrl,
  expectType,
  type Message,
  parseMessage,
  type TransportStream,
} from './transport.ts'
import { Watchdog } from './watchdog.ts'

/** Most characters of one unfinished event: twice the server's limit. */
const EVENT_CHARS = 2 * 1024 * 1024

/** The server's second time-stamped message follows `hello` within a second; without it for this long, a proxy buffers. */
const SECOND_MESSAGE_MS = 3000

export const sse: TransportStream = async function* (request) {
  const { fetch, signal } = request
  const watchdog = new Watchdog(request.start.heartbeatMs)
  const headers = { ...request.credential.headers, accept: 'text/event-stream' }
  const sentAt = Date.now()
  const response = await watchdog.wait(
    fetch(eventsUrl(request), { headers, cache: 'no-store', signal } as RequestInit),
  )
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
  if (!response.body) throw new TypeError('This fetch has no streams: use another transport')
  const reader = response.body.getReader()
  const detector = new BufferingDetector(request.onBuffering)
  try {
    for (;;) {
      const { done, value } = await watchdog.wait(reader.read())
      if (done) return
      const arrivedAt = Date.now()
      request.onBytes(value.byteLength)
      parser.feed(decoder.decode(value, { stream: true }))
      const received = messages.splice(0)
      for (const message of received) {
        watchdog.learn(message)
        detector.observe(message, arrivedAt)
        if (message.kind === 'control' && message.control.type === 'hello') {
          request.onClock(sentAt, message.control.serverTime)
        }
      }
      yield* received
      // If the consumer was slow, the rest piled up locally; that says nothing about proxies.
      if (Date.now() - arrivedAt > 100) detector.stop()
    }
  } finally {
    detector.stop()
  }
}

/**
 * Distinguishes a buffering proxy from a slow network by the first two time-stamped messages, `hello` and `ping`. A proxy
 * buffers when they were stamped apart but arrive together, or when the second one does not arrive.
 */
class BufferingDetector {
  readonly #onBuffering: () => void
  #helloStamp: number | undefined
  #helloArrivedAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(onBuffering: () => void) {
    this.#onBuffering = onBuffering
  }

  /** @param arrivedAt when the bytes arrived, by this machine's clock */
  observe(message: Message, arrivedAt: number): void {
    if (message.kind !== 'control') return
    const { control } = message
    if (control.type === 'hello') {
      this.#helloStamp = control.serverTime
      this.#helloArrivedAt = arrivedAt
      this.#timer = setTimeout(this.#onBuffering, SECOND_MESSAGE_MS)
    } else if (control.type === 'ping' && this.#helloStamp !== undefined) {
      const sentApartMs = control.time - this.#helloStamp
      if (sentApartMs >= 200 && arrivedAt - this.#helloArrivedAt < sentApartMs / 4) this.#onBuffering()
      this.stop()
    }
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#helloStamp = undefined
  }
}
