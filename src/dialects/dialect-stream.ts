/** The one writer of foreign event streams: encodes a run for one reader, who may be slow, leave, or come back. */
import { pipeline } from 'node:stream/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Hold, OpenKind } from '../auth/door.ts'
import type { SubscribingConnection } from '../bus/subscription-view.ts'
import { isTerminal, parseOffset, type TwinrailError, type TwinrailEvent } from '../protocol/index.ts'
import { startTimer } from '../protocol/timers.ts'
import type { Connection } from '../transports/connections.ts'
import { newConnectionId, type TransportContext } from '../transports/context.ts'
import type { Beating } from '../transports/heartbeat.ts'
import type { Frame, StreamEncoder } from './dialect.ts'
import { EventReader, type Item } from './event-reader.ts'
import type { DialectName } from './names.ts'

/** A run that waits for its users may ask several questions at once: its response ends this long after the last, in ms. */
const SETTLE_MS = 100

/** Which part of a run a foreign stream shows, and how. */
export interface RunStream {
  readonly dialect: DialectName
  readonly sessionId: string
  readonly runId: string
  readonly encoder: StreamEncoder
  /** The client has all events up to this offset. @default the stream begins with the run */
  readonly after?: string | undefined
  /** Makes the frames before the first event; called once, after the encoder was given what the client has. */
  readonly opening?: () => readonly Frame[]
  /** `full` makes the same frames each time; `compact` joins deltas of the backlog. @default compact */
  readonly replay?: 'compact' | 'full'
  /** Frames that the client has already, counted from the first, `opening` included. @default 0 */
  readonly skipFrames?: number
  /** Frames after the last event of the run, or after `suspend`. */
  readonly closing?: readonly Frame[]
  /** A heartbeat. @default a comment */
  readonly heartbeat?: Frame
  /** Silence after which a heartbeat is sent, in ms. @default the server's own */
  readonly heartbeatMs?: number
}

/** How a stream ended. */
export type StreamEnd = 'ended' | 'suspended' | 'farewell' | 'cut' | 'left'

/** The frames of a run, made while they are read. */
export class RunFrames {
  readonly #context: TransportContext
  readonly #request: FastifyRequest
  readonly #kinds: readonly OpenKind[]
  readonly #stream: RunStream
  readonly #reader = new EventReader()
  #farewell: { code: string; message: string } | undefined
  #skip: number
  #hold: Hold | undefined
  /** How the stream ended; nothing before that. */
  end: StreamEnd | undefined
  /** The refusal that ended the stream, once the principal has lost the right to it. */
  lost: TwinrailError | undefined
  /** The connection that the frames are written to, for operators. */
  connection: SubscribingConnection | undefined
  /** Is called when the right is lost. */
  onLost: ((refusal: TwinrailError) => void) | undefined

  /** @param kinds what the stream counts as while it is open */
  constructor(
    context: TransportContext,
    request: FastifyRequest,
    stream: RunStream,
    kinds: readonly OpenKind[] = ['connections', 'subscriptions'],
  ) {
    this.#context = context
    this.#request = request
    this.#kinds = kinds
    this.#stream = stream
    this.#skip = stream.skipFrames ?? 0
  }

  /** The id of the principal that follows; empty before the stream is open. */
  get principal(): string {
    return this.#hold?.principal.id ?? ''
  }

  /** A heartbeat is due. */
  beat(): void {
    this.#reader.beat()
  }

  /** The reader has left. */
  leave(): void {
    this.#hold?.release()
    this.#reader.close()
  }

  /** Authorizes the stream again now. @throws TwinrailError the refusal */
  async check(): Promise<void> {
    await this.#hold?.check()
  }

  /** Ends the stream early, with what the dialect says then. */
  bid(code: string, message: string): void {
    this.#farewell ??= { code, message }
    this.#reader.close()
  }

  /**
   * Authorizes the stream, and follows the run. Resolves with the frames to iterate over; they must be, or `leave` called.
   * When the right is lost later, nothing is read of the run any more, and the frames end with what the dialect says then.
   * @throws TwinrailError the refusal, `session-not-found`, `run-not-found`
   */
  async open(): Promise<AsyncGenerator<readonly Frame[], void, void>> {
    const { bus, door } = this.#context
    const { sessionId, runId, after, replay = 'compact' } = this.#stream
    const hold = await door.enter(this.#request, ['subscribe'], sessionId, this.#kinds, refusal => {
      this.lost = refusal
      this.bid(refusal.code, refusal.message)
      this.onLost?.(refusal)
    })
    this.#hold = hold
    try {
      if (after !== undefined) await this.#skipTo(after)
      const subscription = await bus.subscribe({
        sessionId,
        options: { after, last: undefined, run: runId, replay, coalesceMs: 0 },
        sink: this.#reader,
        connection: this.connection,
        onEnd: () => {},
      })
      return this.#frames(subscription)
    } catch (error) {
      hold.release()
      throw error
    }
  }

  /** Gives the encoder the events that the client has. */
  async #skipTo(after: string): Promise<void> {
    const { journal } = this.#context
    const { sessionId, runId, encoder } = this.#stream
    const { start } = await journal.run(sessionId, runId)
    const { epoch } = await journal.session(sessionId)
    const position = parseOffset(after)
    if (!position || position.epoch !== epoch || position.seq < start) return
    for await (const event of journal.events(sessionId, start - 1, position.seq)) {
      if (event.runId === runId) encoder.skip(event.event)
    }
  }

  async *#frames(subscription: {
    start(): void
    close(): void
  }): AsyncGenerator<readonly Frame[], void, void> {
    const { encoder, opening, closing, heartbeat = { comment: ' keep-alive' } } = this.#stream
    const reader = this.#reader
    try {
      subscription.start()
      if (opening && !this.lost) {
        const frames = this.#wanted(opening())
        if (frames.length > 0) yield frames
      }
      let isLive = false
      for (;;) {
        const items = await reader.next(isLive && encoder.isWaiting ? SETTLE_MS : undefined)
        if (items === 'beat') yield [heartbeat]
        else if (items === 'quiet') return yield* this.#last('suspended', encoder.suspend(), closing)
        else if (items === 'closed') {
          if (!this.#farewell) {
            this.end = 'left'
            return
          }
          const { code, message } = this.#farewell
          const last = encoder.farewell(code, message)
          if (last === 'cut') {
            this.end = 'cut'
            return
          }
          return yield* this.#last('farewell', last, [])
        } else {
          const frames: Frame[] = []
          for (const item of items) {
            if ('control' in item && item.control.type === 'caught-up') isLive = true
            const event = eventOf(item, this.#stream)
            if (!event) continue
            for (const frame of encoder.event(event)) frames.push(frame)
            if (isTerminal(event.type)) return yield* this.#last('ended', frames, closing)
          }
          const wanted = this.#wanted(frames)
          if (wanted.length > 0) yield wanted
        }
      }
    } finally {
      this.end ??= 'left'
      subscription.close()
      this.leave()
    }
  }

  *#last(
    end: StreamEnd,
    frames: readonly Frame[],
    closing: readonly Frame[] = [],
  ): Generator<readonly Frame[], void, void> {
    const wanted = [...this.#wanted(frames), ...closing]
    this.end = end
    if (wanted.length > 0) yield wanted
  }

  #wanted(frames: readonly Frame[]): readonly Frame[] {
    if (this.#skip === 0) return frames
    const skipped = Math.min(this.#skip, frames.length)
    this.#skip -= skipped
    return frames.slice(skipped)
  }
}

/** The event of an item; where the session or its log is gone, a terminal event that says so. */
function eventOf(item: Item, { sessionId, runId }: RunStream): TwinrailEvent | undefined {
  if ('event' in item) return item.event.event
  const { control } = item
  const lost = (code: string, message: string): TwinrailEvent => ({
    offset: '',
    sessionId,
    runId,
    type: 'run.failed',
    time: Date.now(),
    data: { code, message, retryable: false },
  })
  if (control.type === 'end' && control.reason === 'deleted') {
    return lost('session-deleted', 'the session was deleted')
  }
  if (control.type === 'end' && control.reason === 'forbidden') {
    return lost('forbidden', 'the server ended this stream; its principal may not follow the run')
  }
  if (control.type === 'reset') return lost('events-lost', 'the server lost a part of the run')
  return undefined
}

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
  const batches = await frames.open()
  frames.onLost = refusal => connection.close(refusal)
  reply.hijack()
  if (!connection.open(headers)) {
    frames.leave()
    await batches.return()
    return
  }
  const { raw } = reply
  raw.once('close', () => onEnd?.(frames.end ?? 'left', raw.writableFinished))
  const source = connection.source(batches)
  // fastify-sse-v2 pipes the messages with the response's backpressure; its form of a frame is fixed.
  if (!text) reply.sse(source)
  else {
    // It waits for the response to drain. A reader that leaves ends it with an error, of which `raw` tells by `close`.
    pipeline(texts(source, text), raw).catch(() => {})
  }
}

async function* texts(source: AsyncIterable<Frame>, text: (frame: Frame) => string): AsyncGenerator<string> {
  for await (const frame of source) yield text(frame)
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
   * The frames one by one, as fastify-sse-v2 takes them. Not a generator: each of its values would take several turns of
   * the microtask queue.
   */
  source(batches: AsyncGenerator<readonly Frame[], void, void>): AsyncIterable<Frame> {
    let batch: readonly Frame[] = []
    let at = 0
    // A slow reader gets nothing more of what was read before the right was lost.
    const isOver = () => this.#frames.lost !== undefined && this.#frames.end === undefined
    const next = (): Promise<IteratorResult<Frame, undefined>> => {
      const frame = batch[at++]
      if (frame && !isOver()) {
        this.sentBytes += frame.data?.length ?? 0
        return Promise.resolve({ value: frame, done: false })
      }
      return batches.next().then(advance).catch(fail)
    }
    const advance = ({ value, done }: IteratorResult<readonly Frame[], void>) => {
      if (done) return end()
      this.wroteAt = this.#context.heartbeats.lately
      batch = value
      at = 0
      return next()
    }
    const fail = (error: unknown) => {
      this.#reply.request.log.error({ err: error }, 'a foreign stream failed')
      this.#frames.end = 'cut'
      return end()
    }
    const end = async (): Promise<IteratorReturnResult<undefined>> => {
      batch = []
      if (this.#frames.end === 'cut') await this.#cut()
      return { value: undefined, done: true }
    }
    const leave = async (): Promise<IteratorReturnResult<undefined>> => {
      await batches.return()
      return { value: undefined, done: true }
    }
    return { [Symbol.asyncIterator]: () => ({ next, return: leave }) }
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
