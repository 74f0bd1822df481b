/** Bare HTTP/1.1, HTTP/2 and WebSocket. Written from PROTOCOL.md alone: nothing here knows the server's code. */
import { type ClientRequest, request as requestHttp } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { Agent, request as requestHttps } from 'node:https'
import type { Readable } from 'node:stream'
import { createSecureContext } from 'node:tls'
import { WebSocket } from 'ws'

/** The server under test. */
export interface Target {
  /** Its address with its prefix, without a slash at the end. */
  readonly url: string
  /** Headers of every request, such as `authorization`. */
  readonly headers: Readonly<Record<string, string>>
  /** Certificates to trust besides the system's, as PEM. */
  readonly ca?: string | undefined
  /** Sends requests over HTTP/2, which needs TLS. */
  readonly http2?: boolean | undefined
}

export interface Sent {
  method?: string | undefined
  headers?: Record<string, string> | undefined
  body?: string | Buffer | undefined
}

/** A response whose body has not been read. */
export interface Opened {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readable
  /** Ends the connection, or on HTTP/2 the stream. */
  close(): void
}

/** An HTTP client. On HTTP/2 all requests share one connection. */
export class Http {
  readonly #target: Target
  /** Each request has a connection of its own. To read the certificates for each would take most of the time. */
  readonly #tls: Agent
  #session: ClientHttp2Session | undefined

  constructor(target: Target) {
    const { ca } = target
    this.#target = target
    this.#tls = new Agent({
      keepAlive: false,
      ...(ca !== undefined && { secureContext: createSecureContext({ ca }) }),
    })
  }

  /** @param path below the server's address */
  open(path: string, { method = 'GET', headers = {}, body }: Sent = {}): Promise<Opened> {
    const { url, headers: always, http2 } = this.#target
    const address = new URL(`${url}${path}`)
    const all = {
      ...always,
      ...headers,
      ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
    }
    return http2 ? this.#overHttp2(address, method, all, body) : this.#overHttp1(address, method, all, body)
  }

  close(): void {
    this.#session?.destroy()
  }

  #overHttp1(url: URL, method: string, headers: Record<string, string>, body: Sent['body']): Promise<Opened> {
    const isTls = url.protocol === 'https:'
    const send = isTls ? requestHttps : requestHttp
    return new Promise((resolve, reject) => {
      const request: ClientRequest = send(url, {
        method,
        headers,
        agent: isTls && this.#tls,
      })
      request.on('error', reject)
      request.on('response', response => {
        response.on('error', () => {})
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers as Record<string, string>,
          body: response,
          close: () => request.destroy(),
        })
      })
      request.end(body)
    })
  }

  #overHttp2(url: URL, method: string, headers: Record<string, string>, body: Sent['body']): Promise<Opened> {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      const { ca } = this.#target
      this.#session = connectHttp2(url.origin, ca === undefined ? {} : { ca })
      this.#session.on('error', () => {})
    }
    const stream = this.#session.request({
      ':method': method,
      ':path': url.pathname + url.search,
      ...headers,
    })
    return new Promise((resolve, reject) => {
      stream.on('error', reject)
      stream.on('response', ({ ':status': status = 0, ...answered }) => {
        const body = stream.setEncoding('utf8')
        resolve({ status, headers: answered as Record<string, string>, body, close: () => stream.close() })
      })
      stream.end(body)
    })
  }
}

/** A message of the server: every field that an event or a control message may have. */
export interface Message {
  type: string
  id?: string | null
  offset?: string
  sessionId?: string
  runId?: string
  inputId?: string
  time?: number
  serverTime?: number
  by?: string
  from?: string
  to?: string
  ephemeral?: boolean
  data?: Record<string, unknown>
  head?: string
  earliest?: string
  after?: string
  replay?: string
  reason?: string
  code?: string
  message?: string
  retryable?: boolean
  details?: Record<string, unknown>
  protocol?: number
  connectionId?: string
  heartbeatMs?: number
  limits?: Record<string, number>
  agent?: string
  input?: unknown
  start?: string
  workId?: string
  renewMs?: number
  event?: Message
}

/** A message as it came. */
export interface Got {
  readonly json: string
  readonly message: Message
  /** The fields of its block in an event stream, in their order. */
  readonly fields?: readonly [name: string, value: string][] | undefined
}

/** A control type has no dot, an event type has one. */
export const isEvent = ({ message }: Got): boolean => message.type.includes('.')

/** Messages in the order in which they came; `next` waits for one. */
export class Inbox {
  readonly #got: Got[] = []
  readonly #signal: AbortSignal
  #over: string | undefined
  #wake: (() => void) | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', () => this.#wake?.())
  }

  put(got: Got): void {
    this.#got.push(got)
    this.#wake?.()
  }

  end(why: string): void {
    this.#over ??= why
    this.#wake?.()
  }

  async next(): Promise<Got> {
    for (;;) {
      const got = this.#got.shift()
      if (got) return got
      if (this.#over !== undefined) throw new Error(`no further message came: ${this.#over}`)
      if (this.#signal.aborted) throw new Error('no further message came in time')
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }
}

/** What a WebSocket has received, and how it ended. */
export class Socket {
  readonly inbox: Inbox
  readonly closed: Promise<number>
  readonly #socket: WebSocket

  private constructor(socket: WebSocket, signal: AbortSignal) {
    this.#socket = socket
    this.inbox = new Inbox(signal)
    socket.on('message', data => {
      for (const json of String(data).split('\n')) {
        this.inbox.put({ json, message: JSON.parse(json) as Message })
      }
    })
    this.closed = new Promise(resolve => {
      socket.on('close', code => {
        this.inbox.end(`the WebSocket was closed with ${code}`)
        resolve(code)
      })
    })
    signal.addEventListener('abort', () => socket.terminate())
  }

  /** @throws Error with the status of a refused upgrade */
  static open(
    target: Target & { query?: string },
    signal: AbortSignal,
    protocols: string[] = ['twinrail.v1'],
  ): Promise<Socket> {
    const { url, headers, ca, query = '' } = target
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/ws${query}`, protocols, {
      headers,
      perMessageDeflate: false,
      maxPayload: 16 * 1024 * 1024,
      ...(ca !== undefined && { ca }),
    })
    const opened = new Socket(socket, signal)
    return new Promise((resolve, reject) => {
      socket.on('open', () => resolve(opened))
      socket.on('error', reject)
    })
  }

  /** The subprotocol that the server chose. */
  get protocol(): string {
    return this.#socket.protocol
  }

  /** Sends an object as JSON, a text as it is, bytes as a binary message. */
  send(value: object | string | Buffer): void {
    this.#socket.send(typeof value === 'object' && !Buffer.isBuffer(value) ? JSON.stringify(value) : value)
  }

  /** Sends bytes as a text message, which they may not be. */
  sendAsText(bytes: Buffer): void {
    this.#socket.send(bytes, { binary: false })
  }

  close(): void {
    this.#socket.terminate()
  }
}
