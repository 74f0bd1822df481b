/** What a client's sessions, runs and streams share. */
import type { Environment } from './connection/follow.ts'
import { type RequestParts, requestJson } from './connection/request.ts'
import type { Quality } from './quality.ts'

export interface ClientContext {
  readonly environment: Environment
  readonly quality: Quality
  /** Aborts when the client is closed. */
  readonly signal: AbortSignal
  /** Called after this client has created, updated or deleted a session. */
  sessionsChanged(): void
  /** Counts an open stream, since many streams may call for another transport. Returns the function that ends the count. */
  streamOpened(): () => void
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
