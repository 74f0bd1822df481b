/** HTTP requests whose head, bytes and end can be timed separately, which `fetch` does not allow; and clock helpers. */
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { type RequestOptions, request as requestHttps } from 'node:https'
import { startTimer } from '../../protocol/timers.ts'
import { oneLine } from '../text.ts'

/** Timeout of a request that a healthy server answers at once, in ms. */
export const ANSWER_TIMEOUT_MS = 5000

/** Most bytes that are read of a response's body. */
const MAX_BODY_BYTES = 256 * 1024

/** Current time in ms since 1970, from a clock that never jumps. */
export function now(): number {
  return performance.timeOrigin + performance.now()
}

/** The median; 0 when there are no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Resolves when `promise` settles, after `ms`, or when `signal` aborts, whichever comes first. */
export async function waitAtMost(ms: number, promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let wake = () => {}
  const woken = new Promise<void>(resolve => {
    wake = resolve
  })
  const cancel = startTimer(ms, wake)
  signal.addEventListener('abort', wake)
  if (signal.aborted) wake()
  try {
    await Promise.race([promise.catch(() => {}), woken])
  } finally {
    cancel()
    signal.removeEventListener('abort', wake)
  }
}

export interface HttpRequest {
  url: URL
  method?: 'GET' | 'POST' | 'DELETE'
  headers?: Record<string, string>
  /** Sent as JSON. */
  body?: unknown
  signal: AbortSignal
  /** @default a connection of its own */
  agent?: RequestOptions['agent']
}

export interface HttpResponse {
  status: number
  headers: IncomingHttpHeaders
  text: string
  tookMs: number
}

/** A response other than the one that was asked for. */
export interface Refusal {
  status: number
  /** The server or proxy that sent it, as far as the response names one. */
  server?: string
  /** The first line of its body. */
  line: string
}

/** Resolves with the response once its head has arrived. @throws Error of Node */
export function openResponse(request: HttpRequest): Promise<IncomingMessage> {
  const { url, method = 'GET', headers = {}, body, signal, agent = false } = request
  const text = body === undefined ? undefined : JSON.stringify(body)
  const allHeaders = {
    ...headers,
    ...(text !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    }),
  }
  return new Promise((resolve, reject) => {
    const make = url.protocol === 'https:' ? requestHttps : requestHttp
    const sent = make(url, { method, headers: allHeaders, signal, agent }, resolve)
    // Errors after the head are emitted by the response.
    sent.on('error', reject)
    sent.end(text)
  })
}

/** Sends a request and reads the whole response. @throws Error after `timeoutMs`, or of Node */
export async function fetchResponse(
  request: HttpRequest,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<HttpResponse> {
  const timeout = AbortSignal.timeout(timeoutMs)
  const sentAt = now()
  try {
    const signal = AbortSignal.any([request.signal, timeout])
    const response = await openResponse({ ...request, signal })
    const text = await readBody(response)
    return { status: response.statusCode ?? 0, headers: response.headers, text, tookMs: now() - sentAt }
  } catch (error) {
    if (!timeout.aborted || request.signal.aborted) throw error
    throw Object.assign(new Error(`no answer within ${timeoutMs / 1000} s`), { code: 'ETIMEDOUT' })
  }
}

/** The body, cut off after 256 KiB. */
export async function readBody(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > MAX_BODY_BYTES) break
  }
  return Buffer.concat(pieces).toString()
}

/** The response's JSON object; `undefined` when it has none. */
export function parseJson({ text }: Pick<HttpResponse, 'text'>): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text) as unknown
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined // an HTML page or nothing; the status and the first line say more
  }
}

/** Refusals by Twinrail are recognised by their body: a proxy puts its own name on everything that it forwards. */
export function refusalOf({ status, headers, text }: Omit<HttpResponse, 'tookMs'>): Refusal {
  const body = parseJson({ text })
  const error = (body?.['error'] ?? body) as { code?: unknown; message?: unknown } | undefined
  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    return { status, server: 'Twinrail', line: oneLine(error.message) }
  }
  const server = headers['server']
  const line = oneLine(text.split('\n').find(line => line.trim() !== '') ?? '')
  return { status, ...(typeof server === 'string' && { server: oneLine(server) }), line }
}

/** A refusal in words: `405 by nginx: Method not allowed`. */
export function describeRefusal({ status, server, line }: Refusal): string {
  return `${status}${server ? ` by ${server}` : ''}${line ? `: ${line}` : ''}`
}

/** A network error in plain words. */
export function describeError(error: unknown): string {
  const { code = '', message = String(error) } = error as { code?: string; message?: string }
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name cannot be resolved'
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no route to that address'
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the connection was closed without an answer'
    case 'ETIMEDOUT':
      return message.startsWith('no answer') ? message : 'no answer'
    case 'EPROTO':
      return 'it does not speak TLS: is it http://?'
    default:
      if (code.startsWith('HPE_')) return 'what answers does not speak HTTP: is it https://?'
      if (/CERT|SELF_SIGNED|ISSUER|ALTNAME/.test(code)) return `its certificate is not trusted (${message})`
      return oneLine(message)
  }
}
