/** A raw SSE or WebSocket subscription on a bare socket, read at full speed or at a given pace. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Dial } from '../peers/peer.ts'
import { clientFrame, isCompressed, type Sink, unwrap } from './framing.ts'

/** What a browser sends with each request: about 1 KB in 13 headers. */
export const browserHeaders = {
  connection: 'keep-alive',
  'user-agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36',
  'sec-ch-ua': '"Google Chrome";v="141", "Not?A_Brand";v="8", "Chromium";v="141"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  accept: 'text/event-stream',
  'accept-language': 'en-GB,en;q=0.9,de;q=0.8',
  'accept-encoding': 'identity',
  'cache-control': 'no-cache',
  pragma: 'no-cache',
  'sec-fetch-site': 'same-origin',
  'sec-fetch-mode': 'cors',
  cookie: `session=${'0123456789abcdef'.repeat(24)}; theme=dark; consent=all`,
}

const upgradeHeaders = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

export function request({ wire, port, path, headers }: Dial): string {
  const all = {
    host: `127.0.0.1:${port}`,
    ...browserHeaders,
    ...(wire === 'websocket' && upgradeHeaders),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

/** Longest time to connect and subscribe, in ms. Generous: a slow machine must not look like a broken server. */
const READY_MS = 60_000

/** Largest read, in bytes. */
const READ_BYTES = 64 * 1024

/** Read buffer shared by all streams at full speed: bytes are used up within the callback. */
const sharedBuffer = Buffer.alloc(READ_BYTES)

/** A masked pong without payload (RFC 6455, section 5.5.3). */
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])

export interface RawStreamOptions {
  readonly dial: Dial
  /** Removes the transport's framing even without compression. @default false */
  readonly unwraps?: boolean
  /** Bytes to read per second once subscribed; 0 reads nothing. @default as fast as they come */
  readonly pace?: number | undefined
  /** Receives what follows the subscription; the bytes are only valid within the call. */
  onBody: Sink
  onClose?(): void
}

export class RawStream {
  /** Bytes on the wire since the head. */
  received = 0
  /** Whether the server compresses. */
  compressed = false
  /** Resolves once subscribed. */
  readonly ready: Promise<void>
  readonly #socket: Socket
  readonly #options: RawStreamOptions
  #pace: number | undefined
  #pacedFrom = 0
  #paced = 0
  #text = ''
  #body: Sink | undefined
  #isReady = false
  #onReady: () => void = () => {}

  constructor(options: RawStreamOptions) {
    this.#options = options
    const { dial, pace, onClose } = options
    const buffer =
      pace === undefined ? sharedBuffer : Buffer.alloc(Math.max(2048, Math.min(READ_BYTES, pace)))
    this.#socket = dial.tls ? this.#secure(dial.port) : this.#plain(dial.port, buffer)
    this.ready = new Promise((resolve, reject) => {
      const late = setTimeout(() => this.close(), READY_MS)
      this.#onReady = () => {
        clearTimeout(late)
        resolve()
      }
      this.#socket.once('close', () => {
        reject(new Error(`${dial.path} was closed before it was ready; received so far: ${this.#text}`))
        onClose?.()
      })
    })
    this.ready.catch(() => {})
    this.#socket.on('error', () => {})
    this.#socket.write(request(dial))
  }

  /** Sends a text message; only on a WebSocket that is ready. */
  send(text: string): void {
    this.#socket.write(clientFrame(text))
  }

  /** Reads at full speed from now on. */
  wake(): void {
    this.#pace = undefined
    this.#socket.resume()
  }

  /** Sends an unsolicited pong, so that a WebSocket server sees that the client is alive. */
  pong(): void {
    if (this.#options.dial.wire === 'websocket') this.#socket.write(PONG)
  }

  close(): void {
    this.#socket.destroy()
  }

  #plain(port: number, buffer: Buffer): Socket {
    const callback = (count: number, bytes: Uint8Array) => this.#read((bytes as Buffer).subarray(0, count))
    return connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback } })
  }

  /** Reads as fast as bytes come. */
  #secure(port: number): Socket {
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    })
    socket.setNoDelay()
    return socket.on('data', bytes => this.#read(bytes))
  }

  #read(bytes: Buffer): boolean {
    if (!this.#body) this.#head(bytes)
    else this.#take(bytes)
    if (this.#pace === undefined) return true
    this.#paced += bytes.length
    if (this.#pace > 0) {
      const due = this.#pacedFrom + (this.#paced / this.#pace) * 1000
      setTimeout(() => this.#socket.resume(), Math.max(0, due - performance.now()))
    }
    return false
  }

  #head(bytes: Buffer): void {
    this.#text += bytes.toString('latin1')
    const end = this.#text.indexOf('\r\n\r\n')
    if (end < 0) return
    const { dial, unwraps } = this.#options
    const head = this.#text.slice(0, end)
    if (!/^HTTP\/1.1 (200|101) /.test(head)) return this.close()
    const rest = Buffer.from(this.#text.slice(end + 4), 'latin1')
    this.#text = ''
    this.compressed = isCompressed(head)
    const sink: Sink = text => this.#decoded(text)
    this.#body = unwraps || this.compressed ? unwrap(dial.wire, head, sink) : sink
    for (const text of dial.messages ?? []) this.#socket.write(clientFrame(text))
    if (rest.length > 0) this.#take(rest)
  }

  #take(bytes: Buffer): void {
    this.received += bytes.length
    this.#body?.(bytes)
  }

  #decoded(text: Buffer): void {
    if (this.#isReady) return this.#options.onBody(text)
    const { dial, pace, onBody } = this.#options
    this.#text += text.toString('latin1')
    const at = this.#text.indexOf(dial.readyAfter)
    if (at < 0) {
      this.#text = this.#text.slice(-200)
      return
    }
    const rest = Buffer.from(this.#text.slice(at + dial.readyAfter.length), 'latin1')
    this.#text = ''
    this.#isReady = true
    this.#pace = pace
    this.#pacedFrom = performance.now()
    this.#onReady()
    if (rest.length > 0) onBody(rest)
  }
}
