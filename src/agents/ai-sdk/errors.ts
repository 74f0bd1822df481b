/** What users may know of a model's failure. */
import { TwinrailError } from '../../protocol/index.ts'
import { RunError } from '../agent.ts'

/** Names, codes and types, of the AI SDK, Node and providers, that say: the same request may succeed later. */
const PASSING =
  /^(E[A-Z]+|UND_ERR_\w+|TimeoutError|AI_(InvalidResponseData|NoOutputGenerated|EmptyResponseBody)Error)$|overloaded|rate_?limit|server_error|timeout|unavailable/

/** The fields of an error that are read, whichever library created it. */
interface Evidence {
  name?: unknown
  code?: unknown
  type?: unknown
  status?: unknown
  statusCode?: unknown
  isRetryable?: unknown
  /** The last error of an AI SDK `RetryError`. */
  lastError?: unknown
  cause?: unknown
}

/**
 * Converts an error of a model or its provider to a RunError `model-error`. Its message is made from the status:
 * providers put parts of keys, prompts and internal addresses in theirs, which stay in `cause` for the server's diagnostic output.
 * Errors that are ours already stay as they are.
 */
export function modelError(error: unknown): RunError | TwinrailError {
  if (error instanceof RunError || error instanceof TwinrailError) return error
  const evidence = chain(error)
  const status = evidence.map(statusOf).find(found => found !== undefined)
  const retryable = status === undefined ? evidence.some(passes) : isPassing(status)
  const text = evidence.some(({ name }) => name === 'AI_UnsupportedModelVersionError')
    ? 'The provider package of the model does not fit the version of the package ai. Install both anew.'
    : message(status, retryable)
  return new RunError('model-error', text, { retryable, cause: error })
}

/** Says that the provider itself gave up in the middle of an answer. */
export function answerBrokeOff(cause?: unknown): RunError {
  const text = 'The model provider reported an error in the middle of its answer. Try again.'
  return new RunError('model-error', text, { retryable: true, cause })
}

/** Types and codes of providers that say: the request itself is at fault, or the account. */
const LASTING =
  /invalid|unsupported|not_?found|auth|permission|forbidden|denied|quota|billing|credit|context|too_(?:long|large)|moderation|content_?(?:filter|policy)/i

/**
 * The error that a model's stream told, as {@link modelError} reads it. A provider that began an answer took the
 * request, so what it reports afterwards passes, unless it says that the request is at fault.
 */
export function errorInAnswer(error: unknown): unknown {
  // ai 7 makes an error of what the provider reported, and so tells it from one of its own.
  if (error instanceof Error && error.name !== 'AI_StreamProviderError') return error
  const { code, type, status } = (error instanceof Object ? error : {}) as Evidence
  const isLasting = [code, type, status].some(word => typeof word === 'string' && LASTING.test(word))
  if (isLasting || statusOf((error ?? {}) as Evidence) !== undefined) return error
  return answerBrokeOff(error)
}

/** An error and what caused it, outermost first. */
function chain(error: unknown): Evidence[] {
  const errors: Evidence[] = []
  for (let next = error; next instanceof Object && errors.length < 8; ) {
    const current: Evidence = next
    errors.push(current)
    next = current.lastError ?? current.cause
  }
  return errors
}

function statusOf({ statusCode, status, code }: Evidence): number | undefined {
  const numbers = [statusCode, status, code].map(found => (/^\d{3}$/.test(String(found)) ? Number(found) : 0))
  return numbers.find(found => found >= 400 && found < 600)
}

function isPassing(status: number): boolean {
  return [408, 409, 425, 429].includes(status) || status >= 500
}

function passes({ isRetryable, name, code, type }: Evidence): boolean {
  return (
    isRetryable === true || [name, code, type].some(word => typeof word === 'string' && PASSING.test(word))
  )
}

function message(status: number | undefined, retryable: boolean): string {
  if (status === undefined) {
    return retryable ? 'The connection to the model broke off. Try again.' : 'The model failed.'
  }
  if (status === 401 || status === 403) {
    return `The model provider refused the server's credentials (status ${status}). Check its API key.`
  }
  if (status === 404) {
    return 'The model provider has no such model or address (status 404). Check the model name and base URL.'
  }
  if (status === 429) return 'The model provider limits the rate (status 429). Try again later.'
  if (retryable) return `The model provider failed (status ${status}). Try again later.`
  return `The model provider refused the request (status ${status}).`
}
