/** Requests with an answer: commands and polls, on a line that is kept. */
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface Answer {
  status: number
  body: Buffer
}

/** One request after the other; those of HTTP/2 at the same time. */
export interface Line {
  /** Resolves with the answer. Rejects when the line is closed first. */
  request(method: 'GET' | 'POST', path: string, headers: OutgoingHttpHeaders, body?: string): Promise<Answer>
  close(): void
}

const HEAD_END = Buffer.from('\r\n\r\n')

interface Asked {
  readonly text: string
  resolve(answer: Answer): void
  reject(error: Error): void
}

/**
 * A connection with HTTP/1.1, opened when it is needed and again when the server has closed it; one request at a time,
 * answers with a content-length. It is bare, since what a whole client does for a request would be booked on the server.
 */
class Http1 implements Line {
  readonly #port: number
  readonly #tls: boolean
  #socket: Socket | undefined
  #received: Buffer = Buffer.alloc(0)
  #asked: Asked | undefined
  readonly #queue: Asked[] = []
  #isClosed = false

  constructor(port: number, tls: boolean) {
    this.#port = port
    this.#tls = tls
  }

  request(method: string, path: string, headers: OutgoingHttpHeaders, body = ''): Promise<Answer> {
    const all = { host: `127.0.0.1:${this.#port}`, ...headers, 'content-length': Buffer.byteLength(body) }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
    const text = `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new Error('the line was closed before the request'))
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
    if (this.#asked) return
    this.#asked = this.#queue.shift()
    if (!this.#asked) return
    this.#socket ??= this.#open()
    this.#socket.write(this.#asked.text)
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

  /** Nothing more comes on this connection. */
  #fail(): void {
    this.#socket = undefined
    this.#received = Buffer.alloc(0)
    const waiting = [this.#asked, ...this.#queue.splice(0)]
    this.#asked = undefined
    for (const one of waiting) one?.reject(new Error('the line was closed before the answer'))
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
    const asked = this.#asked
    this.#received = Buffer.alloc(0)
    this.#asked = undefined
    if (/^connection: *close/im.test(head)) {
      this.#socket?.destroy()
      this.#socket = undefined
    }
    asked?.resolve({ status: Number(head.slice(9, 12)), body })
    this.#next()
  }
}

export const http1 = (port: number, tls: boolean): Line => new Http1(port, tls)

/** A session with HTTP/2, which others may use, too: it stays open. */
export const http2 = (session: ClientHttp2Session): Line => ({
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
