/** Error codes and the error class. PROTOCOL.md, "Errors". */

interface ErrorRow {
  /** Status of an HTTP response. */
  readonly status: number
  /** Close code when the error closes a WebSocket. */
  readonly close: number
  /** Whether the same request may succeed later. */
  readonly retryable: boolean
}

/** Every error code, with its HTTP status, its WebSocket close code and whether a retry may help. */
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

/** The stable codes of all errors that the server sends. */
export type ErrorCode = keyof typeof errorTable

/**
 * What each code means and what a client should do about it. PROTOCOL.md has the same table. This object is separate
 * from `errorTable`, so that bundlers can drop it from pages.
 */
export const errorMeanings: Readonly<Record<ErrorCode, string>> = {
  'bad-request': 'The request has the wrong shape; `details` names the field. Correct the request.',
  unauthorized: 'The request has no valid credentials. Authenticate, then try again.',
  forbidden: 'The principal, the page’s origin or the `Host` is not allowed to do this.',
  'not-found': 'There is no such route.',
  'session-not-found': 'The session does not exist. Create it, start a run in it, or publish in it.',
  'run-not-found': 'The session has no such run. Start the run first.',
  'agent-not-found': 'The server has no agent of that name; `GET /v1/agents` lists its agents.',
  'input-not-found': 'The session has no question with that `requestId`.',
  timeout: 'The request took too long. Try again.',
  conflict:
    'The id is already in use for something else, the producer’s numbers have a hole, or as many runs or questions are open as may be; see `details`.',
  'already-answered': 'Another answer to the question was first; `details` has its offset, value and author.',
  'input-expired': 'The question expired before it was answered.',
  'run-ended': 'The run has ended; `details` has the type and offset of its terminal event.',
  'too-large': 'The request is larger than a limit, such as those of `hello.limits`. Send less.',
  'unsupported-media-type':
    'The content type is not supported. Send `application/json`, or `application/x-ndjson` for ingest.',
  'rate-limited':
    'There are too many connections or requests, or the log is over its size limit (`details.reason` is `max-log-bytes`). Wait `retryAfterMs`, then try again.',
  'too-slow': 'The client fell too far behind. Reconnect with the last received offset.',
  internal:
    'The server failed; its diagnostic output, if enabled, has the cause under the `requestId`. Try again later.',
  unavailable:
    'The log cannot be reached now, or takes no appends; `details.reason` is `full` when it has no room. Try again later.',
  restart: 'The server is stopping. Reconnect after `retryAfterMs`.',
}

/** Optional parts of a {@link TwinrailError}. */
export interface ErrorOptions {
  /** Data for programs, such as the path of a wrong field or the winning answer. Sent to clients. @default none */
  details?: Record<string, unknown>
  /** How long to wait before a retry, in ms. Sent to clients. @default none; the client chooses */
  retryAfterMs?: number
  /** The underlying error. Logged, never sent to clients. @default none */
  cause?: unknown
}

/**
 * An error whose code, message and details are sent to the client unchanged. The message says what was received, what
 * was expected and what to do; it must not contain secrets. Errors of any other class are sent as `internal` without
 * their text, and logged.
 */
export class TwinrailError extends Error {
  /** The name of the class, also where the class itself was loaded twice. */
  override readonly name = 'TwinrailError'
  /** A stable code for programs. */
  readonly code: ErrorCode
  /** Data for programs, such as the path of a wrong field or the winning answer. */
  readonly details: Record<string, unknown> | undefined
  /** How long to wait before a retry, in ms. */
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details
    this.retryAfterMs = options.retryAfterMs
  }

  /** The status of an HTTP response with this error. */
  get status(): number {
    return errorTable[this.code].status
  }

  /** The close code when this error closes a WebSocket. */
  get close(): number {
    return errorTable[this.code].close
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return errorTable[this.code].retryable
  }
}

/** An error in the form that a `nack` and the body of an HTTP response have. */
export interface Refusal {
  /** A stable code for programs. */
  code: ErrorCode
  /** What was received, what was expected and what to do, for people. */
  message: string
  /** Whether the same request may succeed later. */
  retryable: boolean
  /** Data for programs, such as the path of a wrong field. */
  details?: Record<string, unknown>
  /** How long to wait before a retry, in ms. */
  retryAfterMs?: number
}

/** The form of an error that is sent. Errors other than {@link TwinrailError} become `internal` without their text. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof TwinrailError)) {
    return {
      code: 'internal',
      message: 'the server failed; its diagnostic output, if enabled, has the cause',
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
