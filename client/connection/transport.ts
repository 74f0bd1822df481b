/** The interface of the three transports, and their common code: messages, addresses, media types. */
import { ClientError } from '../errors.ts'
import type { Control, EphemeralEvent, SubscriptionOptions, TwinrailEvent } from '../protocol.ts'
import type { Credential, Credentials } from './credentials.ts'

/** One message of a subscription. */
export type Message =
  | {
      kind: 'event'
      event: TwinrailEvent | EphemeralEvent
      /** The event's JSON text as received. Missing on long-poll, where an event is a part of a page. */
      json?: string
    }
  | { kind: 'control'; control: Control }

export type { Socket, SocketConstructor } from './socket.ts'

/** The options of a subscription, in the protocol's terms: PROTOCOL.md, "Subscribing". */
export type Start = {
  [K in 'after' | 'run' | 'create' | 'replay' | 'lag' | 'last' | 'heartbeatMs']?:
    | SubscriptionOptions[K]
    | undefined
}

/** The input of a transport for one connection. */
export interface TransportRequest {
  /** The server's address, without `/v1`. */
  url: string
  /** The session to follow. */
  sessionId: string
  /** Where the stream begins, and how it is delivered. */
  start: Start
  /** The credentials to connect with. */
  credential: Credential
  /** The source of credentials, which is told of a refusal. */
  credentials: Credentials
  /** The function that sends HTTP requests. */
  fetch: typeof fetch
  /** Whether the server's clock should be measured. */
  wantsClock: boolean
  /** Aborts when the connection is to be closed; always aborted after the stream has returned. */
  signal: AbortSignal
  /** Reports received bytes, counted after decompression. */
  onBytes(count: number): void
  /** Reports the server's minimum wait before a reconnect, in ms. */
  onRetry(ms: number): void
  /** Reports that the server's clock showed `serverTime` at some point between `sentAt` and now. */
  onClock(sentAt: number, serverTime: number): void
  /** Reports that a proxy on the path holds bytes back. */
  onBuffering(): void
}

/**
 * Opens one connection and yields its messages in order, from the first one on. It reads further only when the consumer
 * asks for more. Returns when the connection ends, before the stream's `end` or after it.
 * @throws ClientError when the connection is refused or breaks
 */
export type TransportStream = (request: TransportRequest) => AsyncGenerator<Message, void, undefined>

/**
 * Parses one message.
 * @throws ClientError `protocol-error`
 */
export function parseMessage(json: string): Message {
  let value: { type?: unknown } | null
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new ClientError('protocol-error', 'The server sent text that is not JSON', { cause })
  }
  if (typeof value?.type !== 'string') {
    throw new ClientError('protocol-error', 'The server sent JSON that is not a message')
  }
  return value.type.includes('.')
    ? { kind: 'event', event: value as TwinrailEvent, json }
    : { kind: 'control', control: value as Control }
}

/**
 * Returns the address of `path` below `/v1/` on the server at `url`. In a page, `url` may be relative.
 * @throws TypeError when `url` is invalid
 */
export function endpoint(url: string, path: string, query: Record<string, unknown> = {}): URL {
  const { location } = globalThis as typeof globalThis & { location?: { href: string } }
  const base = new URL(url, location?.href)
  const address = new URL(base)
  address.pathname = `${base.pathname.replace(/\/$/, '')}/v1/${path}`
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) address.searchParams.set(name, String(value))
  }
  return address
}

/** The address of a session's events. */
export function eventsUrl(
  { url, sessionId, start }: TransportRequest,
  more: Record<string, unknown> = {},
): URL {
  return endpoint(url, `sessions/${encodeURIComponent(sessionId)}/events`, { ...start, ...more })
}

/**
 * Checks a response's media type. A proxy's login page is a 200 as well.
 * @throws ClientError `protocol-error`
 */
export function expectType(response: Response, type: string): void {
  const received = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (received === type) return
  throw new ClientError(
    'protocol-error',
    `${response.url} answered with ${received ?? 'no content type'}, expected ${type}: is it a Twinrail server?`,
  )
}

/** The `end` that a 204 stands for: the cursor is at or past the run's terminal. */
export function endOf({ sessionId, start }: TransportRequest): Message {
  const run = start.run === undefined ? {} : { runId: start.run }
  return { kind: 'control', control: { type: 'end', sessionId, ...run, reason: 'run-ended' } }
}
