/** A client's cursor over a session's log. */
import type { z } from 'zod'
import {
  type Control,
  type EndReason,
  formatOffset,
  isTerminal,
  type LagPolicy,
  type Position,
  type Replay,
  TwinrailError,
} from '../protocol/index.ts'
import type { CreditWindow } from './credit-window.ts'
import type { Start } from './cursor.ts'
import { fold } from './fold.ts'
import { fullness, HIGH_MARK, type LagLimits, LOW_MARK } from './lag.ts'
import type { GroupSpec, LiveGroup } from './live-group.ts'
import type { CatchUpPage } from './pages.ts'
import type { Sink } from './sink.ts'
import { type Kept, type Skipped, Skipper, type Stretch } from './skip.ts'
import type { Follower, Member } from './tail.ts'
import type { Topic } from './topic.ts'

/** UTF-16 units sent to one subscriber per event-loop turn while it catches up, so that others are served too. */
const TURN_BUDGET = 256 * 1024

/** Pause before reading again from a log that failed, in ms. */
const RETRY_MS = 500

/** Where a subscription begins, on a fresh reading of the log. */
export interface Beginning {
  topic: Topic
  /** Releases the topic. */
  release(): void
  start: Start
  /** Number of the last event that `caught-up` waits for: the log's when the subscription was made, or the run's. */
  head: number
  /** Number of the last event in the log then. */
  logHead: number
  earliest: number
}

/** What a subscription is made of; see `bus.subscribe`. */
export interface SubscriptionParts<B> {
  beginning: Beginning
  sink: Sink<B>
  run: string | undefined
  replay: z.output<typeof Replay>
  coalesceMs: number
  window: CreditWindow | undefined
  lag: z.output<typeof LagPolicy>
  limits: LagLimits
  /**
   * A beginning without a cursor on a log that lost events.
   * @throws TwinrailError `session-not-found`, `run-not-found`
   */
  beginAnew: () => Promise<Beginning>
  /** The subscriber fell too far behind under `disconnect`; the transport ends the connection. */
  onTooSlow: () => void
  /** `end` is written: the subscription is over by itself. */
  onEnd: (reason: EndReason) => void
  /** The subscription is over, whoever ended it. */
  onClose: () => void
}

/**
 * Sends a session's events after a cursor, in order, each once: first `subscribed` (with `reset` or `gap`), then what
 * the log holds, `caught-up`, then what comes. It is either live (its cursor is its group's) or it reads on from the
 * ring or the log whenever its sink is ready. Replay, late joining and slowness are this one path.
 */
export class Subscription<B> implements Follower, Member<B> {
  readonly sink: Sink<B>
  readonly run: string | undefined
  readonly window: CreditWindow | undefined
  readonly #parts: SubscriptionParts<B>
  #beginning: Beginning
  #topic: Topic
  readonly #spec: GroupSpec<B>
  #group: LiveGroup<B> | undefined
  #cursor: number
  #state: 'new' | 'reading' | 'waiting' | 'live' | 'moving' | 'over' = 'new'
  #caughtUp = false
  /** What the topic had written up to the cursor, in UTF-16 units; counts from `caught-up` on. */
  #written = 0

  constructor(parts: SubscriptionParts<B>) {
    this.#parts = parts
    this.#beginning = parts.beginning
    this.#topic = parts.beginning.topic
    this.sink = parts.sink
    this.run = parts.run
    this.window = parts.window
    this.#cursor = parts.beginning.start.cursor
    const { sink, run, coalesceMs, replay } = parts
    this.#spec = { encoding: sink.encoding, run, coalesceMs, folds: replay !== 'full' }
  }

  get sessionId(): string {
    return this.#topic.sessionId
  }

  /** Nothing will be sent: the client has all of an ended run, and nothing to forget. */
  get isExhausted(): boolean {
    const { over, reset, gap } = this.#beginning.start
    return over && !reset && !gap
  }

  /** Not live: it reads on from the ring or the log. */
  get isLagging(): boolean {
    return this.#state === 'reading' || this.#state === 'waiting'
  }

  /** How far it is behind the head. */
  get lag(): { events: number; bytes: number } {
    if (!this.isLagging) return { events: 0, bytes: 0 }
    const bytes = this.#caughtUp ? this.#topic.written - this.#written : 0
    return { events: this.#topic.head - this.#cursor, bytes }
  }

  /** How full its lag limits are; 0 until it has caught up once. */
  get fullness(): number {
    if (!this.#caughtUp) return 0
    return fullness(this.#parts.limits, this.lag)
  }

  /** Joins the topic, so that nothing that arrives from now on is missed. Called once, before `start`. */
  enter(): void {
    this.#group = this.#topic.enter(this, this.#spec)
  }

  /** Sends what opens the stream and begins to deliver. Called once. */
  start(): void {
    if (this.#state !== 'new') return
    const { start, logHead, earliest } = this.#beginning
    const { sessionId } = this
    const { replay } = this.#parts
    const head = this.#offset(logHead)
    this.#control({
      type: 'subscribed',
      sessionId,
      head,
      earliest: this.#offset(earliest),
      after: this.#offset(start.cursor),
      replay,
    })
    if (start.reset) this.#control({ type: 'reset', sessionId, reason: start.reset, head })
    this.#begin()
  }

  /** The log lost events that were seen: says so and starts over on what is left. */
  lost(): void {
    // One that has not begun yet starts over when it begins.
    if (this.#state === 'over' || this.#state === 'new' || this.#state === 'moving') return
    this.#state = 'moving'
    this.#leave()
    this.#startOver().catch(() => {
      // Nothing is left of the session, or of the run.
      if (this.#state !== 'moving') return
      this.#state = 'reading'
      this.end('deleted')
    })
  }

  /** The group stops serving this subscription, which has everything up to `cursor`; `written` is the topic's total at that point. */
  fallBehind(cursor: number, written: number): void {
    if (this.#state === 'over') return
    this.#cursor = cursor
    this.#written = written
    this.#waitForSink()
    this.checkLag()
  }

  /** Applies the lag policy; called whenever the lag has grown. */
  checkLag(): void {
    const { lag, onTooSlow } = this.#parts
    if (lag === 'wait' && this.fullness >= HIGH_MARK) this.#topic.gate.hold(this)
    if (lag !== 'disconnect' || this.fullness < 1) return
    this.close()
    onTooSlow()
  }

  /** Gives the client credit again for everything up to this position, which it has consumed; ignored when the position is of another incarnation of the log. */
  grant({ epoch, seq }: Position): void {
    if (epoch !== this.#topic.epoch) return
    this.window?.grant(seq)
    if (this.#state === 'waiting') this.#waitForSink()
  }

  /** Sends `end` (after `caught-up`, if that is still owed) and leaves. */
  end(reason: EndReason): void {
    // One that has not begun yet ends when it begins.
    if (this.#state === 'over' || this.#state === 'new') return
    if (reason === 'run-ended') this.#sendCaughtUp()
    this.#control({
      type: 'end',
      sessionId: this.sessionId,
      ...(this.run !== undefined && { runId: this.run }),
      reason,
    })
    this.close()
    this.#parts.onEnd(reason)
  }

  /** Leaves the topic without sending anything. */
  close(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#leave()
    this.#beginning.release()
    this.#parts.onClose()
  }

  /** Leaves the topic; the subscription may enter another one. */
  #leave(): void {
    this.#topic.gate.release(this)
    if (this.#group) this.#topic.leave(this, this.#group, this.#spec)
    this.#group = undefined
  }

  /** After `subscribed` or `reset`: reports what is missing and reads on. */
  #begin(): void {
    const { start } = this.#beginning
    if (start.gap) this.#gap(start.gap, 'trimmed')
    this.#state = 'reading'
    if (this.#topic.isLost) return this.lost()
    if (this.#topic.isOver) return this.end('deleted')
    if (start.over) {
      this.#caughtUp = this.isExhausted
      return this.end('run-ended')
    }
    this.#readOn()
  }

  async #startOver(): Promise<void> {
    for (;;) {
      try {
        const anew = await this.#parts.beginAnew()
        // The old topic is kept until there is a new one, so that the session stays followed.
        this.#beginning.release()
        this.#beginning = anew
        break
      } catch (error) {
        if (!(error instanceof TwinrailError && error.retryable)) throw error
        await new Promise(resolve => setTimeout(resolve, RETRY_MS).unref())
      }
      if (this.#state !== 'moving') return
    }
    // Closed meanwhile.
    if (this.#state !== 'moving') return this.#beginning.release()
    const { topic, start, logHead } = this.#beginning
    this.#topic = topic
    this.#cursor = start.cursor
    this.#caughtUp = false
    this.#written = 0
    this.window?.clear()
    this.sink.history = undefined
    this.enter()
    const { sessionId } = this
    this.#control({ type: 'reset', sessionId, reason: 'lost', head: this.#offset(logHead) })
    this.#begin()
  }

  #waitForSink(): void {
    this.#state = 'waiting'
    this.sink.whenReady(this.#resume)
  }

  readonly #resume = () => {
    if (this.#state === 'waiting') this.#readOn()
  }

  #readOn(): void {
    this.#state = 'reading'
    this.#read().catch(() => {
      // The log is away; the cursor has not moved.
      if (this.#state !== 'reading') return
      this.#state = 'waiting'
      setTimeout(this.#resume, RETRY_MS).unref()
    })
  }

  /** Sends pages from the cursor on until it reaches the group's position; then the subscription is live. */
  async #read(): Promise<void> {
    let budget = TURN_BUDGET
    const topic = this.#topic
    while (this.#reads(topic)) {
      const group = this.#group as LiveGroup<B>
      const { flushed } = group
      if (this.#cursor >= this.#beginning.head) this.#sendCaughtUp()
      if (this.#cursor >= flushed) return this.#goLive(group)
      if (!this.sink.ready()) return this.#waitForSink()
      if (this.#parts.lag === 'skip' && this.fullness >= 1) {
        await this.#skip(flushed)
        continue
      }
      // The first stretch ends where `caught-up` belongs.
      const page = await this.#page(this.#caughtUp ? flushed : this.#beginning.head)
      if (!this.#reads(topic)) return
      if (!page) return topic.deleted()
      budget -= this.#send(page)
      if (budget <= 0 && this.#state === 'reading') return this.#nextTurn()
    }
  }

  /** Whether it still reads, and still on the log that it began to read on. */
  #reads(topic: Topic): boolean {
    return this.#state === 'reading' && this.#topic === topic
  }

  #goLive(group: LiveGroup<B>): void {
    this.#state = 'live'
    this.#topic.gate.release(this)
    group.join(this)
  }

  #nextTurn(): void {
    this.#state = 'waiting'
    setImmediate(() => {
      if (this.#state === 'waiting') this.#waitForSink()
    })
  }

  #page(through: number): CatchUpPage | Promise<CatchUpPage | undefined> {
    const { pages, epoch } = this.#topic
    // What is filtered or bounded for one subscriber is folded for it alone.
    const shared = this.#spec.folds && this.run === undefined && !this.window
    return shared ? pages.folded(epoch, this.#cursor, through) : pages.raw(epoch, this.#cursor, through)
  }

  /** Sends one page and moves the cursor; gives its size in UTF-16 units. */
  #send(page: CatchUpPage): number {
    this.#passTrimmed(page)
    let { events } = page
    let cursor = page.last
    const alone = this.run !== undefined || this.window !== undefined
    if (this.run !== undefined) events = events.filter(event => event.runId === this.run)
    const covered = this.run === undefined ? page.last - this.#cursor : events.length
    if (alone && this.#spec.folds) events = fold(this.#topic.epoch, events, this.window?.size)
    if (this.window) {
      const fit = this.window.fit(events)
      if (fit < events.length) {
        events = events.slice(0, fit)
        cursor = events.at(-1)?.seq ?? this.#cursor
      }
      this.window.take(events)
    }
    if (events.length > 0) {
      this.sink.write(alone ? this.sink.encoding.events(events) : page.encoded(this.sink.encoding))
    }
    this.#topic.observer.caughtUp(covered, events.length)
    this.#cursor = cursor
    this.#written += page.covered
    if (this.fullness < LOW_MARK) this.#topic.gate.release(this)
    if (this.run !== undefined && events.some(event => isTerminal(event.type))) this.end('run-ended')
    // The window is full: the next `grant` resumes reading.
    else if (cursor < page.last) this.#state = 'waiting'
    return events.reduce((size, event) => size + event.json.length, 0)
  }

  /**
   * Jumps to the newest event. It is sent, and so is what somebody waits for on the way, each after a `gap` for what is
   * left out before it. The cursor stands behind the last thing sent, so that a jump that breaks off can go on there.
   */
  async #skip(through: number): Promise<void> {
    const topic = this.#topic
    const { pages, epoch, written } = topic
    const skipper = new Skipper()
    for (let read = this.#cursor; read < through; ) {
      const page = await pages.raw(epoch, read, through)
      if (!this.#reads(topic)) return
      if (!page) return topic.deleted()
      if (page.earliest > read + 1) {
        this.#leaveOut(skipper.leaveOut())
        this.#cursor = read
        this.#passTrimmed(page)
      }
      for (const event of page.events) {
        if (this.run !== undefined && event.runId !== this.run) continue
        const kept = skipper.classify(event)
        if (kept && !this.#sendKept(kept)) return
      }
      read = page.last
    }
    const newest = skipper.newest()
    if (newest && !this.#sendKept(newest)) return
    this.#cursor = through
    this.#written = written
  }

  /** Sends one event of a jump and the gap before it; `false` when the jump ends here, or must wait. */
  #sendKept({ gap, event }: Kept): boolean {
    this.#leaveOut(gap)
    if (this.window && !this.window.take([event])) {
      // The next `grant` resumes the jump.
      this.#cursor = event.seq - 1
      this.#state = 'waiting'
      return false
    }
    this.sink.write(this.sink.encoding.events([event]))
    this.#cursor = event.seq
    if (this.run !== undefined && isTerminal(event.type)) {
      this.end('run-ended')
      return false
    }
    return this.sink.ready()
  }

  #leaveOut(skipped: Skipped | undefined): void {
    if (!skipped) return
    this.#topic.observer.skipped(skipped.count)
    this.#gap(skipped, 'skipped')
  }

  /** Sends a `gap` for what was trimmed while the subscriber lagged. */
  #passTrimmed({ earliest, last }: CatchUpPage): void {
    if (earliest <= this.#cursor + 1) return
    const to = Math.min(earliest - 1, last)
    this.#gap({ from: this.#cursor + 1, to }, 'trimmed')
    this.#cursor = to
  }

  #sendCaughtUp(): void {
    if (this.#caughtUp) return
    this.#caughtUp = true
    this.#written = this.#topic.written
    this.#control({ type: 'caught-up', sessionId: this.sessionId, offset: this.#offset(this.#cursor) })
  }

  #gap({ from, to }: Stretch, reason: 'trimmed' | 'skipped'): void {
    const { sessionId } = this
    this.#control({ type: 'gap', sessionId, from: this.#offset(from), to: this.#offset(to), reason })
  }

  #control(control: Control): void {
    this.sink.control(control)
  }

  #offset(seq: number): string {
    return formatOffset(this.#topic.epoch, seq)
  }
}
