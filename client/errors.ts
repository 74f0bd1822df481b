/** What can go wrong for a client: the server's refusals under their own codes, and what happens on the way. */
import type { ControlOf } from '../src/protocol/controls.ts'
import { type ErrorCode, errorTable } from '../src/protocol/errors.ts'

/** Codes beside the server's own, and whether another attempt may help. */
const onTheWay = {
  /** The wire broke, or ended before the stream did. */
  'connection-lost': true,
  /** Nothing came for two and a half heartbeats. */
  silent: true,
  /** The stream did not go on where the cursor stands. */
  'out-of-step': true,
  /** What came is not the protocol; often a proxy's page, or a wrong URL. */
  'protocol-error': false,
  /** The client was closed. */
  closed: false,
} as const

/** Whether another attempt may help, by code. */
const retryable: ReadonlyMap<string, boolean> = new Map([
  ...Object.entries(errorTable).map(([code, row]) => [code, row.retryable] as const),
  ...Object.entries(onTheWay),
])

/** A newer server may know codes that this client does not. */
export type ClientErrorCode = ErrorCode | keyof typeof onTheWay | (string & {})

interface ClientErrorOptions {
  retryable?: boolean
  retryAfterMs?: number | undefined
  details?: Record<string, unknown> | undefined
  cause?: unknown
}

/** The one error that this client throws, beside the reason of an aborted signal. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly code: ClientErrorCode
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean
  /** The server's wish: not before so many ms. */
  readonly retryAfterMs: number | undefined
  /** The server's evidence, as the winning answer of `already-answered`. */
  readonly details: Record<string, unknown> | undefined

  constructor(code: ClientErrorCode, message: string, options: ClientErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? retryable.get(code) ?? false
    this.retryAfterMs = options.retryAfterMs
    this.details = options.details
  }
}

/** The error that an HTTP answer other than 2xx stands for; reads its body. */
export async function errorOfResponse(response: Response): Promise<ClientError> {
  const retryAfterMs = retryAfter(response.headers.get('retry-after'))
  const body = await response.json().catch(() => undefined) // a proxy's page is no JSON; its status says enough
  const refusal = body?.error ?? body
  if (typeof refusal?.code === 'string') return errorOfRefusal(refusal, response.status, retryAfterMs)
  const { status } = response
  const code = codeOfStatus(status)
  return new ClientError(code, `${response.url} answered ${status} ${response.statusText}`.trim(), {
    retryable: isRetryableStatus(status),
    retryAfterMs,
  })
}

/** The error that a `nack` or the body of an HTTP error stands for. */
export function errorOfRefusal(
  refusal: Pick<ControlOf<'nack'>, 'code' | 'message' | 'details' | 'retryAfterMs'> & { retryable?: boolean },
  status?: number,
  retryAfterMs?: number,
): ClientError {
  return new ClientError(refusal.code, refusal.message, {
    retryable: refusal.retryable ?? retryable.get(refusal.code) ?? isRetryableStatus(status ?? 400),
    retryAfterMs: refusal.retryAfterMs ?? retryAfterMs,
    details: refusal.details,
  })
}

/** The error that `closing` announces; a code that is not known here does not keep from coming back. */
export function errorOfClosing({ code, reason, retryAfterMs }: ControlOf<'closing'>): ClientError {
  return new ClientError(code, reason, { retryable: retryable.get(code) ?? true, retryAfterMs })
}

/** The error that a WebSocket's close stands for; 1000 too, since a phone's sleep closes with it. */
export function errorOfClose(close: number, reason: string): ClientError {
  const message = `The WebSocket closed with ${close}${reason && `: ${reason}`}`
  const row = Object.entries(errorTable).find(([, { close: known }]) => known === close)
  if (row) return new ClientError(row[0], message)
  const lasting = [1002, 1003, 1007, 1008, 1010].includes(close) || (close >= 4400 && close < 4500)
  return new ClientError(lasting ? 'protocol-error' : 'connection-lost', message)
}

function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500
}

/** The nearest code for an answer that names none, as a proxy's. */
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
