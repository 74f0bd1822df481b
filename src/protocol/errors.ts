/** The one table of error codes and the error that carries them. PROTOCOL.md, "Errors". */

interface ErrorRow {
  /** Status of an HTTP answer. */
  readonly status: number
  /** Close code where the whole WebSocket ends because of it. */
  readonly close: number
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean
}

/** Every code that a refusal can carry; what each means stands in `error-meanings.ts`, which pages need not load. */
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
