/** HTTP requests with an answer (commands and polls) on a kept connection. */
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface HttpAnswer {
  status: number
  body: Buffer
}

/** A kept connection for requests: one at a time over HTTP/1.1, concurrent over HTTP/2. */
export interface HttpLine {
  /** Resolves with the answer. Rejects when the connection is closed first. */
  request(
    method: 'GET' | 'POST',
    path: string,
    headers: OutgoingHttpHeaders,
    body?: string,
  ): Promise<HttpAnswer>
  close(): void
}

const HEAD_END = Buffer.from('\r\n\r\n')

interface Pending {
  readonly text: string
  resolve(answer: HttpAnswer): void
  reject(error: Error): void
}

/**
 * HTTP/1.1 by hand: connects when needed and again after the server has closed; answers need a content-length. A complete
 * client library would take longer per request than the server does, and that time would count as the server's.
 */
class Http1 implements HttpLine {
  readonly #port: number
  readonly #tls: boolean
  #socket: Socket | undefined
  #received: Buffer = Buffer.alloc(0)
  #current: Pending | undefined
  readonly #queue: Pending[] = []
  #isClosed = false

  constructor(port: number, tls: boolean) {
    this.#port = port
    this.#tls = tls
  }

  request(method: string, path: string, headers: OutgoingHttpHeaders, body = ''): Promise<HttpAnswer> {
    const all = { host: `127.0.0.1:${this.#port}`, ...headers, 'content-length': Buffer.byteLength(body) }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
    const text = `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new Error('the connection was closed before the request'))
      this.#queue.push({ text, resolve, reject })
      this.#next()
    })
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.destroy()
    this.#fail()
  }

  #next(): void {
    if (this.#current) return
    this.#current = this.#queue.shift()
    if (!this.#current) return
    this.#socket ??= this.#open()
    this.#socket.write(this.#current.text)
  }

  #open(): Socket {
    const where = { port: this.#port, host: '127.0.0.1' }
    const socket = this.#tls ? connectTls({ ...where, rejectUnauthorized: false }) : connect(where)
    socket.setNoDelay()
    socket.on('data', bytes => this.#take(bytes))
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket === socket) this.#fail()
    })
    return socket
  }

  /** Fails every request of a connection that has ended. */
  #fail(): void {
    this.#socket = undefined
    this.#received = Buffer.alloc(0)
    const waiting = [this.#current, ...this.#queue.splice(0)]
    this.#current = undefined
    for (const one of waiting) one?.reject(new Error('the connection was closed before the answer'))
  }

  #take(bytes: Buffer): void {
    this.#received = this.#received.length > 0 ? Buffer.concat([this.#received, bytes]) : bytes
    const end = this.#received.indexOf(HEAD_END)
    if (end < 0) return
    const head = this.#received.toString('latin1', 0, end)
    const length = /^content-length: *(\d+)/im.exec(head)?.[1]
    if (length === undefined) {
      this.#socket?.destroy(new Error(`expected an answer with content-length, got ${head}`))
      return
    }
    const start = end + HEAD_END.length
    const stop = start + Number(length)
    if (this.#received.length < stop) return
    const body = Buffer.from(this.#received.subarray(start, stop))
    const current = this.#current
    this.#received = Buffer.alloc(0)
    this.#current = undefined
    if (/^connection: *close/im.test(head)) {
      this.#socket?.destroy()
      this.#socket = undefined
    }
    current?.resolve({ status: Number(head.slice(9, 12)), body })
    this.#next()
  }
}

export const http1 = (port: number, tls: boolean): HttpLine => new Http1(port, tls)

/** Requests on an HTTP/2 connection that others may share; closing leaves it open. */
export const http2 = (session: ClientHttp2Session): HttpLine => ({
  request: (method, path, headers, body) =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':method': method, ':path': path, ...headers })
      const parts: Buffer[] = []
      let status = 0
      stream.on('response', head => {
        status = Number(head[':status'])
      })
      stream.on('data', part => parts.push(part))
      stream.on('end', () => resolve({ status, body: Buffer.concat(parts) }))
      stream.on('error', reject)
      stream.end(body)
    }),
  close() {},
})
