/** The one writer of foreign event streams: sends a run to one reader, who may be slow, leave, or come back. */
import { pipeline } from 'node:stream/promises'
import type { FastifyReply } from 'fastify'
import type { TwinrailError } from '../protocol/index.ts'
import { startTimer } from '../protocol/timers.ts'
import type { Connection } from '../transports/connections.ts'
import { newConnectionId, type TransportContext } from '../transports/context.ts'
import type { Beating } from '../transports/heartbeat.ts'
import type { Frame } from './dialect.ts'
import type { DialectName } from './names.ts'
import { RunFrames, type RunStream, type StreamEnd } from './run-frames.ts'

/** How the frames of a dialect are written. */
export interface Framing {
  /** The text of a frame. @default that of fastify-sse-v2: `data: `, LF */
  text?(frame: Frame): string
}

/**
 * Answers a request with a run's foreign stream. Resolves once the stream is open.
 * @param onEnd is called once, when the response is over, with how its stream ended and whether all of it was sent
 * @throws TwinrailError the refusal, before anything was sent
 */
export async function serveRunStream(
  context: TransportContext,
  reply: FastifyReply,
  stream: RunStream,
  headers: Record<string, string> = {},
  { text }: Framing = {},
  onEnd?: (end: StreamEnd, sent: boolean) => void,
): Promise<void> {
  // An event stream buffers no more than its socket does.
  context.answers.park(reply.raw)
  context.connections.mustBeOpen()
  const frames = new RunFrames(context, reply.request, stream)
  const connection = new StreamConnection(context, reply, stream, frames)
  frames.connection = connection
  await frames.open()
  frames.onLost = refusal => connection.close(refusal)
  reply.hijack()
  if (!connection.open(headers)) {
    frames.leave()
    return
  }
  const { raw } = reply
  raw.once('close', () => onEnd?.(frames.end ?? 'left', raw.writableFinished))
  // fastify-sse-v2 pipes the messages with the response's backpressure; its form of a frame is fixed.
  if (!text) reply.sse(connection.source(frame => frame))
  else {
    // It waits for the response to drain. A reader that leaves ends it with an error, of which `raw` tells by `close`.
    pipeline(connection.source(text), raw).catch(() => {})
  }
}

/** The response of one foreign stream. */
class StreamConnection implements Connection, Beating {
  readonly transport: DialectName
  readonly id = newConnectionId()
  readonly subscriptions = 1
  sentBytes = 0
  readonly heartbeatMs: number
  wroteAt: number
  readonly #context: TransportContext
  readonly #reply: FastifyReply
  readonly #frames: RunFrames
  /** Bytes that the socket had taken when the response was first seen to wait, and since when it waits; see `beat`. */
  #stalled: { bytes: number; since: number } | undefined

  constructor(context: TransportContext, reply: FastifyReply, stream: RunStream, frames: RunFrames) {
    this.#context = context
    this.#reply = reply
    this.#frames = frames
    this.transport = stream.dialect
    this.heartbeatMs = stream.heartbeatMs ?? context.heartbeatMs
    this.wroteAt = context.heartbeats.now()
  }

  get principal(): string {
    return this.#frames.principal
  }

  get waitingBytes(): number {
    return this.#reply.raw.writableLength
  }

  /** Writes the head. Returns `false` when the client has left already. */
  open(headers: Record<string, string>): boolean {
    const { raw } = this.#reply
    if (raw.destroyed || this.#reply.request.raw.socket.destroyed) return false
    raw.once('close', () => this.#forget())
    this.#context.connections.add(this)
    this.#context.heartbeats.add(this)
    // A hijacked reply sends no headers by itself, so those set by hooks (CORS) are copied.
    const set = this.#reply.getHeaders() as Record<string, string>
    raw.writeHead(200, { ...set, ...streamHeaders, ...headers })
    raw.flushHeaders()
    return true
  }

  /**
   * What is written, frame by frame. Not a generator: each of its values would take several turns of the microtask queue.
   * @param form what is made of a frame
   */
  source<T>(form: (frame: Frame) => T): AsyncIterable<T> {
    const frames = this.#frames
    let batch: readonly Frame[] = []
    let at = 0
    const result = (frame: Frame): IteratorResult<T, undefined> => {
      at++
      this.sentBytes += frame.data?.length ?? 0
      return { value: form(frame), done: false }
    }
    const next = (): Promise<IteratorResult<T, undefined>> => {
      const frame = batch[at]
      // A slow reader gets nothing more of what was read before the right was lost.
      const isOver = frames.lost !== undefined && frames.end === undefined
      if (frame && !isOver) return Promise.resolve(result(frame))
      return new Promise(resolve =>
        frames.pull(pulled => {
          batch = pulled ?? []
          at = 0
          const first = batch[0]
          if (!first) return resolve(end())
          this.wroteAt = this.#context.heartbeats.lately
          resolve(result(first))
        }),
      )
    }
    const end = async (): Promise<IteratorReturnResult<undefined>> => {
      if (frames.failure !== undefined) {
        this.#reply.request.log.error({ err: frames.failure }, 'a foreign stream failed')
      }
      if (frames.end === 'cut') await this.#cut()
      return { value: undefined, done: true }
    }
    return { [Symbol.asyncIterator]: () => ({ next, return: () => frames.return() }) }
  }

  beat(): void {
    const { raw, request } = this.#reply
    if (raw.writableLength === 0) {
      this.#stalled = undefined
      this.#frames.beat()
      return
    }
    const now = this.#context.heartbeats.now()
    const bytes = request.raw.socket.bytesWritten
    if (this.#stalled?.bytes !== bytes) this.#stalled = { bytes, since: now }
    else if (now - this.#stalled.since >= this.#context.stallMs) {
      this.#context.onLost(this.transport, 'stalled')
      raw.destroy()
    }
  }

  close(reason: TwinrailError): void {
    this.#frames.bid(reason.code, reason.message)
    const { raw } = this.#reply
    // A client that does not read its farewell is cut off.
    raw.once(
      'close',
      startTimer(this.#context.stallMs, () => raw.destroy(), { unref: true }),
    )
  }

  #forget(): void {
    this.#frames.leave()
    this.#context.heartbeats.remove(this)
    this.#context.connections.remove(this)
  }

  /** Cuts the connection off once what was written has left: a clean end would look like a complete answer. */
  async #cut(): Promise<void> {
    const { raw } = this.#reply
    await new Promise<void>(resolve => {
      raw.once('close', resolve)
      if (raw.destroyed) return resolve()
      raw.write('', () => {
        raw.destroy()
        resolve()
      })
    })
  }
}

/** Headers that prevent caching, compression by proxies, and buffering by nginx. */
const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}
