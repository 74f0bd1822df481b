/**
 * Writes shared bytes directly to a connection's socket, for SSE and WebSocket. The owner may use it only after
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
  /** Returns the bytes of a batch. Called once per written batch, in order. */
  bytesOf(batch: B): Buffer
  heartbeats: Heartbeats
  heartbeatMs: number
  /** Maximum time that a write may wait, in ms; then `onStalled` is called. */
  stallMs: number
  /**
   * Writes a heartbeat, which keeps an idle connection open and detects a dead one. Called only when no write waits.
   */
  ping(): void
  /** Called when a write has waited for too long. */
  onStalled(): void
}

export class SocketSink<B = Buffer> implements Sink<B>, Beating {
  readonly encoding: Encoding<B>
  readonly #socket: Duplex
  readonly #options: SocketSinkOptions<B>
  #resumes: (() => void)[] = []
  /** Answers to commands that were not written yet, in their order. */
  #answers: Buffer[] = []
  #answerBytes = 0
  #probing = false
  #closed = false
  /** Time since which bytes have been waiting, on the wheel's clock; 0 when none wait. */
  #waitingSince = 0
  heartbeatMs: number
  wroteAt: number
  /** Bytes that were written by it. */
  sentBytes = 0
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

  /** Bytes that this process has buffered for the socket. */
  get waitingBytes(): number {
    return this.#socket.writableLength + this.#answerBytes
  }

  write(batch: B, history?: LiveEncoder<B>): void {
    if (this.#closed) return
    const bytes = this.#options.bytesOf(batch)
    if (this.#answers.length > 0) this.#writeAnswers(bytes)
    else this.#put(bytes)
    this.history = history
    this.wroteAt = this.#options.heartbeats.lately
  }

  /**
   * Writes the answer to a command together with the next batch for this socket, at the latest when the turn of the event
   * loop ends: a write costs more than making what it writes. Everything that is written later stays behind it.
   */
  answer(message: Control): void {
    if (this.#closed) return
    // Later batches may refer to the bytes before the answer, which must be known by then.
    if (this.encoding.live && !this.encoding.controlsKeepHistory) return this.control(message)
    const bytes = this.#options.bytesOf(this.encoding.control(message))
    this.#answerBytes += bytes.length
    if (this.#answers.push(bytes) === 1) setImmediate(this.#endTurn)
  }

  readonly #endTurn = () => {
    if (this.#answers.length === 0) return
    this.#writeAnswers()
    this.wroteAt = this.#options.heartbeats.lately
  }

  /** Writes the waiting answers, and the batch behind them, in one piece. */
  #writeAnswers(batch?: Buffer): void {
    const all = batch === undefined ? this.#answers : [...this.#answers, batch]
    this.#answers = []
    this.#answerBytes = 0
    this.#put(all.length === 1 ? (all[0] as Buffer) : Buffer.concat(all))
  }

  #put(bytes: Buffer): void {
    this.sentBytes += bytes.length
    this.#socket.write(bytes)
  }

  control(message: Control): void {
    this.encoded(this.encoding.control(message))
  }

  /** Writes control messages that are encoded already. */
  encoded(batch: B): void {
    this.write(batch, this.encoding.controlsKeepHistory ? this.history : undefined)
  }

  whenReady(resume: () => void): void {
    if (this.#closed) return
    if (!this.#resumes.includes(resume)) this.#resumes.push(resume)
    if (this.#probing) return
    this.#probing = true
    this.#waitingSince = this.#options.heartbeats.now()
    if (this.#answers.length > 0) this.#writeAnswers()
    // Small writes emit no `drain`. The callback of an empty write is always called, after all earlier writes.
    this.#socket.write(EMPTY, error => {
      this.#probing = false
      this.#waitingSince = 0
      if (error || this.#closed) return
      const resumes = this.#resumes
      this.#resumes = []
      for (const resume of resumes) resume()
    })
  }

  /** Starts heartbeats, or changes their interval. Call it only after the response's head was written. */
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

  /** Releases the socket. Later writes do nothing, and no callback is called. */
  close(): void {
    this.#closed = true
    this.#answers = []
    this.#answerBytes = 0
    this.#resumes = []
    this.#options.heartbeats.remove(this)
  }
}
