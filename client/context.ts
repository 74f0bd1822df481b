/** What a client's sessions, runs and streams share. */
import type { Environment } from './connection/follow.ts'
import { requestJson } from './connection/request.ts'
import type { Quality } from './quality.ts'

export interface ClientContext {
  readonly environment: Environment
  readonly quality: Quality
  /** Aborts when the client is closed. */
  readonly signal: AbortSignal
  /** Counts an open stream, since many streams may call for another transport. Returns the function that ends the count. */
  streamOpened(): () => void
}

/**
 * Requests JSON from the client's server, by POST when there is a body.
 * @throws ClientError the server's refusal, `silent`, `connection-lost` or `protocol-error`; `closed` on a closed client
 */
export async function request<T>(context: ClientContext, path: string, body?: object): Promise<T> {
  const { environment, signal } = context
  const headers = await environment.auth()
  signal.throwIfAborted()
  return requestJson<T>({ ...environment, headers, signal }, path, body)
}
