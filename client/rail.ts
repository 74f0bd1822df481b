/** What a rail is: one connection that carries a subscription, behind the same small face for every transport. */
import type { Transport } from '../src/guide/names.ts'
import type { Control } from '../src/protocol/controls.ts'
import type { EphemeralEvent, TwinrailEvent } from '../src/protocol/events.ts'
import type { SubscriptionOptions } from '../src/protocol/subscription.ts'
import { ClientError } from './errors.ts'
import type { Sockets } from './sockets.ts'

export type { Transport }

/** What a subscription hears, in order. */
export type Message =
  | {
      kind: 'event'
      event: TwinrailEvent | EphemeralEvent
      /** The event's text as it came; long-poll has it only within a page. */
      json?: string
    }
  | { kind: 'control'; control: Control }

/** The part of the WebSocket interface that is used; browsers' and the `ws` package's have it. */
export interface Socket {
  send(data: string): void
  close(code?: number, reason?: string): void
  /** Drops the connection at once; only `ws` has it. */
  terminate?(): void
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
}

/** Browsers ignore the third argument: a page cannot send headers with its upgrade. */
export type SocketConstructor = new (
  url: string,
  protocols: string[],
  options?: { headers?: Record<string, string> },
) => Socket

/** Where to begin, as the server understands it. */
export type Start = {
  [K in 'after' | 'run' | 'replay' | 'lag' | 'last' | 'heartbeatMs']?: SubscriptionOptions[K] | undefined
}

/** What a rail is given for one connection. */
export interface RailRequest {
  url: string
  sessionId: string
  start: Start
  headers: Record<string, string>
  fetch: typeof fetch
  /** Whether somebody wants to know the server’s clock. */
  wantsClock: boolean
  /** The WebSockets that subscriptions share. */
  sockets: Sockets
  /** Aborts when the connection is to be closed, at the latest when the rail has returned. */
  signal: AbortSignal
  /** So many more bytes came, as they are after any decompression. */
  onBytes(count: number): void
  /** The server asks to wait at least so many ms before coming back. */
  onRetry(ms: number): void
  /** The server's clock showed `serverTime` somewhen between `sentAt` and now. */
  onClock(sentAt: number, serverTime: number): void
  /** Something on the way holds bytes back. */
  onBuffering(): void
}

/**
 * Opens one connection and yields what it says, from the first word on; reads on only when more is asked for. Ends quietly when the wire
 * does, too early or not; throws a {@link ClientError} when it is refused or broken.
 */
export type Rail = (request: RailRequest) => AsyncGenerator<Message, void, undefined>

/**
 * Reads one message from its JSON.
 * @throws ClientError `protocol-error`
 */
export function parseMessage(json: string): Message {
  let value: { type?: unknown } | null
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new ClientError('protocol-error', 'The server sent something that is not JSON', { cause })
  }
  if (typeof value?.type !== 'string') {
    throw new ClientError(
      'protocol-error',
      'The server sent JSON that is neither an event nor a control message',
    )
  }
  return value.type.includes('.')
    ? { kind: 'event', event: value as TwinrailEvent, json }
    : { kind: 'control', control: value as Control }
}

/** The address of `path` on the server at `url`, which in a page may be relative. */
export function endpoint(url: string, path: string, query: Record<string, unknown> = {}): URL {
  const base = new URL(url, globalThis.location?.href)
  const address = new URL(base)
  address.pathname = `${base.pathname.replace(/\/$/, '')}/v1/${path}`
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) address.searchParams.set(name, String(value))
  }
  return address
}

/** The address of a session's events. */
export function eventsUrl({ url, sessionId, start }: RailRequest, more: Record<string, unknown> = {}): URL {
  return endpoint(url, `sessions/${encodeURIComponent(sessionId)}/events`, { ...start, ...more })
}

/** Makes sure that an answer is of the media type that was asked for: a proxy's login page is 200, too. */
export function expectType(response: Response, type: string): void {
  const got = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (got === type) return
  throw new ClientError(
    'protocol-error',
    `${response.url} answered with ${got ?? 'no content type'}, expected ${type}: is it a Twinrail server?`,
  )
}

/** The `end` that a 204 stands for: the cursor is at or past the run's terminal. */
export function endOf({ sessionId, start }: RailRequest): Message {
  const run = start.run === undefined ? {} : { runId: start.run }
  return { kind: 'control', control: { type: 'end', sessionId, ...run, reason: 'run-ended' } }
}
