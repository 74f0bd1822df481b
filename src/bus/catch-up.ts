/** Catching up: a subscriber reads the ring or the log, page by page, until it has what its live group has sent. */
import { type Control, formatOffset, isTerminal } from '../protocol/index.ts'
import type { CreditWindow } from './credit-window.ts'
import { fold } from './fold.ts'
import { fullness, type LagLimits } from './lag.ts'
import type { CatchUpPage } from './pages.ts'
import type { Sink } from './sink.ts'
import { type Kept, type Skipped, Skipper, type Stretch } from './skip.ts'
import type { DeliveryState } from './subscription-view.ts'
import type { Topic } from './topic.ts'

/** UTF-16 units sent to one subscriber per event-loop turn while it catches up, so that others are served too. */
const TURN_BUDGET = 256 * 1024

/** Pause before reading again from a log that failed, in ms. */
export const RETRY_MS = 500

/** What a subscription gives to whatever sends it the past. */
export interface CatchUpParts<B> {
  readonly topic: Pick<Topic, 'sessionId' | 'epoch' | 'head' | 'written' | 'pages' | 'observer' | 'deleted'>
  /** The live group, which has sent everything up to `flushed` to its members. */
  readonly group: { readonly flushed: number }
  readonly sink: Sink<B>
  /** Only this run's events. */
  readonly run: string | undefined
  readonly window: CreditWindow | undefined
  /** Whether neighbouring deltas are joined. */
  readonly folds: boolean
  /** Whether the subscriber jumps to the newest event when its limits are full. */
  readonly skips: boolean
  readonly limits: LagLimits
  /** Number of the last event that will not be sent. */
  readonly cursor: number
  /** Number of the last event that `caught-up` waits for. */
  readonly head: number
  /** A page was sent: the lag has shrunk. */
  onProgress(): void
  /** Everything is sent that the group's members have: the subscription can be one of them. */
  onUpToDate(): void
  /** The terminal event of `run` was sent, and `caught-up`. */
  onRunEnded(): void
}

/**
 * A subscriber's cursor over one life of a session's log, while the live group does not serve it.
 *
 * - `idle`: nothing is read: it has not begun, or the group serves the subscription. `begin` and `fallBehind` leave it.
 * - `reading`: the loop of `#read` sends pages. Only one such loop runs.
 * - `waiting`: for the sink, the next turn, the log or the client's credit. What is waited for continues to `reading`.
 * - `stopped`: for good.
 */
export class CatchUp<B> {
  readonly #parts: CatchUpParts<B>
  #state: 'idle' | 'reading' | 'waiting' | 'stopped' = 'idle'
  /** What it waits for while it is `waiting`. */
  #waitsFor: 'socket' | 'credit' | 'others' = 'others'
  #cursor: number
  #isCaughtUp = false
  /** What the topic had written up to the cursor, in UTF-16 units; counts from `caught-up` on. */
  #written = 0

  constructor(parts: CatchUpParts<B>) {
    this.#parts = parts
    this.#cursor = parts.cursor
  }

  /** Whether it reads, or waits to read on. */
  get isActive(): boolean {
    return this.#state === 'reading' || this.#state === 'waiting'
  }

  /** How far the subscriber is behind the head; nothing while the group serves it. */
  get lag(): { events: number; bytes: number } {
    if (!this.isActive) return { events: 0, bytes: 0 }
    const { head, written } = this.#parts.topic
    return { events: head - this.#cursor, bytes: this.#isCaughtUp ? written - this.#written : 0 }
  }

  /** Number of the last event that it has sent. */
  get cursor(): number {
    return this.#cursor
  }

  /** How the subscriber gets its events now. */
  get delivery(): DeliveryState {
    if (!this.isActive) return 'live'
    if (this.#state === 'waiting' && this.#waitsFor === 'credit') return 'paused'
    if (this.#state === 'waiting' && this.#waitsFor === 'socket') return 'stalled'
    return this.#isCaughtUp && this.#parts.folds ? 'folded' : 'catching-up'
  }

  /** How full the lag limits are; 0 until it has caught up once. */
  get fullness(): number {
    return this.#isCaughtUp ? fullness(this.#parts.limits, this.lag) : 0
  }

  /** Begins to read at the cursor. Called once. */
  begin(): void {
    if (this.#state === 'idle') this.#readOn()
  }

  /** The group served the subscription up to `cursor`, and its sink is full; `written` is the topic's total at that point. */
  fallBehind(cursor: number, written: number): void {
    if (this.#state !== 'idle') return
    this.#cursor = cursor
    this.#written = written
    this.#awaitSink()
  }

  /** The client's window has credit again. */
  credited(): void {
    if (this.#state === 'waiting') this.#awaitSink()
  }

  /** Sends nothing from now on. */
  stop(): void {
    this.#state = 'stopped'
  }

  /** Sends `caught-up`, the first time that it is called. */
  sendCaughtUp(): void {
    if (this.#isCaughtUp) return
    const { sessionId, written } = this.#parts.topic
    this.#isCaughtUp = true
    this.#written = written
    this.#control({ type: 'caught-up', sessionId, offset: this.#offset(this.#cursor) })
  }

  /** Tells the client of events that it will not get. */
  sendGap({ from, to }: Stretch, reason: 'trimmed' | 'skipped'): void {
    const { sessionId } = this.#parts.topic
    this.#control({ type: 'gap', sessionId, from: this.#offset(from), to: this.#offset(to), reason })
  }

  #awaitSink(): void {
    this.#wait('socket')
    this.#parts.sink.whenReady(this.#resume)
  }

  #awaitNextTurn(): void {
    this.#wait('others')
    setImmediate(this.#resume)
  }

  /** The log is away; the cursor has not moved. */
  #awaitLog(): void {
    this.#wait('others')
    setTimeout(this.#resume, RETRY_MS).unref()
  }

  /** The window is full; {@link credited} resumes reading. */
  #awaitCredit(): void {
    this.#wait('credit')
  }

  #wait(for_: 'socket' | 'credit' | 'others'): void {
    this.#state = 'waiting'
    this.#waitsFor = for_
  }

  readonly #resume = () => {
    if (this.#state === 'waiting') this.#readOn()
  }

  #readOn(): void {
    this.#state = 'reading'
    this.#read().catch(() => {
      if (this.#isReading()) this.#awaitLog()
    })
  }

  #isReading(): boolean {
    return this.#state === 'reading'
  }

  /** Sends pages from the cursor on until it reaches the group's position. */
  async #read(): Promise<void> {
    const { topic, group, sink, head, skips } = this.#parts
    let budget = TURN_BUDGET
    while (this.#isReading()) {
      const { flushed } = group
      if (this.#cursor >= head) this.sendCaughtUp()
      if (this.#cursor >= flushed) return this.#finish()
      if (!sink.ready()) return this.#awaitSink()
      if (skips && this.fullness >= 1) {
        await this.#skip(flushed)
        continue
      }
      // The first stretch ends where `caught-up` belongs.
      const page = await this.#page(this.#isCaughtUp ? flushed : head)
      if (!this.#isReading()) return
      if (!page) return topic.deleted()
      budget -= this.#send(page)
      if (budget <= 0 && this.#isReading()) return this.#awaitNextTurn()
    }
  }

  #finish(): void {
    this.#state = 'idle'
    this.#parts.onUpToDate()
  }

  #page(through: number): CatchUpPage | Promise<CatchUpPage | undefined> {
    const { topic, run, window, folds } = this.#parts
    const { pages, epoch } = topic
    // What is filtered or bounded for one subscriber is folded for it alone.
    const shared = folds && run === undefined && !window
    return shared ? pages.folded(epoch, this.#cursor, through) : pages.raw(epoch, this.#cursor, through)
  }

  /** Sends one page and moves the cursor; gives its size in UTF-16 units. */
  #send(page: CatchUpPage): number {
    const { topic, sink, run, window, folds, onProgress } = this.#parts
    this.#passTrimmed(page)
    let { events } = page
    let cursor = page.last
    const alone = run !== undefined || window !== undefined
    if (run !== undefined) events = events.filter(event => event.runId === run)
    const covered = run === undefined ? page.last - this.#cursor : events.length
    if (alone && folds) events = fold(topic.epoch, events, window?.size)
    if (window) {
      const fit = window.fit(events)
      if (fit < events.length) {
        events = events.slice(0, fit)
        cursor = events.at(-1)?.seq ?? this.#cursor
      }
      window.take(events)
    }
    if (events.length > 0) {
      sink.write(alone ? sink.encoding.events(events) : page.encoded(sink.encoding))
    }
    topic.observer.caughtUp(covered, events.length)
    this.#cursor = cursor
    this.#written += cursor === page.last ? page.covered : sizeThrough(page, cursor)
    onProgress()
    if (run !== undefined && events.some(event => isTerminal(event.type))) this.#runEnded()
    else if (cursor < page.last) this.#awaitCredit()
    return events.reduce((size, event) => size + event.json.length, 0)
  }

  /**
   * Jumps to the newest event. It is sent, and so is what clients wait for on the way, each after a `gap` for what is
   * left out before it. The cursor stands behind the last thing sent, so that a jump that breaks off can go on there.
   */
  async #skip(through: number): Promise<void> {
    const { topic, run } = this.#parts
    const { pages, epoch, written } = topic
    const skipper = new Skipper()
    for (let read = this.#cursor; read < through; ) {
      const page = await pages.raw(epoch, read, through)
      if (!this.#isReading()) return
      if (!page) return topic.deleted()
      if (page.earliest > read + 1) {
        this.#leaveOut(skipper.leaveOut())
        this.#cursor = read
        this.#passTrimmed(page)
      }
      for (const event of page.events) {
        if (run !== undefined && event.runId !== run) continue
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
    const { sink, run, window } = this.#parts
    this.#leaveOut(gap)
    if (window && !window.take([event])) {
      this.#cursor = event.seq - 1
      this.#awaitCredit()
      return false
    }
    sink.write(sink.encoding.events([event]))
    this.#cursor = event.seq
    if (run !== undefined && isTerminal(event.type)) {
      this.#runEnded()
      return false
    }
    return sink.ready()
  }

  #leaveOut(skipped: Skipped | undefined): void {
    if (!skipped) return
    this.#parts.topic.observer.skipped(skipped.count)
    this.sendGap(skipped, 'skipped')
  }

  /** Sends a `gap` for what was trimmed while the subscriber lagged. */
  #passTrimmed({ earliest, last }: CatchUpPage): void {
    if (earliest <= this.#cursor + 1) return
    const to = Math.min(earliest - 1, last)
    this.sendGap({ from: this.#cursor + 1, to }, 'trimmed')
    this.#cursor = to
  }

  #runEnded(): void {
    this.sendCaughtUp()
    this.#parts.onRunEnded()
  }

  #control(control: Control): void {
    this.#parts.sink.control(control)
  }

  #offset(seq: number): string {
    return formatOffset(this.#parts.topic.epoch, seq)
  }
}

/** UTF-16 units of a page's events up to a number. The page is not folded. */
function sizeThrough({ events }: CatchUpPage, through: number): number {
  let size = 0
  for (const { seq, json } of events) {
    if (seq > through) break
    size += json.length
  }
  return size
}
