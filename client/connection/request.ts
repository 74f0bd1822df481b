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

/**
 * Requests JSON, by POST when there is a body.
 * @throws ClientError the server's refusal, `silent`, `connection-lost` or `protocol-error`
 */
export async function requestJson<T>(
  { url, fetch, headers, signal }: RequestContext,
  path: string,
  body?: object,
): Promise<T> {
  const watchdog = new Watchdog(undefined)
  const connection = new LinkedAbortController(signal)
  try {
    const response = await watchdog.wait(
      fetch(endpoint(url, path), {
        ...(body && { method: 'POST', body: JSON.stringify(body) }),
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
    expectType(response, 'application/json')
    return (await watchdog.wait(response.json())) as T
  } finally {
    connection.abort()
  }
}
