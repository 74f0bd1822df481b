/** Error codes and the error class. PROTOCOL.md, "Errors". */

interface ErrorRow {
  /** Status of an HTTP response. */
  readonly status: number
  /** Close code when the error closes a WebSocket. */
  readonly close: number
  /** Whether the same request may succeed later. */
  readonly retryable: boolean
}

/** Every error code, with how it is sent. */
export const errorTable = {
  'bad-request': { status: 400, close: 4400, retryable: false },
  unauthorized: { status: 401, close: 4401, retryable: false },
  forbidden: { status: 403, close: 4403, retryable: false },
  'not-found': { status: 404, close: 4404, retryable: false },
  'session-not-found': { status: 404, close: 4404, retryable: false },
  'run-not-found': { status: 404, close: 4404, retryable: false },
  'agent-not-found': { status: 404, close: 4404, retryable: false },
  'input-not-found': { status: 404, close: 4404, retryable: false },
  timeout: { status: 408, close: 4408, retryable: true },
  conflict: { status: 409, close: 4409, retryable: false },
  'already-answered': { status: 409, close: 4409, retryable: false },
  'input-expired': { status: 409, close: 4409, retryable: false },
  'run-ended': { status: 409, close: 4409, retryable: false },
  'too-large': { status: 413, close: 1009, retryable: false },
  'unsupported-media-type': { status: 415, close: 4400, retryable: false },
  'rate-limited': { status: 429, close: 4429, retryable: true },
  'too-slow': { status: 503, close: 4431, retryable: true },
  internal: { status: 500, close: 4500, retryable: true },
  unavailable: { status: 503, close: 1013, retryable: true },
  restart: { status: 503, close: 1012, retryable: true },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable

/**
 * The meaning of each code and what to do about it, for the docs; PROTOCOL.md has the same table. Apart from the table
 * above, so that bundlers drop it from pages.
 */
export const errorMeanings: Readonly<Record<ErrorCode, string>> = {
  'bad-request': 'The request has the wrong shape; `details` names the field. Correct it.',
  unauthorized: 'No valid credentials. Authenticate, then try again.',
  forbidden: 'The principal, the page’s origin or the Host is not allowed to do this.',
  'not-found': 'There is no such route.',
  'session-not-found': 'No such session. Create it, or start a run or publish in it.',
  'run-not-found': 'The session has no such run. Start it first.',
  'agent-not-found': 'No agent of that name; `GET /v1/agents` lists them.',
  'input-not-found': 'The session has no input request of that id.',
  timeout: 'It took too long. Try again.',
  conflict:
    'The id is already in use for something else, or a producer’s numbers have a hole; see `details`.',
  'already-answered': 'Somebody else’s answer was first; `details` holds its offset, value and by.',
  'input-expired': 'The input request expired before an answer came.',
  'run-ended': 'The run has its terminal; `details` holds its type and offset.',
  'too-large': 'Larger than `hello.limits` allows. Send less.',
  'unsupported-media-type': 'Send `application/json`, or `application/x-ndjson` where events are ingested.',
  'rate-limited': 'Too many at once. Wait `retryAfterMs`, then try again.',
  'too-slow': 'The connection fell too far behind. Come back with the last offset received.',
  internal:
    'The server failed; the cause is in its log, if it keeps one, under the `requestId`. Try again later.',
  unavailable: 'The log cannot be reached now. Try again.',
  restart: 'The server is stopping. Reconnect after `retryAfterMs`.',
}

/** The optional parts of a {@link TwinrailError}. */
export interface ErrorOptions {
  /** Data for programs, such as the path of a bad field or the answer that won. Sent to clients. */
  details?: Record<string, unknown>
  /** How long to wait before a retry, in ms. Sent to clients. */
  retryAfterMs?: number
  /** The underlying error. Logged, never sent. */
  cause?: unknown
}

/**
 * An error that is sent to the client unchanged. The message says what was received, what was expected and what to do;
 * it must not contain secrets. Any other error is sent as `internal` without its text, and logged.
 */
export class TwinrailError extends Error {
  override readonly name = 'TwinrailError'
  readonly code: ErrorCode
  readonly details: Record<string, unknown> | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details
    this.retryAfterMs = options.retryAfterMs
  }

  get status(): number {
    return errorTable[this.code].status
  }

  get close(): number {
    return errorTable[this.code].close
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable
  }
}

/** An error as sent in a `nack` and in the body of an HTTP response. */
export interface Refusal {
  code: ErrorCode
  message: string
  retryable: boolean
  details?: Record<string, unknown>
  retryAfterMs?: number
}

/** An error in the form that is sent. Errors other than {@link TwinrailError} become `internal` without their text. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof TwinrailError)) {
    return {
      code: 'internal',
      message: 'the server failed; the cause is in its log, if it keeps one',
      retryable: true,
    }
  }
  const { code, message, retryable, details, retryAfterMs } = error
  return {
    code,
    message,
    retryable,
    ...(details && { details }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}
