/** One HTTP request for JSON, with a deadline. */
import { errorOfResponse } from '../errors.ts'
import { LinkedAbortController } from './linked-abort.ts'
import { endpoint, expectType } from './transport.ts'
import { ANSWER_MS, Watchdog } from './watchdog.ts'

interface RequestContext {
  url: string
  fetch: typeof fetch
  headers: Record<string, string> | undefined
  signal: AbortSignal
}

/** The parts of a request beside its path. */
export interface RequestParts {
  /** @default 'POST' with a body, otherwise 'GET' */
  method?: string
  body?: object
  query?: Record<string, unknown>
}

/**
 * Requests JSON.
 * @throws ClientError the server's refusal, `silent`, `connection-lost` or `protocol-error`
 */
export async function requestJson<T>(
  { url, fetch, headers, signal }: RequestContext,
  path: string,
  { body, query, method = body ? 'POST' : 'GET' }: RequestParts = {},
): Promise<T> {
  const watchdog = new Watchdog(undefined)
  const connection = new LinkedAbortController(signal)
  try {
    const response = await watchdog.wait(
      fetch(endpoint(url, path, query), {
        method,
        ...(body && { body: JSON.stringify(body) }),
        headers: {
          ...headers,
          ...(body && { 'content-type': 'application/json' }),
          accept: 'application/json',
        },
        signal: connection.signal,
      }),
      ANSWER_MS,
    )
    if (!response.ok) throw await watchdog.wait(errorOfResponse(response))
    if (response.status === 204) return undefined as T
    expectType(response, 'application/json')
    return (await watchdog.wait(response.json())) as T
  } finally {
    connection.abort()
  }
}
