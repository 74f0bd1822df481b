/**
 * Writes shared bytes straight to a connection's socket, for SSE and WebSocket alike. The owner may use it only after
 * Node has reported that everything it wrote through `http` or `ws` before was handed to the socket.
 */
import type { Duplex } from 'node:stream'
import type { Encoding, LiveEncoder } from '../bus/encoding.ts'
import type { Sink } from '../bus/sink.ts'
import type { Control } from '../protocol/index.ts'
import type { Beating, Heartbeats } from './heartbeat.ts'

const EMPTY = Buffer.alloc(0)

export interface SocketSinkOptions<B> {
  encoding: Encoding<B>
  /** The bytes of a batch; called once per batch written, in order. */
  bytesOf(batch: B): Buffer
  heartbeats: Heartbeats
  heartbeatMs: number
  /** A write that waits longer than this ends the connection, in ms. */
  stallMs: number
  /** Writes what keeps an idle connection alive and tells a dead one; called only when nothing waits. */
  ping(): void
  /** A write has waited for too long. */
  onStalled(): void
}

export class SocketSink<B = Buffer> implements Sink<B>, Beating {
  readonly encoding: Encoding<B>
  readonly #socket: Duplex
  readonly #options: SocketSinkOptions<B>
  readonly #resumes = new Set<() => void>()
  #probing = false
  #closed = false
  /** Since when bytes wait, on the wheel's clock; 0 when none do. */
  #waitingSince = 0
  heartbeatMs: number
  wroteAt: number
  history: LiveEncoder<B> | undefined

  constructor(socket: Duplex, options: SocketSinkOptions<B>) {
    this.#socket = socket
    this.#options = options
    this.encoding = options.encoding
    this.heartbeatMs = options.heartbeatMs
    this.wroteAt = options.heartbeats.now()
  }

  ready(): boolean {
    return this.#socket.writableLength === 0 && !this.#closed
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Bytes that wait in this process. */
  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  write(batch: B, history?: LiveEncoder<B>): void {
    if (this.#closed) return
    this.#socket.write(this.#options.bytesOf(batch))
    this.history = history
    this.wroteAt = this.#options.heartbeats.lately
  }

  control(message: Control): void {
    this.write(this.encoding.control(message), this.encoding.controlsKeepHistory ? this.history : undefined)
  }

  whenReady(resume: () => void): void {
    if (this.#closed) return
    this.#resumes.add(resume)
    if (this.#probing) return
    this.#probing = true
    this.#waitingSince = this.#options.heartbeats.now()
    // `drain` never comes for small writes; the callback of an empty one always does, once all before it is out.
    this.#socket.write(EMPTY, error => {
      this.#probing = false
      this.#waitingSince = 0
      if (error || this.#closed) return
      const resumes = [...this.#resumes]
      this.#resumes.clear()
      for (const resume of resumes) resume()
    })
  }

  /** Begins to beat, or changes how much silence is allowed. Not before the head is out. */
  beatEvery(ms: number): void {
    this.heartbeatMs = ms
    if (!this.#closed) this.#options.heartbeats.add(this)
  }

  beat(): void {
    const { heartbeats, stallMs, ping, onStalled } = this.#options
    if (this.#waitingSince > 0 && heartbeats.now() - this.#waitingSince >= stallMs) onStalled()
    else if (this.ready()) ping()
    else this.whenReady(() => {})
  }

  /** Forgets the socket: nothing is written any more, nobody is called back. */
  close(): void {
    this.#closed = true
    this.#resumes.clear()
    this.#options.heartbeats.remove(this)
  }
}
