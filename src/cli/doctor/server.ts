/** The server under test: whether it is a Twinrail server, what is in front of it, and a session of the doctor's own on it. */
import { Agent as HttpAgent, type IncomingHttpHeaders } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { addAbortSignal } from 'node:stream'
import { connect } from 'node:tls'
import { endpoint, newId } from '../../../client/index.ts'
import { oneLine } from '../text.ts'
import {
  ANSWER_TIMEOUT_MS,
  describeError,
  describeRefusal,
  fetchResponse,
  type HttpRequest,
  type HttpResponse,
  median,
  now,
  openResponse,
  parseJson,
  readBody,
  refusalOf,
  waitAtMost,
} from './http.ts'

/** Why the transports cannot be measured at all. */
export type SetupFault = 'unreachable' | 'not-twinrail' | 'host-refused' | 'refused' | 'commands-fail'

export class CannotMeasure extends Error {
  override readonly name = 'CannotMeasure'
  readonly code: SetupFault

  constructor(code: SetupFault, message: string) {
    super(message)
    this.code = code
  }
}

export interface ServerInfo {
  /** The version of TLS; absent over plain HTTP. */
  tls?: string
  /** What a browser would negotiate. */
  http: 'HTTP/1.1' | 'HTTP/2'
  /** Servers and proxies that name themselves in response headers. */
  intermediaries: string[]
  /** Median of several requests on one connection. */
  roundTripMs: number
  agents: string[]
}

const ROUND_TRIPS = 5

/** Asks the server for its agents. @throws CannotMeasure when it is no Twinrail server or refuses */
export async function inspectServer(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<ServerInfo> {
  const address = endpoint(url, 'agents')
  const tls =
    address.protocol === 'https:' ? await negotiateTls(address, signal) : { http: 'HTTP/1.1' as const }
  const unreachable = (error: unknown) => {
    throw signal.aborted ? error : new CannotMeasure('unreachable', `${url}: ${describeError(error)}`)
  }
  const response = await fetchResponse({ url: address, headers, signal }).catch(unreachable)
  const { agents } = mustBeTwinrail(url, response) as { agents: { name: string }[] }
  return {
    ...tls,
    intermediaries: serversNamedIn(response.headers),
    roundTripMs: await measureRoundTrip(address, headers, signal).catch(unreachable),
    agents: agents.map(({ name }) => name),
  }
}

/** @throws CannotMeasure unless the response lists agents */
function mustBeTwinrail(url: string, response: HttpResponse): Record<string, unknown> {
  const body = parseJson(response)
  if (response.status === 200 && Array.isArray(body?.['agents'])) return body
  const error = body?.['error'] as { code?: string; message?: string; requestId?: string } | undefined
  if (error?.code === 'not-found' && error.requestId !== undefined) {
    throw new CannotMeasure('not-twinrail', `${url}: a Twinrail server answers, but not under this path`)
  }
  if (typeof error?.code === 'string' && error.requestId !== undefined) {
    const host = error.code === 'forbidden' && error.message?.includes('Host')
    throw new CannotMeasure(
      host ? 'host-refused' : 'refused',
      `${url}: the server refuses (${error.code}): ${oneLine(error.message)}`,
    )
  }
  throw new CannotMeasure(
    'not-twinrail',
    `${url} is no Twinrail server: GET ${endpoint(url, 'agents').pathname} was answered ${describeRefusal(refusalOf(response))}`,
  )
}

async function measureRoundTrip(
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<number> {
  const options = { keepAlive: true, maxSockets: 1 }
  const agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options)
  try {
    const tookMs: number[] = []
    for (let i = 0; i <= ROUND_TRIPS; i++)
      tookMs.push((await fetchResponse({ url, headers, signal, agent })).tookMs)
    // The first request also opens the connection.
    return median(tookMs.slice(1))
  } finally {
    agent.destroy()
  }
}

/** Does a TLS handshake that offers HTTP/2 first, as browsers do. */
function negotiateTls(url: URL, signal: AbortSignal): Promise<Pick<ServerInfo, 'tls' | 'http'>> {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const fail = (error: Error) => {
      socket.destroy()
      reject(
        signal.aborted ? error : new CannotMeasure('unreachable', `${url.origin}: ${describeError(error)}`),
      )
    }
    const socket = connect(
      {
        host,
        port: Number(url.port || 443),
        ...(!/^[\d.]+$|:/.test(host) && { servername: host }),
        ALPNProtocols: ['h2', 'http/1.1'],
        timeout: ANSWER_TIMEOUT_MS,
      },
      () => {
        resolve({
          tls: socket.getProtocol() ?? 'TLS',
          http: socket.alpnProtocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1',
        })
        socket.destroy()
      },
    )
    addAbortSignal(signal, socket)
    socket.on('timeout', () => fail(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)))
    socket.on('error', fail)
  })
}

/** Names in `Server`, `Via` and `CF-Ray`. Twinrail sends none of them, so each is of something in front of it. */
export function serversNamedIn(headers: IncomingHttpHeaders): string[] {
  const via = String(headers['via'] ?? '').split(',')
  const names = [String(headers['server'] ?? ''), ...via, headers['cf-ray'] ? 'cloudflare' : '']
  return [...new Set(names.map(name => oneLine(name)).filter(name => name !== ''))]
}

/** Events that are published, one after the other. */
export const EVENT_COUNT = 5

/** Time between two of them, in ms: long enough to see whether they arrive one by one. */
export const EVENT_INTERVAL_MS = 300

export interface PublishedEvent {
  offset: string
  sentAt: number
  ackedAt: number
}

/** The doctor's own session on the server: created, published into, and deleted again. */
export class DoctorSession {
  readonly id = `doctor-${newId()}`
  readonly #url: string
  readonly #headers: Record<string, string>
  readonly #signal: AbortSignal
  #deleted: Promise<void> | undefined

  constructor(url: string, headers: Record<string, string>, signal: AbortSignal) {
    this.#url = url
    this.#headers = headers
    this.#signal = signal
  }

  address(resource: 'events' | 'commands', query: Record<string, unknown> = {}): URL {
    return endpoint(this.#url, `sessions/${this.id}/${resource}`, query)
  }

  /** @throws CannotMeasure when the POST is refused */
  async create(): Promise<void> {
    const refused = await this.#create({})
    if (refused !== undefined) throw this.#commandsFail(refused)
  }

  /** Repeats the request with the `Origin` of a page at the server's own address. Resolves with the refusal, if any. */
  refusalOfOwnPage(): Promise<string | undefined> {
    return this.#create({ origin: new URL(this.#url).origin })
  }

  /**
   * Asks for an event stream that the server refuses with 503, as proxies do by themselves while a server restarts.
   * Resolves with the status that arrives, if something between changed the request; a proxy for HTTP always does.
   */
  async statusOfUnavailable(): Promise<number | undefined> {
    const connection = 'keep-alive, twinrail-hop'
    try {
      const response = await openResponse({
        url: this.address('events'),
        headers: {
          ...this.#headers,
          accept: 'text/event-stream',
          'twinrail-doctor': 'unavailable',
          connection,
        },
        signal: AbortSignal.any([this.#signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
      })
      const { statusCode, headers } = response
      // An event stream may never end.
      const isEmpty = /^text\/event-stream\b/i.test(headers['content-type'] ?? '')
      const text = isEmpty ? '' : await readBody(response)
      response.destroy()
      const error = parseJson({ text })?.['error'] as { details?: { connection?: string } } | undefined
      return error?.details?.connection === connection ? undefined : statusCode
    } catch {
      this.#signal.throwIfAborted()
      return undefined // the probes say what is wrong with the connection
    }
  }

  /** Publishes events at a fixed interval. @throws CannotMeasure when all are refused */
  async publish(): Promise<PublishedEvent[]> {
    const published: PublishedEvent[] = []
    const startedAt = now()
    let refused = ''
    for (let i = 0; i < EVENT_COUNT; i++) {
      await waitAtMost(startedAt + i * EVENT_INTERVAL_MS - now(), new Promise(() => {}), this.#signal)
      const sentAt = now()
      const event = { type: 'x.doctor', data: { number: i + 1 } }
      const answer = await this.#post({
        url: this.address('commands'),
        body: { id: `${i}`, type: 'publish', event },
      })
      const offset = typeof answer === 'string' ? undefined : parseJson(answer)?.['offset']
      if (typeof offset === 'string') published.push({ offset, sentAt, ackedAt: now() })
      else refused = typeof answer === 'string' ? answer : 'an answer without an offset'
    }
    if (published.length === 0) throw this.#commandsFail(refused)
    return published
  }

  /** Deletes the session, once. Works after Ctrl-C too, so it does not use the signal. */
  delete(): Promise<void> {
    this.#deleted ??= fetchResponse({
      url: endpoint(this.#url, `sessions/${this.id}`),
      method: 'DELETE',
      headers: this.#headers,
      signal: new AbortController().signal,
    }).then(
      () => {},
      () => {}, // nobody reads the error, and a session that remains has only a few events
    )
    return this.#deleted
  }

  async #create(moreHeaders: Record<string, string>): Promise<string | undefined> {
    const headers = { ...this.#headers, ...moreHeaders }
    const answer = await this.#post({
      url: endpoint(this.#url, 'sessions'),
      headers,
      body: { sessionId: this.id },
    })
    return typeof answer === 'string' ? answer : undefined
  }

  /** Resolves with a successful response, or in words with why there was none. */
  async #post(request: Omit<HttpRequest, 'signal'>): Promise<HttpResponse | string> {
    try {
      const response = await fetchResponse({
        headers: this.#headers,
        ...request,
        method: 'POST',
        signal: this.#signal,
      })
      if (response.status >= 200 && response.status < 300) return response
      return describeRefusal(refusalOf(response))
    } catch (error) {
      this.#signal.throwIfAborted()
      return describeError(error)
    }
  }

  #commandsFail(why: string): CannotMeasure {
    return new CannotMeasure('commands-fail', `${this.#url}: commands do not get through (POST: ${why})`)
  }
}
