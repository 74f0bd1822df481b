/** HTTP requests whose head, bytes and end can be timed one by one, which `fetch` does not show. */
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { type RequestOptions, request as requestHttps } from 'node:https'
import { oneLine } from '../text.ts'
import { now } from './time.ts'

/** A request that is answered at once when all is well is given up after so many ms. */
export const ANSWER_MS = 5000

/** Bytes of an answer's body that are read at the most. */
const BODY_BYTES = 256 * 1024

export interface Question {
  url: URL
  method?: 'GET' | 'POST' | 'DELETE'
  headers?: Record<string, string>
  /** Sent as JSON. */
  body?: unknown
  signal: AbortSignal
  agent?: RequestOptions['agent']
}

/** Who answered what. */
export interface Refusal {
  status: number
  /** Who it was, as far as the answer says. */
  server?: string
  /** The first line of its body. */
  line: string
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  tookMs: number
}

/** Resolves with the answer's head; on a connection of its own unless an agent is given. @throws Error of Node's */
export function open(question: Question): Promise<IncomingMessage> {
  const { url, method = 'GET', headers = {}, body, signal, agent = false } = question
  const text = body === undefined ? undefined : JSON.stringify(body)
  const all = {
    ...headers,
    ...(text !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    }),
  }
  return new Promise((resolve, reject) => {
    const make = url.protocol === 'https:' ? requestHttps : requestHttp
    const request = make(url, { method, headers: all, signal, agent }, resolve)
    // Errors after the head are the response's own to tell.
    request.on('error', reject)
    request.end(text)
  })
}

/** Asks and reads the answer. @throws Error when it takes longer than `deadlineMs`, or of Node's */
export async function call(question: Question, deadlineMs = ANSWER_MS): Promise<Answer> {
  const deadline = AbortSignal.timeout(deadlineMs)
  const askedAt = now()
  try {
    const signal = AbortSignal.any([question.signal, deadline])
    const response = await open({ ...question, signal })
    const text = await bodyOf(response)
    return { status: response.statusCode ?? 0, headers: response.headers, text, tookMs: now() - askedAt }
  } catch (error) {
    if (!deadline.aborted || question.signal.aborted) throw error
    throw Object.assign(new Error(`no answer within ${deadlineMs / 1000} s`), { code: 'ETIMEDOUT' })
  }
}

/** The body, cut off at a bound. */
export async function bodyOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > BODY_BYTES) break
  }
  return Buffer.concat(pieces).toString()
}

/** An answer's JSON; `undefined` when it is none. */
export function jsonOf({ text }: Pick<Answer, 'text'>): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text) as unknown
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined // a page, or nothing; its status and first line say more
  }
}

/** Twinrail's own refusals are told by what they say, not by the proxy that puts its name on all that it passes on. */
export function refusalOf({ status, headers, text }: Omit<Answer, 'tookMs'>): Refusal {
  const body = jsonOf({ text })
  const own = (body?.['error'] ?? body) as { code?: unknown; message?: unknown } | undefined
  if (typeof own?.code === 'string' && typeof own.message === 'string') {
    return { status, server: 'Twinrail', line: oneLine(own.message) }
  }
  const server = headers['server']
  const line = oneLine(text.split('\n').find(line => line.trim() !== '') ?? '')
  return { status, ...(typeof server === 'string' && { server: oneLine(server) }), line }
}

/** The refusal in words. */
export function saidBy({ status, server, line }: Refusal): string {
  return `${status}${server ? ` by ${server}` : ''}${line ? `: ${line}` : ''}`
}

/** Why there was no answer, in plain words. */
export function reasonOf(error: unknown): string {
  const { code = '', message = String(error) } = error as { code?: string; message?: string }
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the name cannot be resolved'
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no way to that address'
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
