/** What a client's sessions, runs and streams share. */
import type { Environment } from './connection/follow.ts'
import { type RequestParts, requestJson } from './connection/request.ts'
import type { FollowStatus } from './connection/status.ts'
import type { SessionEvent } from './events.ts'
import type { Quality } from './quality.ts'

/** A stream that a client has open. */
export interface OpenStream {
  readonly sessionId: string
  /** The run that it follows; `undefined` for a stream of the whole session. */
  readonly run: string | undefined
  /** Whether the backlog was delivered. */
  live: boolean
  status: FollowStatus | undefined
}

/** Hears of a stream: of an event before it is delivered, or without one of a change of its status. */
export type StreamListener = (stream: OpenStream, event?: SessionEvent) => void

export interface ClientContext {
  readonly environment: Environment
  readonly quality: Quality
  /** Aborts when the client is closed. */
  readonly signal: AbortSignal
  /** Called after this client has created, updated or deleted a session. */
  sessionsChanged(): void
  /** The open streams. */
  readonly streams: ReadonlySet<OpenStream>
  /** Adds an open stream, since many may call for another transport. Returns the function that removes it. */
  streamOpened(stream: OpenStream): () => void
  /** What listens to all streams. */
  readonly streamListeners: Set<StreamListener>
}

/**
 * Requests JSON from the client's server. After `unauthorized` it asks `auth` again and repeats the request once.
 * @throws ClientError the server's refusal, `silent`, `connection-lost` or `protocol-error`; `closed` on a closed client
 */
export async function request<T>(context: ClientContext, path: string, parts?: RequestParts): Promise<T> {
  const { environment, signal } = context
  const credentials = await environment.credentials()
  return credentials.use(
    ({ headers }) => requestJson<T>({ ...environment, headers, signal }, path, parts),
    signal,
  )
}
