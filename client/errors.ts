/** The client's error class, for refusals of the server and for failures of the connection. */
import { type ControlOf, type ErrorCode, errorTable } from './protocol.ts'

/** The codes of the client itself, and whether another attempt may help. */
const connectionCodes = {
  /** The connection broke, or ended before the stream did. */
  'connection-lost': true,
  /** Nothing was received for two and a half heartbeats. */
  silent: true,
  /** The stream did not continue at the cursor. */
  'out-of-step': true,
  /** The response does not follow the protocol: often a proxy's page, or a wrong URL. */
  'protocol-error': false,
  /** The application's `auth` function failed. */
  'auth-failed': true,
  /** The client was closed. */
  closed: false,
} as const

/** Whether another attempt may help, by code. */
const retryable: ReadonlyMap<string, boolean> = new Map([
  ...Object.entries(errorTable).map(([code, row]) => [code, row.retryable] as const),
  ...Object.entries(connectionCodes),
])

/**
 * The code of a {@link ClientError}: a code of the server (PROTOCOL.md, "Errors"), or `connection-lost`, `silent`,
 * `out-of-step`, `protocol-error`, `auth-failed` or `closed` of the client itself. A newer server may send codes that are not listed.
 */
export type ClientErrorCode = ErrorCode | keyof typeof connectionCodes | (string & {})

interface ClientErrorOptions {
  retryable?: boolean
  retryAfterMs?: number | undefined
  details?: Record<string, unknown> | undefined
  cause?: unknown
}

/** The error that this client throws. Other errors are the reason of an aborted signal and the errors of schemas. */
export class ClientError extends Error {
  /** The name of the class, also where the class itself was loaded twice. */
  override readonly name = 'ClientError'
  /** A stable code for programs. */
  readonly code: ClientErrorCode
  /** Whether the same request may succeed later. */
  readonly retryable: boolean
  /** The server's minimum wait before another attempt, in ms. */
  readonly retryAfterMs: number | undefined
  /** The server's details, such as the winning answer of `already-answered`. */
  readonly details: Record<string, unknown> | undefined

  constructor(code: ClientErrorCode, message: string, options: ClientErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? retryable.get(code) ?? false
    this.retryAfterMs = options.retryAfterMs
    this.details = options.details
  }
}

/** Whether the server refused for lack of valid credentials. New ones may help. */
export const isUnauthorized = (error: unknown) =>
  error instanceof ClientError && error.code === 'unauthorized'

type Refusal = Pick<ControlOf<'nack'>, 'code' | 'message' | 'details' | 'retryAfterMs'> & {
  retryable?: boolean
}

/** The body of a refusal, which may be in the field `error`. Bodies of proxies have other fields or are not JSON. */
type Refused = (Partial<Refusal> & { error?: Partial<Refusal> }) | undefined

/** The error for an HTTP response other than 2xx. Reads its body. */
export async function errorOfResponse(response: Response): Promise<ClientError> {
  const retryAfterMs = retryAfter(response.headers.get('retry-after'))
  const body = (await response.json().catch(() => undefined)) as Refused // A proxy's page is not JSON; the status is enough.
  const refusal = body?.error ?? body
  if (typeof refusal?.code === 'string')
    return errorOfRefusal(refusal as Refusal, response.status, retryAfterMs)
  const { status } = response
  const code = codeOfStatus(status)
  return new ClientError(code, `${response.url} answered ${status} ${response.statusText}`.trim(), {
    retryable: isRetryableStatus(status),
    retryAfterMs,
  })
}

/** The error of a `nack` or of the body of an HTTP response. */
export function errorOfRefusal(refusal: Refusal, status?: number, retryAfterMs?: number): ClientError {
  return new ClientError(refusal.code, refusal.message, {
    retryable: refusal.retryable ?? retryable.get(refusal.code) ?? isRetryableStatus(status ?? 400),
    retryAfterMs: refusal.retryAfterMs ?? retryAfterMs,
    details: refusal.details,
  })
}

/** The error of a `closing` message. An unknown code counts as retryable. */
export function errorOfClosing({ code, reason, retryAfterMs }: ControlOf<'closing'>): ClientError {
  return new ClientError(code, reason, { retryable: retryable.get(code) ?? true, retryAfterMs })
}

/** The error for a WebSocket's close code. 1000 is an error as well: a phone closes with it when it goes to sleep. */
export function errorOfClose(closeCode: number, reason: string): ClientError {
  const message = `The WebSocket closed with ${closeCode}${reason && `: ${reason}`}`
  const row = Object.entries(errorTable).find(([, { close }]) => close === closeCode)
  if (row) return new ClientError(row[0], message)
  const final = [1002, 1003, 1007, 1008, 1010].includes(closeCode) || (closeCode >= 4400 && closeCode < 4500)
  return new ClientError(final ? 'protocol-error' : 'connection-lost', message)
}

function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500
}

/** The nearest code for a response without one, such as a proxy's. */
function codeOfStatus(status: number): ErrorCode {
  if (status >= 500) return status === 500 ? 'internal' : 'unavailable'
  if (status === 404) return 'not-found'
  const row = Object.entries(errorTable).find(([, row]) => row.status === status)
  return row ? (row[0] as ErrorCode) : 'bad-request'
}

/** `Retry-After` in ms: whole seconds, or an HTTP date. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
