/** Follows a session over any rail, and comes back at the cursor whenever a connection ends before the stream does. */
import { type Backoff, backoffMs, defaultBackoff, sleep } from './backoff.ts'
import { Cursor } from './cursor.ts'
import { ClientError, errorOfClosing } from './errors.ts'
import { firstToOpen, Line, lost } from './line.ts'
import type { Message, SocketConstructor, Start, Transport } from './rail.ts'
import { Route } from './route.ts'
import { Sockets } from './sockets.ts'
import { type FollowStatus, Progress } from './status.ts'
import { onWake } from './wake.ts'

/** How long a rung may take to say its first word before the next one races it, in ms. */
const PATIENCE_MS = 2500

/** How long the new connection may take when streams switch; the old one is not read meanwhile. */
const SWITCH_MS = 5000

/** Headers for a request, made anew for every connection. */
export type Auth = () => Record<string, string> | Promise<Record<string, string>>

/** What a client's streams and commands share. */
export interface Surroundings {
  url: string
  fetch: typeof fetch
  auth: Auth
  /** Whether `auth` may give others after a refusal. */
  renewable: boolean
  sockets: Sockets
  route: Route
  backoff: Partial<Backoff>
}

export interface StreamOptions {
  sessionId: string
  /** Start after this offset. @default from the earliest event that the log holds */
  after?: string | undefined
  /** Only this run's events; ends with the run. */
  run?: string | undefined
  /** What of the backlog comes, and folded or not. @default 'compact' */
  replay?: Start['replay']
  /** What the server does when this client falls behind. @default 'conflate' */
  lag?: Start['lag']
  /** Start so many events before the head; `after` beats it. */
  last?: number | undefined
  /** What the server says something after, in ms; after 2.5 times as long a silent connection is given up. */
  heartbeatMs?: number | undefined
  /** Ends the following; it throws the signal's reason. */
  signal?: AbortSignal | undefined
  /** Called at every change of state and whenever bytes came. */
  onStatus?: ((status: FollowStatus) => void) | undefined
  /** Called with the server's clock: it showed `serverTime` somewhen between `sentAt` and now. */
  onClock?: ((sentAt: number, serverTime: number) => void) | undefined
}

export interface FollowOptions extends StreamOptions {
  /** Where the server is; in a page it may be relative. */
  url: string
  transport: Transport
  /** Sent with every request; a browser's WebSocket cannot. */
  headers?: Record<string, string> | undefined
  /** @default the global one */
  fetch?: typeof fetch | undefined
  /** @default the global one, if there is one */
  WebSocket?: SocketConstructor | undefined
  backoff?: Partial<Backoff> | undefined
}

/**
 * Yields a session's events and control messages in order, each event once, reading on only when more is asked for:
 * a consumer that falls behind slows its own stream. Connections that break are replaced at the cursor, without end
 * unless `backoff.attempts` says otherwise. Returns after `end`.
 * @throws ClientError when the server refuses for good or does not speak the protocol
 */
export function follow(options: FollowOptions): AsyncGenerator<Message, void, undefined> {
  const { url, transport, headers = {}, backoff = {} } = options
  const choice = { transport, because: ['asked for'], fallback: [] }
  return stream(
    {
      url,
      fetch: options.fetch ?? globalThis.fetch,
      auth: () => headers,
      renewable: false,
      sockets: new Sockets(url, options.WebSocket ?? globalThis.WebSocket),
      route: new Route(choice, url),
      backoff,
    },
    options,
  )
}

/** {@link follow} within a client: the one owner of a stream's connections. */
export async function* stream(
  surroundings: Surroundings,
  options: StreamOptions,
): AsyncGenerator<Message, void, undefined> {
  const { route } = surroundings
  const { run, signal } = options
  const backoff = { ...defaultBackoff, ...surroundings.backoff }
  const cursor = new Cursor(options.after, run === undefined)
  const progress = new Progress(route.transport, options.onStatus)
  const headers: { current: Record<string, string> } = { current: {} }
  let failures = 0
  let reauthorized = false
  let fatal: unknown
  let line: Line | undefined
  let wake: (() => void) | undefined
  const stopListening = route.onChange(() => wake?.())

  const open = (transport: Transport): Line => {
    const { url, fetch, sockets } = surroundings
    const { sessionId, replay, lag, last, heartbeatMs } = options
    return new Line(transport, {
      url,
      sessionId,
      start: { after: cursor.offset, run, replay, lag, last, heartbeatMs },
      headers: headers.current,
      fetch,
      sockets,
      signal: signal ?? new AbortController().signal,
      wantsClock: options.onClock !== undefined,
      onBytes: count => progress.received(count),
      onClock: options.onClock ?? (() => {}),
      onBuffering: () => route.buffers(transport),
    })
  }

  /** The new connection first, then the old one closed; the cursor stands still meanwhile. */
  const switchFrom = async (old: Line): Promise<Line> => {
    const next = open(route.transport)
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(lost()), SWITCH_MS)
    })
    try {
      await Promise.race([next.opened(), late])
    } catch {
      signal?.throwIfAborted()
      next.close()
      const because = [`${route.transport} did not get through, so it stays`]
      route.change({ transport: old.transport, because, fallback: route.choice.fallback })
      return old
    } finally {
      clearTimeout(timer)
    }
    old.close()
    progress.open(next.transport)
    return next
  }

  try {
    for (;;) {
      signal?.throwIfAborted()
      let error = lost()
      let pending: Promise<IteratorResult<Message, void>> | undefined
      progress.connecting()
      try {
        headers.current = await surroundings.auth()
        line = await firstToOpen(route.rungs(failures), open, PATIENCE_MS)
        route.opened(line.transport)
        progress.open(line.transport)
        for (;;) {
          if (route.transport !== line.transport) {
            const before: Line = line
            line = await switchFrom(before)
            if (line !== before) pending = undefined
          }
          pending ??= line.next()
          const result = await unless(pending, woken => {
            wake = woken
          })
          if (!result) continue
          pending = undefined
          signal?.throwIfAborted() // what was read before the abort is not delivered after it
          if (result.done) break
          const message = result.value
          if (!cursor.take(message)) continue
          reauthorized = false
          yield message
          if (message.kind === 'event') continue
          if (message.control.type === 'end') return
          if (message.control.type === 'closing') throw errorOfClosing(message.control)
        }
      } catch (cause) {
        signal?.throwIfAborted()
        if (!(cause instanceof ClientError)) throw cause
        const again: boolean = cause.code === 'unauthorized' && surroundings.renewable && !reauthorized
        if (!cause.retryable && !again) throw cause
        reauthorized ||= again
        error = cause
      } finally {
        line?.close()
      }
      // only a connection that lasted proves itself: a server that dies at once is not to be hammered
      if (line && Date.now() - line.openedAt >= backoff.stableMs) failures = 0
      if (failures >= backoff.attempts) throw error
      const floorMs = Math.max(line?.retryMs ?? 0, error.retryAfterMs ?? 0)
      line = undefined
      const retryInMs = backoffMs(failures++, floorMs, backoff)
      progress.waiting(retryInMs, error)
      let stopWaking: (() => void) | undefined
      try {
        await sleep(retryInMs, signal, end => {
          stopWaking = onWake(end)
        })
      } finally {
        stopWaking?.()
      }
    }
  } catch (error) {
    fatal = error
    throw error
  } finally {
    line?.close()
    stopListening()
    progress.closed(fatal)
  }
}

/** What `wire` brings, or nothing when the function that `early` is given is called first. */
function unless<T>(wire: Promise<T>, early: (end: () => void) => void): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    wire.then(resolve, reject)
    early(() => resolve(undefined))
  })
}
