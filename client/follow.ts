/** Follows a session over any rail, and comes back at the cursor whenever a connection ends before the stream does. */
import { HEARTBEAT_MS } from '../src/protocol/limits.ts'
import { type Backoff, backoffMs, sleep } from './backoff.ts'
import { Cursor } from './cursor.ts'
import { ClientError, errorOfClosing } from './errors.ts'
import { longPoll } from './long-poll.ts'
import type { Message, Rail, SocketConstructor, Start, Transport } from './rail.ts'
import { sse } from './sse.ts'
import { type FollowStatus, Progress } from './status.ts'
import { websocket } from './websocket.ts'

const rails: Record<Transport, Rail> = { sse, websocket, 'long-poll': longPoll }

export interface FollowOptions {
  /** Where the server is; in a page it may be relative. */
  url: string
  sessionId: string
  transport: Transport
  /** Start after this offset. @default from the earliest event that the log holds */
  after?: string | undefined
  /** Only this run's events; ends with the run. */
  run?: string | undefined
  /** What of the backlog comes, and folded or not. @default 'compact' */
  replay?: Start['replay']
  /** Start so many events before the head; `after` beats it. */
  last?: number | undefined
  /** What the server says something after, in ms; after 2.5 times as long a silent connection is given up. */
  heartbeatMs?: number | undefined
  /** Ends the following; it throws the signal's reason. */
  signal?: AbortSignal | undefined
  /** Sent with every request; a browser's WebSocket cannot. */
  headers?: Record<string, string> | undefined
  /** @default the global one */
  fetch?: typeof fetch | undefined
  /** @default the global one, if there is one */
  WebSocket?: SocketConstructor | undefined
  backoff?: Partial<Backoff> | undefined
  /** Called at every change of state and whenever bytes came. */
  onStatus?: ((status: FollowStatus) => void) | undefined
}

/**
 * Yields a session's events and control messages in order, each event once, reading on only when more is asked for:
 * a consumer that falls behind slows its own stream. Connections that break are replaced at the cursor, without end;
 * give a signal to give up. Returns after `end`.
 * @throws ClientError when the server refuses for good or does not speak the protocol
 */
export async function* follow(options: FollowOptions): AsyncGenerator<Message, void, undefined> {
  const { transport, run, signal, heartbeatMs = HEARTBEAT_MS } = options
  const cursor = new Cursor(options.after, run === undefined)
  const progress = new Progress(transport, options.onStatus)
  let failures = 0
  let retryMs = 0
  let fatal: unknown

  try {
    for (;;) {
      signal?.throwIfAborted()
      const connection = new AbortController()
      let error = new ClientError('connection-lost', 'The stream ended before it was over')
      progress.connecting()
      try {
        const messages = rails[transport]({
          url: options.url,
          sessionId: options.sessionId,
          start: {
            after: cursor.offset,
            run,
            replay: options.replay,
            last: options.last,
            heartbeatMs: options.heartbeatMs,
          },
          headers: options.headers ?? {},
          fetch: options.fetch ?? globalThis.fetch,
          WebSocket: options.WebSocket ?? globalThis.WebSocket,
          signal: signal ? AbortSignal.any([signal, connection.signal]) : connection.signal,
          onOpen: () => progress.open(),
          onBytes: count => progress.received(count),
          onRetry: ms => {
            retryMs = ms
          },
        })
        for await (const message of messages) {
          signal?.throwIfAborted() // what was read before the abort is not delivered after it
          if (!cursor.take(message)) continue
          if (message.kind === 'event') failures = 0
          yield message
          if (message.kind === 'event') continue
          if (message.control.type === 'end') return
          if (message.control.type === 'closing') throw errorOfClosing(message.control)
        }
      } catch (cause) {
        signal?.throwIfAborted()
        if (!(cause instanceof ClientError && cause.retryable)) throw cause
        error = cause
      } finally {
        connection.abort()
      }
      // events aside, only a connection that lasted proves itself: a server that dies at once is not to be hammered
      if (progress.openMs >= heartbeatMs) failures = 0
      const retryInMs = backoffMs(failures++, Math.max(retryMs, error.retryAfterMs ?? 0), options.backoff)
      progress.waiting(retryInMs, error)
      await sleep(retryInMs, signal)
    }
  } catch (error) {
    fatal = error
    throw error
  } finally {
    progress.closed(fatal)
  }
}
