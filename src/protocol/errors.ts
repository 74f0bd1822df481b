/** The one table of error codes and the error that carries them. PROTOCOL.md, "Errors". */

interface ErrorRow {
  /** Status of an HTTP answer. */
  readonly status: number
  /** Close code where the whole WebSocket ends because of it. */
  readonly close: number
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean
  /** What it means and what to do, for the docs. */
  readonly meaning: string
}

/** Every code that a refusal can carry. `docs.test.ts` holds PROTOCOL.md to it. */
export const errorTable = {
  'bad-request': {
    status: 400,
    close: 4400,
    retryable: false,
    meaning: 'The request has the wrong shape; `details` names the field. Correct it.',
  },
  unauthorized: {
    status: 401,
    close: 4401,
    retryable: false,
    meaning: 'No valid credentials. Authenticate, then try again.',
  },
  forbidden: {
    status: 403,
    close: 4403,
    retryable: false,
    meaning: 'The principal, the page’s origin or the Host is not allowed to do this.',
  },
  'not-found': {
    status: 404,
    close: 4404,
    retryable: false,
    meaning: 'There is no such route.',
  },
  'session-not-found': {
    status: 404,
    close: 4404,
    retryable: false,
    meaning: 'No such session. Create it, or start a run or publish in it.',
  },
  'run-not-found': {
    status: 404,
    close: 4404,
    retryable: false,
    meaning: 'The session has no such run. Start it first.',
  },
  'agent-not-found': {
    status: 404,
    close: 4404,
    retryable: false,
    meaning: 'No agent of that name; `GET /v1/agents` lists them.',
  },
  'input-not-found': {
    status: 404,
    close: 4404,
    retryable: false,
    meaning: 'The session has no input request of that id.',
  },
  timeout: {
    status: 408,
    close: 4408,
    retryable: true,
    meaning: 'It took too long. Try again.',
  },
  conflict: {
    status: 409,
    close: 4409,
    retryable: false,
    meaning:
      'The id is already in use for something else, or a producer’s numbers have a hole; see `details`.',
  },
  'already-answered': {
    status: 409,
    close: 4409,
    retryable: false,
    meaning: 'Somebody else’s answer was first; `details` holds its offset, value and by.',
  },
  'input-expired': {
    status: 409,
    close: 4409,
    retryable: false,
    meaning: 'The input request expired before an answer came.',
  },
  'run-ended': {
    status: 409,
    close: 4409,
    retryable: false,
    meaning: 'The run has its terminal; `details` holds its type and offset.',
  },
  'too-large': {
    status: 413,
    close: 1009,
    retryable: false,
    meaning: 'Larger than `hello.limits` allows. Send less.',
  },
  'unsupported-media-type': {
    status: 415,
    close: 4400,
    retryable: false,
    meaning: 'Send `application/json`, or `application/x-ndjson` where events are ingested.',
  },
  'rate-limited': {
    status: 429,
    close: 4429,
    retryable: true,
    meaning: 'Too many at once. Wait `retryAfterMs`, then try again.',
  },
  'too-slow': {
    status: 503,
    close: 4431,
    retryable: true,
    meaning: 'The connection fell too far behind. Come back with the last offset received.',
  },
  internal: {
    status: 500,
    close: 4500,
    retryable: true,
    meaning: 'The server failed; its log has the requestId. Try again later.',
  },
  unavailable: {
    status: 503,
    close: 1013,
    retryable: true,
    meaning: 'The log cannot be reached now. Try again.',
  },
  restart: {
    status: 503,
    close: 1012,
    retryable: true,
    meaning: 'The server is stopping. Reconnect after `retryAfterMs`.',
  },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable

/** What a refusal says beside its code and message. */
export interface ErrorOptions {
  /** Evidence for a program: the path of a bad field, the winning answer, … */
  details?: Record<string, unknown>
  /** When a retry makes sense, in ms from now. */
  retryAfterMs?: number
  cause?: unknown
}

/**
 * A refusal that reaches the caller as it is: its message says what was got, what was expected and what to do, and
 * never holds secrets. Any other error is answered as `internal` and only logged.
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

/** The part of a refusal that `nack`s and HTTP error bodies share. */
export interface Refusal {
  code: ErrorCode
  message: string
  retryable: boolean
  details?: Record<string, unknown>
  retryAfterMs?: number
}

/** A refusal in wire form. Errors that are not ours become `internal` without their text. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof TwinrailError)) {
    return { code: 'internal', message: 'The server failed. Its log has the cause.', retryable: true }
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
