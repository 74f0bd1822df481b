/** Follows a session over any transport, and reconnects at the cursor when a connection ends before the stream does. */
import { ClientError, errorOfClosing, isUnauthorized } from '../errors.ts'
import type { Transport } from '../guide.ts'
import { ConnectionAttempt, connectionLost, raceTransports } from './attempt.ts'
import { type Backoff, backoffMs, defaultBackoff, sleep } from './backoff.ts'
import { type Credential, type Credentials, fixedCredentials } from './credentials.ts'
import { Cursor } from './cursor.ts'
import { longPoll } from './long-poll.ts'
import { Route } from './route.ts'
import { SocketPool } from './shared-socket.ts'
import { sse } from './sse.ts'
import { type FollowStatus, StatusTracker } from './status.ts'
import type { Message, SocketConstructor, Start, TransportStream } from './transport.ts'
import { onWake } from './watchdog.ts'

/** Wait for a transport's first message before racing the next fallback, in ms. */
const PATIENCE_MS = 2500

/** Wait for the new connection when a stream switches, in ms. The old connection is not read during this time. */
const SWITCH_MS = 5000

/** How each transport opens a connection. */
export type Streams = Readonly<Record<Transport, TransportStream>>

/** Opens a client's connections in place of its transports, such as `sharedTabs()`. `streams` are those transports. */
export type Connect = (transport: Transport, streams: Streams) => TransportStream

/** How a client reaches its server. All its streams and commands share one. */
export interface Environment {
  url: string
  fetch: typeof fetch
  credentials: () => Promise<Credentials>
  sockets: SocketPool
  route: Route
  backoff: Partial<Backoff>
  connect?: Connect | undefined
}

/** The options of a stream of a session's events. */
export interface StreamOptions {
  /** The session to follow. */
  sessionId: string
  /** Start after this offset. @default the earliest event that the log holds */
  after?: string | undefined
  /** Deliver this run's events only; the stream ends with the run. @default all events of the session */
  run?: string | undefined
  /**
   * Create the session if it does not exist, which needs the right to. Only a stream without a cursor does: a session
   * that was deleted is not created again by a reconnect.
   * @default false
   */
  create?: boolean | undefined
  /** Which part of the backlog is delivered, and whether it is folded. @default 'compact' */
  replay?: Start['replay']
  /** What the server does when this client falls behind. @default 'conflate' */
  lag?: Start['lag']
  /**
   * Start this many events before the head. `after` takes precedence.
   * @default none; start as `after` and `replay` say
   */
  last?: number | undefined
  /**
   * Server heartbeat interval in ms, from 1000 to 60000. A connection that is silent for 2.5 times as long is dropped.
   * @default 15000, the server's own
   */
  heartbeatMs?: number | undefined
  /** Aborts the stream, which then throws the signal's reason. @default none */
  signal?: AbortSignal | undefined
  /** Called at every change of state and whenever bytes arrive. @default none */
  onStatus?: ((status: FollowStatus) => void) | undefined
  /** Called with a reading of the server's clock: it showed `serverTime` at some point between `sentAt` and now. */
  onClock?: ((sentAt: number, serverTime: number) => void) | undefined
}

/** The options of {@link follow}. */
export interface FollowOptions extends StreamOptions {
  /** The server's address, without `/v1`; in a page it may be relative. */
  url: string
  /** The transport; there is no fallback to others. */
  transport: Transport
  /** Headers of every request and connection. A browser cannot send them with a WebSocket's upgrade. @default none */
  headers?: Record<string, string> | undefined
  /** The function that sends HTTP requests. @default the global `fetch` */
  fetch?: typeof fetch | undefined
  /**
   * The WebSocket constructor. Without one, the transport `websocket` throws a TypeError.
   * @default the global one, which Node 20 does not have
   */
  WebSocket?: SocketConstructor | undefined
  /** The waits before reconnects. @default {@link defaultBackoff} */
  backoff?: Partial<Backoff> | undefined
}

/**
 * Yields a session's events and control messages in order, each event once. It reads further only when the consumer
 * asks for more, so a slow consumer slows its own stream. Lost connections are replaced at the cursor, without limit
 * unless `backoff.attempts` sets one. Returns after `end`.
 * @throws ClientError when the server refuses for good or violates the protocol, or after `backoff.attempts` failures;
 * the signal's reason on abort
 * @example
 * ```ts
 * import { follow } from 'twinrail-client'
 *
 * const messages = follow({ url: 'http://127.0.0.1:8787', sessionId: 'demo', transport: 'sse', run: 'run-1' })
 * for await (const message of messages) console.log(message)
 * ```
 */
export function follow(options: FollowOptions): AsyncGenerator<Message, void, undefined> {
  const { url, transport, headers, backoff = {} } = options
  const credentials = Promise.resolve(fixedCredentials(headers))
  const choice = { transport, because: ['asked for'], fallback: [] }
  return stream(
    {
      url,
      fetch: options.fetch ?? globalThis.fetch,
      credentials: () => credentials,
      sockets: new SocketPool(url, options.WebSocket ?? globalThis.WebSocket),
      route: new Route(choice, url),
      backoff,
    },
    options,
  )
}

/** {@link follow} within a client. It owns the stream's connections: at most one, and two while it switches. */
export async function* stream(
  environment: Environment,
  options: StreamOptions,
): AsyncGenerator<Message, void, undefined> {
  const { route, sockets } = environment
  const { run, signal } = options
  const backoff = { ...defaultBackoff, ...environment.backoff }
  const cursor = new Cursor(options.after, run === undefined)
  const streams: Streams = {
    sse,
    websocket: request => sockets.stream(request),
    'long-poll': longPoll,
  }
  const tracker = new StatusTracker(route.transport, options.onStatus)
  let credentials: Credentials
  let credential: Credential
  let renewed: Credential | undefined
  let failures = 0
  let reauthorized = false
  let fatal: unknown
  let current: ConnectionAttempt | undefined
  let wake: (() => void) | undefined
  const stopListening = route.onChange(() => wake?.())
  let stopRenewing: (() => void) | undefined

  const open = (transport: Transport): ConnectionAttempt => {
    const { url, fetch } = environment
    const { sessionId, create, replay, lag, last, heartbeatMs } = options
    const connect = environment.connect?.(transport, streams) ?? streams[transport]
    return new ConnectionAttempt(transport, connect, {
      url,
      sessionId,
      start: { after: cursor.offset, run, create: create || undefined, replay, lag, last, heartbeatMs },
      credential,
      credentials,
      fetch,
      signal: signal ?? new AbortController().signal,
      wantsClock: options.onClock !== undefined,
      onBytes: count => tracker.received(count),
      onClock: options.onClock ?? (() => {}),
      onBuffering: () => route.buffers(transport),
    })
  }

  /** Whether the connection has other credentials than the client. A WebSocket gets a new token by a command. */
  const isOutdated = ({ transport }: ConnectionAttempt): boolean =>
    renewed !== undefined && !(transport === 'websocket' && renewed.token !== undefined)

  /** Opens the new connection, then closes the old one. Neither is read in between, so both have the same cursor. */
  const switchFrom = async (old: ConnectionAttempt): Promise<ConnectionAttempt> => {
    const before = credential
    credential = renewed ?? credential
    renewed = undefined
    const next = open(route.transport)
    let timer: ReturnType<typeof setTimeout> | undefined
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(connectionLost()), SWITCH_MS)
    })
    try {
      await Promise.race([next.opened(), timeout])
    } catch (error) {
      signal?.throwIfAborted()
      next.close()
      if (isUnauthorized(error)) credentials.refused(credential)
      credential = before
      if (route.transport === old.transport) return old
      const because = [`${route.transport} did not get through, so it stays`]
      route.change({ transport: old.transport, because, fallback: route.choice.fallback })
      return old
    } finally {
      clearTimeout(timer)
    }
    old.close()
    tracker.open(next.transport)
    return next
  }

  try {
    for (;;) {
      signal?.throwIfAborted()
      let error = connectionLost()
      let asksAgain = false
      let pending: Promise<IteratorResult<Message, void>> | undefined
      tracker.connecting()
      try {
        credentials = await environment.credentials()
        stopRenewing ??= credentials.onRenewed(next => {
          renewed = next
          wake?.()
        })
        credential = await credentials.get(signal)
        renewed = undefined
        const candidates = route.candidates(failures)
        current = await raceTransports(candidates, open, PATIENCE_MS)
        route.opened(current.transport, candidates[0])
        tracker.open(current.transport)
        for (;;) {
          if (route.transport !== current.transport || isOutdated(current)) {
            const before: ConnectionAttempt = current
            current = await switchFrom(before)
            if (current !== before) pending = undefined
          }
          pending ??= current.next()
          const result = await unlessWoken(pending, end => {
            wake = end
          })
          if (!result) continue
          pending = undefined
          signal?.throwIfAborted() // messages read before the abort are not delivered after it
          if (result.done) break
          const message = result.value
          if (!cursor.take(message)) continue
          yield message
          reauthorized &&= message.kind === 'control' && message.control.type === 'closing'
          if (message.kind === 'event') continue
          const { control } = message
          if (control.type === 'hello') credentials.greeted({ credential }, control)
          if (control.type === 'end') {
            if (control.reason === 'forbidden') throw rightLost(options.sessionId)
            return
          }
          if (control.type === 'closing') throw errorOfClosing(control)
        }
      } catch (cause) {
        signal?.throwIfAborted()
        if (!(cause instanceof ClientError)) throw cause
        if (isUnauthorized(cause)) {
          if (reauthorized || !credentials!.refused(credential!)) throw cause
          reauthorized = asksAgain = true
        } else if (!cause.retryable) throw cause
        error = cause
      } finally {
        current?.close()
      }
      // Only a connection that lasted resets the count: a server that dies at once must not be hammered.
      if (current && Date.now() - current.startedAt >= backoff.stableMs) failures = 0
      if (failures >= backoff.attempts) throw error
      const floorMs = Math.max(current?.retryMs ?? 0, error.retryAfterMs ?? 0)
      current = undefined
      const retryInMs = asksAgain && failures === 0 ? 0 : backoffMs(failures, floorMs, backoff)
      failures += 1
      tracker.waiting(retryInMs, error)
      await sleep(retryInMs, signal, onWake)
    }
  } catch (error) {
    fatal = error
    throw error
  } finally {
    current?.close()
    stopListening()
    stopRenewing?.()
    tracker.closed(fatal)
  }
}

/** The error of a subscription that the server ended, since the principal may not read the session any more. */
function rightLost(sessionId: string): ClientError {
  return new ClientError('forbidden', `The right to read ${sessionId} was lost`)
}

/** Resolves as `promise` does, or with `undefined` when `end` is called first. @param early receives `end` */
function unlessWoken<T>(promise: Promise<T>, early: (end: () => void) => void): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject)
    early(() => resolve(undefined))
  })
}
