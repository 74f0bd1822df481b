/** A client's cursor over a session's log. */

import type { z } from 'zod'
import type { LogEvent } from '../log/event.ts'
import {
  type Control,
  type EndReason,
  FOLD_BYTES,
  formatOffset,
  isTerminal,
  type Replay,
} from '../protocol/index.ts'
import type { Start } from './cursor.ts'
import { fold } from './fold.ts'
import type { LiveGroup } from './live-group.ts'
import type { Rail } from './rail.ts'
import type { Topic } from './topic.ts'
import type { Window } from './window.ts'

/** What one read of the log brings at the most. */
const PAGE = { events: 1000, bytes: 256 * 1024 }

/** UTF-16 units that one subscriber gets in one event-loop turn while it catches up; the others have theirs then. */
const TURN_BUDGET = 256 * 1024

/** What a subscription is made of; see `bus.subscribe`. */
export interface SubscriptionParts<B> {
  topic: Topic
  rail: Rail<B>
  start: Start
  /** Number of the last event that `caught-up` waits for: the log's when the subscription was made, or the run's. */
  head: number
  /** Number of the last event in the log then. */
  logHead: number
  earliest: number
  run: string | undefined
  replay: z.output<typeof Replay>
  coalesceMs: number
  window: Window | undefined
  /** `end` is written: the subscription is over by itself. */
  onEnd: (reason: EndReason) => void
  /** The subscription is over, whoever ended it. */
  onClose: () => void
}

/**
 * Sends a session's events after a cursor, in order, each once: first `subscribed` (with `reset` or `gap`), then what
 * the log holds, `caught-up`, then what comes. It is either live (its cursor is its group's) or it reads on from the
 * ring or the log whenever its rail is ready. Replay, late joining and slowness are this one path.
 */
export class Subscription<B> {
  readonly rail: Rail<B>
  readonly run: string | undefined
  readonly coalesceMs: number
  /** Whether neighbouring deltas may be joined. */
  readonly folds: boolean
  readonly window: Window | undefined
  readonly #parts: SubscriptionParts<B>
  readonly #topic: Topic
  readonly #group: LiveGroup<B>
  #cursor: number
  #state: 'new' | 'reading' | 'waiting' | 'live' | 'over' = 'new'
  #caughtUp = false

  constructor(parts: SubscriptionParts<B>) {
    this.#parts = parts
    this.#topic = parts.topic
    this.rail = parts.rail
    this.run = parts.run
    this.coalesceMs = parts.coalesceMs
    this.folds = parts.replay !== 'full'
    this.window = parts.window
    this.#cursor = parts.start.cursor
    this.#group = parts.topic.group(this)
    this.#group.attach(this)
    parts.topic.add(this as Subscription<unknown>)
  }

  get sessionId(): string {
    return this.#topic.sessionId
  }

  /** Nothing will come: the client has all of an ended run, and nothing to forget. */
  get pointless(): boolean {
    const { over, reset, gap } = this.#parts.start
    return over && !reset && !gap
  }

  get isOver(): boolean {
    return this.#state === 'over'
  }

  /** Sends what opens the stream and begins to deliver. Once. */
  start(): void {
    if (this.#state !== 'new') return
    const { start, logHead, earliest, replay } = this.#parts
    const { sessionId } = this
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
    if (start.gap) this.#gap(start.gap.from, start.gap.to)
    this.#state = 'reading'
    if (this.#topic.isDeleted) return this.end('deleted')
    if (start.over) return this.end('run-ended')
    void this.#read()
  }

  /** The group has left this subscription behind at `cursor`. */
  fallBehind(cursor: number): void {
    if (this.#state === 'over') return
    this.#cursor = cursor
    this.#waitForRail()
  }

  /** The client has consumed everything up to `seq`. */
  consumed(seq: number): void {
    this.window?.consumed(seq)
    if (this.#state === 'waiting') this.#waitForRail()
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

  /** Leaves without a word. */
  close(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#topic.remove(this as Subscription<unknown>)
    this.#parts.onClose()
  }

  #waitForRail(): void {
    this.#state = 'waiting'
    this.rail.whenReady(this.#resume)
  }

  readonly #resume = () => {
    if (this.#state !== 'waiting') return
    this.#state = 'reading'
    void this.#read()
  }

  /** Sends pages from the cursor on until it stands where the group stands; then it is live. */
  async #read(): Promise<void> {
    let budget = TURN_BUDGET
    while (this.#state === 'reading') {
      const { flushed } = this.#group
      if (this.#cursor >= this.#parts.head) this.#sendCaughtUp()
      if (this.#cursor >= flushed) {
        this.#state = 'live'
        this.#group.join(this)
        return
      }
      if (!this.rail.ready()) return this.#waitForRail()
      // The first stretch ends where `caught-up` belongs.
      const through = this.#caughtUp ? flushed : this.#parts.head
      const held = this.#topic.ring.after(this.#cursor, through)
      const page = held ? held.slice(0, PAGE.events) : await this.#fromLog(through)
      if (this.#state !== 'reading' || !page) return
      const sent = this.#send(page)
      if (sent < 0) return
      budget -= sent
      if (budget <= 0) return this.#nextTurn()
    }
  }

  #nextTurn(): void {
    this.#state = 'waiting'
    setImmediate(() => {
      if (this.#state === 'waiting') this.#waitForRail()
    })
  }

  async #fromLog(through: number): Promise<readonly LogEvent[] | undefined> {
    const page = await this.#topic.log
      .read(this.sessionId, this.#cursor, { ...PAGE, through })
      .catch(() => undefined)
    if (this.#state !== 'reading') return undefined
    if (!page) {
      // The log is away: the rail's next readiness tries again.
      setTimeout(() => this.#state === 'reading' && this.#waitForRail(), 500).unref()
      return undefined
    }
    if (page.epoch !== this.#topic.epoch) {
      this.#topic.deleted()
      return undefined
    }
    if (page.earliest > this.#cursor + 1) {
      const to = Math.min(page.earliest - 1, through)
      this.#gap(this.#cursor + 1, to)
      this.#cursor = to
    }
    return page.events
  }

  /** Sends one page, folded and filtered; gives its size, or -1 when reading must not go on now. */
  #send(page: readonly LogEvent[]): number {
    const last = page.at(-1)
    if (!last) return 0
    const seen = this.run === undefined ? page : page.filter(event => event.runId === this.run)
    const maxFold = Math.min(FOLD_BYTES, this.window?.size ?? FOLD_BYTES)
    let events = this.folds ? fold(this.#topic.epoch, seen, maxFold) : seen
    let cursor = last.seq
    if (this.window) {
      const fit = this.window.fit(events)
      if (fit < events.length) {
        events = events.slice(0, fit)
        cursor = events.at(-1)?.seq ?? this.#cursor
      }
      this.window.take(events)
    }
    if (events.length > 0) this.rail.write(this.rail.encoding.events(events))
    this.#cursor = cursor
    if (this.run !== undefined && events.some(event => isTerminal(event.type))) {
      this.end('run-ended')
      return -1
    }
    if (cursor < last.seq) {
      // The window is full; `consumed` goes on.
      this.#state = 'waiting'
      return -1
    }
    return events.reduce((size, event) => size + event.json.length, 0)
  }

  #sendCaughtUp(): void {
    if (this.#caughtUp) return
    this.#caughtUp = true
    this.#control({ type: 'caught-up', sessionId: this.sessionId, offset: this.#offset(this.#cursor) })
  }

  #gap(from: number, to: number): void {
    this.#control({
      type: 'gap',
      sessionId: this.sessionId,
      from: this.#offset(from),
      to: this.#offset(to),
      reason: 'trimmed',
    })
  }

  #control(control: Control): void {
    this.rail.write(this.rail.encoding.control(control))
  }

  #offset(seq: number): string {
    return formatOffset(this.#topic.epoch, seq)
  }
}
