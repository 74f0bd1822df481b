/** Refuses a response that is no stream of events, before the AI SDK reads it. */
import { errorInAnswer, noStream } from './errors.ts'

/** Bytes that are read of a JSON response. */
const JSON_BYTES = 64 * 1024

/**
 * As `fetch`, for requests that are answered with a stream of events.
 * @throws RunError `model-error` when a successful response is a web page or JSON; where that JSON reports an error,
 * the error as {@link errorInAnswer} converts it
 */
export async function streamingFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, init)
  const type = response.headers.get('content-type') ?? ''
  const fault = response.ok ? noStream(type) : undefined
  if (!fault) return response
  if (/html/i.test(type)) {
    await response.body?.cancel()
    throw fault
  }
  const error = errorIn(await beginningOf(response))
  throw error === undefined ? fault : errorInAnswer(error)
}

async function beginningOf(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true })
    if (text.length >= JSON_BYTES) break
  }
  return text
}

/** The field `error` of the JSON; `undefined` when there is none. */
function errorIn(json: string): unknown {
  try {
    return (JSON.parse(json) as { error?: unknown } | null)?.error ?? undefined
  } catch {
    return undefined
  }
}
