/** Tells a response that is no stream for what it is, before the AI SDK finds no events in it. */
import { RunError } from '../agent.ts'
import { errorInAnswer } from './errors.ts'

/** Bytes that are read of a JSON response. */
const JSON_BYTES = 64 * 1024

/**
 * As `fetch`, for requests that are answered with a stream of events.
 * @throws RunError `model-error` when a successful response is a web page or JSON; what the provider reports where
 * that JSON is an error
 */
export async function streamingFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, init)
  const type = response.headers.get('content-type') ?? ''
  if (!response.ok || !/\b(?:x?html|json)\b/i.test(type)) return response
  if (/html/i.test(type)) {
    await response.body?.cancel()
    throw noStream('a web page')
  }
  const error = errorIn(await beginningOf(response))
  throw error === undefined ? noStream('JSON') : errorInAnswer(error)
}

function noStream(what: string): RunError {
  return new RunError(
    'model-error',
    `The model provider answered with ${what} in place of a stream of events. Check the base URL, and that the server streams this model.`,
  )
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

/** What the JSON says of an error; `undefined` when it says nothing of one. */
function errorIn(json: string): unknown {
  try {
    return (JSON.parse(json) as { error?: unknown } | null)?.error ?? undefined
  } catch {
    return undefined
  }
}
