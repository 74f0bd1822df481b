/** A run's frames for one reader of a foreign protocol, made when the reader takes them. */
import type { FastifyRequest } from 'fastify'
import type { Hold, OpenKind } from '../auth/door.ts'
import type { SubscribingConnection } from '../bus/subscription-view.ts'
import { isTerminal, parseOffset, type TwinrailError, type TwinrailEvent } from '../protocol/index.ts'
import type { TransportContext } from '../transports/context.ts'
import type { Frame, StreamEncoder } from './dialect.ts'
import { EventReader, type Item, type Pause } from './event-reader.ts'
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

/**
 * The frames of a run, in batches. They are made within the call that brings the events, and not through promises: a
 * stream of many small events would spend more time on those than on the events.
 */
export class RunFrames implements AsyncIterableIterator<readonly Frame[], undefined> {
  readonly #context: TransportContext
  readonly #request: FastifyRequest
  readonly #kinds: readonly OpenKind[]
  readonly #stream: RunStream
  readonly #reader = new EventReader(pause => this.#goOn(pause))
  #farewell: { code: string; message: string } | undefined
  #skip: number
  #hold: Hold | undefined
  #subscription: { start(): void; close(): void } | undefined
  #isStarted = false
  #isLive = false
  /** Gets the next batch. */
  #take: ((frames: readonly Frame[] | undefined) => void) | undefined
  /** How the stream ended; nothing before that. */
  end: StreamEnd | undefined
  /** Why no frames could be made any more; the stream is `cut` then. */
  failure: unknown
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

  /** The reader has left, or has everything. */
  leave(): void {
    this.end ??= 'left'
    // One that is slow may have left a batch behind, and not ask for another.
    this.#subscription?.close()
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
   * Authorizes the stream, and follows the run. After it the frames must be read to their end, or `leave` called.
   * When the right is lost later, nothing is read of the run any more, and the frames end with what the dialect says then.
   * @throws TwinrailError the refusal, `session-not-found`, `run-not-found`
   */
  async open(): Promise<void> {
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
      this.#subscription = await bus.subscribe({
        sessionId,
        options: { after, last: undefined, run: runId, replay, coalesceMs: 0 },
        sink: this.#reader,
        connection: this.connection,
        onEnd: () => {},
      })
    } catch (error) {
      hold.release()
      throw error
    }
  }

  /** Calls `take` once with the next frames, or with nothing after the last. One call at a time. Begins with the first. */
  pull(take: (frames: readonly Frame[] | undefined) => void): void {
    this.#take = take
    this.#goOn()
  }

  /** The next frames. Rejects when no frames could be made any more. */
  next(): Promise<IteratorResult<readonly Frame[], undefined>> {
    return new Promise((resolve, reject) =>
      this.pull(value => {
        if (value) resolve({ value, done: false })
        else if (this.failure !== undefined) reject(this.failure)
        else resolve({ value, done: true })
      }),
    )
  }

  /** Stops to follow the run. */
  async return(): Promise<IteratorReturnResult<undefined>> {
    this.leave()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
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

  /** Hands over the next frames, once there are some. */
  #goOn(pause?: Pause): void {
    const take = this.#take
    if (!take) return
    let frames: readonly Frame[] | 'waiting' | undefined
    try {
      frames = this.#nextFrames(pause)
    } catch (error) {
      this.failure = error
      this.end = 'cut'
    }
    if (frames === 'waiting') return
    this.#take = undefined
    if (!frames) this.leave()
    take(frames)
  }

  #nextFrames(pause: Pause | undefined): readonly Frame[] | 'waiting' | undefined {
    if (this.end) return undefined
    const { encoder, opening, closing, heartbeat = { comment: ' keep-alive' } } = this.#stream
    if (pause === 'beat') return [heartbeat]
    if (pause === 'quiet') return this.#last('suspended', encoder.suspend(), closing)
    if (!this.#isStarted) {
      this.#isStarted = true
      this.#subscription?.start()
      const frames = opening && !this.lost ? this.#wanted(opening()) : []
      if (frames.length > 0) return frames
    }
    for (;;) {
      const items = this.#reader.take(this.#isLive && encoder.isWaiting ? SETTLE_MS : undefined)
      if (items === undefined) return 'waiting'
      if (items === 'closed') return this.#lastEarly()
      const frames: Frame[] = []
      for (const item of items) {
        if ('control' in item && item.control.type === 'caught-up') this.#isLive = true
        const event = eventOf(item, this.#stream)
        if (!event) continue
        for (const frame of encoder.event(event)) frames.push(frame)
        if (isTerminal(event.type)) return this.#last('ended', frames, closing)
      }
      const wanted = this.#wanted(frames)
      if (wanted.length > 0) return wanted
    }
  }

  /** The stream ends before the run: the reader has left, or is told why. */
  #lastEarly(): readonly Frame[] | undefined {
    if (!this.#farewell) {
      this.end = 'left'
      return undefined
    }
    const last = this.#stream.encoder.farewell(this.#farewell.code, this.#farewell.message)
    if (last !== 'cut') return this.#last('farewell', last, [])
    this.end = 'cut'
    return undefined
  }

  #last(
    end: StreamEnd,
    frames: readonly Frame[],
    closing: readonly Frame[] = [],
  ): readonly Frame[] | undefined {
    const wanted = [...this.#wanted(frames), ...closing]
    this.end = end
    return wanted.length > 0 ? wanted : undefined
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
