/** A client that waits: it answers pings, and when its connection ends it comes back from where it left off. */
import { connect, type Socket } from 'node:net'
import { micros } from '../clock.ts'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import type { Dial } from '../peers/peer.ts'
import { clientFrame, Dechunker, Deframer, type Sink } from './framing.ts'
import { request } from './raw-stream.ts'

/** What idle clients speak. */
export const idleWires = ['ws', 'socket.io', 'twinrail SSE', 'twinrail WebSocket'] as const
export type IdleWire = (typeof idleWires)[number]

export interface IdleClientOptions {
  readonly wire: IdleWire
  readonly port: number
  /** The address that it connects from. */
  readonly localAddress: string
  readonly sessionId: string
  /** Time over which it spreads its return, in ms, when the server names none, and before each further attempt. */
  readonly spreadMs: number
  /** The heartbeat that our protocol asks for, in ms. */
  readonly heartbeatMs: number
  onCurrent(): void
}

/** A pong without payload, and the answer to a close frame, masked with zero (RFC 6455). */
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const CLOSE = Buffer.from([0x88, 0x80, 0, 0, 0, 0])

/** Read buffer of all clients: bytes are used up within the callback. */
const buffer = Buffer.alloc(64 * 1024)

export class IdleClient {
  /** When it became current, µs on the machine's clock; 0 while it is not. */
  currentAt = 0
  /** When it began to come back. */
  returnedAt = 0
  /** Events that it has, the first one being number 0. */
  events = 0
  /** Events that came twice or out of order, and messages that it does not expect. */
  faults = 0
  /** Attempts to connect that failed. */
  refused = 0
  readonly #options: IdleClientOptions
  #socket: Socket | undefined
  #cursor: string | undefined
  #retryMs: number | undefined
  #body: Sink | undefined
  #head = ''

  constructor(options: IdleClientOptions) {
    this.#options = options
  }

  /** What it waits for while it is not current, for a failure's message. */
  get waitsFor(): string {
    if (!this.#socket || this.#socket.destroyed) return 'its next attempt'
    if (this.#socket.connecting) return 'its connection'
    return this.#body ? 'its place' : 'an answer'
  }

  open(): void {
    const { port, localAddress } = this.#options
    const callback = (count: number, bytes: Uint8Array) => this.#read((bytes as Buffer).subarray(0, count))
    this.#body = undefined
    this.#head = ''
    this.#retryMs = undefined
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      localAddress,
      noDelay: true,
      onread: { buffer, callback },
    })
    this.#socket.on('error', () => {})
    this.#socket.once('close', () => this.#closed())
    this.#socket.write(request(this.#dial()))
  }

  #dial(): Dial {
    const { wire, port, sessionId, heartbeatMs } = this.#options
    const path = wire === 'ws' ? '/' : '/socket.io/?EIO=4&transport=websocket'
    if (!wire.startsWith('twinrail')) return { wire: 'websocket', port, path, readyAfter: '' }
    const position = this.#cursor === undefined ? { replay: 'none' as const } : { after: this.#cursor }
    const kind = wire === 'twinrail SSE' ? 'sse' : 'websocket'
    return dialTwinrail(kind, port, { heartbeatMs, ...position }, false, sessionId)
  }

  #read(bytes: Buffer): boolean {
    if (this.#body) this.#body(bytes)
    else this.#readHead(bytes)
    return true
  }

  #readHead(bytes: Buffer): void {
    this.#head += bytes.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    if (!/^HTTP\/1.1 (200|101) /.test(this.#head)) return void this.#socket?.destroy()
    const rest = Buffer.from(this.#head.slice(end + 4), 'latin1')
    this.#head = ''
    this.#body = this.#decoder()
    for (const text of this.#dial().messages ?? []) this.#socket?.write(clientFrame(text))
    if (rest.length > 0) this.#body(rest)
  }

  #decoder(): Sink {
    if (this.#options.wire === 'twinrail SSE') {
      const chunks = new Dechunker(text => this.#stream(text.toString()))
      return bytes => chunks.push(bytes)
    }
    const frames = new Deframer((opcode, payload) => {
      if (opcode === 9) this.#socket?.write(PONG)
      else if (opcode === 8) this.#socket?.end(CLOSE)
      else if (opcode === 1) this.#message(payload.toString())
    })
    return bytes => frames.push(bytes)
  }

  /** Whole SSE messages. */
  #stream(text: string): void {
    for (const message of text.split('\n\n')) {
      const json = /^data: (.*)$/m.exec(message)?.[1]
      if (json === undefined || message.startsWith('event: ping')) continue
      this.#heed(JSON.parse(json))
    }
  }

  #message(text: string): void {
    switch (this.#options.wire) {
      case 'ws':
        return this.#current()
      case 'socket.io':
        if (text.startsWith('0')) this.#socket?.write(clientFrame('40'))
        else if (text === '2') this.#socket?.write(clientFrame('3'))
        else if (text.startsWith('40')) this.#current()
        return
      default:
        if (text.startsWith('{"type":"ping"')) return
        for (const line of text.split('\n')) this.#heed(JSON.parse(line))
    }
  }

  /** A message of our protocol. */
  #heed(message: { type: string; offset?: string; retryAfterMs?: number; data?: { n?: number } }): void {
    const { type, offset, data, retryAfterMs } = message
    switch (type) {
      case 'hello':
      case 'subscribed':
      case 'ack':
      case 'ping':
        return
      case 'caught-up':
        this.#cursor = offset
        return this.#current()
      case 'closing':
        this.#retryMs = retryAfterMs
        return
      case 'x.news':
        if (data?.n !== this.events) this.faults++
        this.events++
        this.#cursor = offset
        return
      case 'nack':
        throw new Error(`the server refused: ${JSON.stringify(message)}`)
      default:
        this.faults++
    }
  }

  #current(): void {
    this.currentAt = micros()
    this.#options.onCurrent()
  }

  #closed(): void {
    const wasCurrent = this.currentAt > 0
    this.currentAt = 0
    if (!wasCurrent) this.refused++
    // A server that names no time, or that is not there: the client spreads its return by itself.
    const waitMs = (wasCurrent && this.#retryMs) || Math.random() * this.#options.spreadMs
    setTimeout(() => {
      if (wasCurrent) this.returnedAt = micros()
      this.open()
    }, waitMs)
  }
}
