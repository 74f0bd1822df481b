/** The life of a subscription: how it starts, becomes live, falls behind, starts over and ends. */
import type { z } from 'zod'
import {
  type EndReason,
  formatOffset,
  type LagPolicy,
  type Position,
  type Replay,
  TwinrailError,
} from '../protocol/index.ts'
import { CatchUp, RETRY_MS } from './catch-up.ts'
import type { CreditWindow } from './credit-window.ts'
import type { Start } from './cursor.ts'
import { HIGH_MARK, type LagLimits, LOW_MARK } from './lag.ts'
import type { GroupSpec, LiveGroup } from './live-group.ts'
import type { Sink } from './sink.ts'
import { nextNumber, type SubscribingConnection, type SubscriptionView } from './subscription-view.ts'
import type { Member, Subscriber } from './tail.ts'
import type { Topic } from './topic.ts'

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
  /** The connection that it writes to, for operators. */
  connection: SubscribingConnection | undefined
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
  /** The subscription is over, for any reason. */
  onClose: () => void
}

/** A subscription's place in one topic. Another one takes its place when the log has lost events. */
interface Place<B> {
  readonly beginning: Beginning
  readonly group: LiveGroup<B>
  readonly catchUp: CatchUp<B>
}

/**
 * Sends a session's events after a cursor, in order, each once: first `subscribed` (with `reset` or `gap`), then what
 * the log holds, `caught-up`, then what comes. While it is open, either its live group serves it or its {@link CatchUp}
 * does: replay, late joining and slowness are that one path.
 *
 * - `new`: it is in its topic, so that it misses nothing from now on, and has sent nothing. `start` opens it.
 * - `open`: events are sent.
 * - `starting-over`: the log lost events. It has left its topic and waits for a reading of the log, which opens it again.
 * - `over`: it has left its topic for good.
 */
export class Subscription<B> implements Subscriber, Member<B> {
  readonly sink: Sink<B>
  readonly run: string | undefined
  readonly window: CreditWindow | undefined
  readonly #parts: SubscriptionParts<B>
  readonly #spec: GroupSpec<B>
  readonly #number = nextNumber()
  readonly #since = Date.now()
  #place: Place<B>
  #state: 'new' | 'open' | 'starting-over' | 'over' = 'new'

  /** Enters the topic of its beginning. */
  constructor(parts: SubscriptionParts<B>) {
    const { sink, run, window, coalesceMs, replay } = parts
    this.#parts = parts
    this.sink = sink
    this.run = run
    this.window = window
    this.#spec = { encoding: sink.encoding, run, coalesceMs, folds: replay !== 'full' }
    this.#place = this.#enter(parts.beginning)
  }

  get sessionId(): string {
    return this.#topic.sessionId
  }

  /** Nothing will be sent: the client has all of an ended run, and nothing to forget. */
  get isExhausted(): boolean {
    const { over, reset, gap } = this.#place.beginning.start
    return over && !reset && !gap
  }

  get isLagging(): boolean {
    return this.#place.catchUp.isActive
  }

  get lag(): { events: number; bytes: number } {
    return this.#place.catchUp.lag
  }

  get view(): SubscriptionView | undefined {
    const { connection, lag, replay } = this.#parts
    // In any other state it is in no topic.
    if (!connection || (this.#state !== 'new' && this.#state !== 'open')) return undefined
    const { catchUp, group } = this.#place
    const state = this.#state === 'open' ? catchUp.delivery : 'opening'
    return {
      number: this.#number,
      connection,
      since: this.#since,
      run: this.run,
      lag,
      replay,
      cursor: this.#offset(state === 'live' ? group.flushed : catchUp.cursor),
      lagEvents: catchUp.lag.events,
      lagBytes: catchUp.lag.bytes,
      state,
    }
  }

  get #topic(): Topic {
    return this.#place.beginning.topic
  }

  /** Sends what opens the stream and begins to deliver. Called once. */
  start(): void {
    if (this.#state !== 'new') return
    const { start, logHead, earliest } = this.#place.beginning
    const { sessionId, sink } = this
    const head = this.#offset(logHead)
    sink.control({
      type: 'subscribed',
      sessionId,
      head,
      earliest: this.#offset(earliest),
      after: this.#offset(start.cursor),
      replay: this.#parts.replay,
    })
    if (start.reset) sink.control({ type: 'reset', sessionId, reason: start.reset, head })
    this.#open()
  }

  /** The log lost events that were seen: says so and starts over on what is left. */
  lost(): void {
    // One that has not started yet starts over when it does.
    if (this.#state !== 'open') return
    this.#state = 'starting-over'
    this.#leave()
    this.#startOver().catch(() => {
      // Nothing is left of the session, or of the run.
      if (this.#isStartingOver()) this.end('deleted')
    })
  }

  /** The group stops serving this subscription, which has everything up to `cursor`; `written` is the topic's total at that point. */
  fallBehind(cursor: number, written: number): void {
    this.#place.catchUp.fallBehind(cursor, written)
    this.checkLag()
  }

  /** Applies the lag policy; called whenever the lag has grown. */
  checkLag(): void {
    const { lag, onTooSlow } = this.#parts
    const { catchUp } = this.#place
    if (lag === 'wait' && catchUp.fullness >= HIGH_MARK) this.#topic.gate.hold(catchUp)
    if (lag !== 'disconnect' || catchUp.fullness < 1) return
    this.close()
    onTooSlow()
  }

  /** Gives the client credit again for everything up to this position, which it has consumed; ignored when the position is of another incarnation of the log. */
  grant({ epoch, seq }: Position): void {
    if (epoch !== this.#topic.epoch) return
    this.window?.grant(seq)
    this.#place.catchUp.credited()
  }

  /** Sends `end` and leaves. */
  end(reason: EndReason): void {
    // One that has not started yet ends when it does.
    if (this.#state === 'over' || this.#state === 'new') return
    const { sessionId, run } = this
    this.sink.control({ type: 'end', sessionId, ...(run !== undefined && { runId: run }), reason })
    this.close()
    this.#parts.onEnd(reason)
  }

  /** Leaves the topic without sending anything. */
  close(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#leave()
    this.#place.beginning.release()
    this.#parts.onClose()
  }

  /** Joins the topic, so that nothing that arrives from now on is missed. */
  #enter(beginning: Beginning): Place<B> {
    const { topic, start, head } = beginning
    const { sink, run, window, lag, limits } = this.#parts
    const group = topic.enter(this, this.#spec)
    const catchUp: CatchUp<B> = new CatchUp({
      topic,
      group,
      sink,
      run,
      window,
      folds: this.#spec.folds,
      skips: lag === 'skip',
      limits,
      cursor: start.cursor,
      head,
      onProgress() {
        if (catchUp.fullness < LOW_MARK) topic.gate.release(catchUp)
      },
      onUpToDate: () => {
        topic.gate.release(catchUp)
        group.join(this)
      },
      onRunEnded: () => this.end('run-ended'),
    })
    return { beginning, group, catchUp }
  }

  #leave(): void {
    const { beginning, group, catchUp } = this.#place
    catchUp.stop()
    beginning.topic.gate.release(catchUp)
    beginning.topic.leave(this, group, this.#spec)
  }

  /** After `subscribed` or `reset`: reports what is missing and begins to read. */
  #open(): void {
    const { beginning, catchUp } = this.#place
    const { topic, start } = beginning
    if (start.gap) catchUp.sendGap(start.gap, 'trimmed')
    this.#state = 'open'
    if (topic.isLost) return this.lost()
    if (topic.isOver) return this.end('deleted')
    if (!start.over) return catchUp.begin()
    if (!this.isExhausted) catchUp.sendCaughtUp()
    this.end('run-ended')
  }

  async #startOver(): Promise<void> {
    const anew = await this.#beginAnew()
    if (!anew) return
    // Closed meanwhile.
    if (!this.#isStartingOver()) return anew.release()
    // The old topic is kept until there is a new one, so that the session stays followed.
    this.#place.beginning.release()
    this.window?.clear()
    this.sink.history = undefined
    this.#place = this.#enter(anew)
    const head = this.#offset(anew.logHead)
    this.sink.control({ type: 'reset', sessionId: this.sessionId, reason: 'lost', head })
    this.#open()
  }

  /** Reads the log until it answers; nothing when the subscription was closed meanwhile. */
  async #beginAnew(): Promise<Beginning | undefined> {
    while (this.#isStartingOver()) {
      try {
        return await this.#parts.beginAnew()
      } catch (error) {
        if (!(error instanceof TwinrailError && error.retryable)) throw error
        await new Promise(resolve => setTimeout(resolve, RETRY_MS).unref())
      }
    }
    return undefined
  }

  #isStartingOver(): boolean {
    return this.#state === 'starting-over'
  }

  #offset(seq: number): string {
    return formatOffset(this.#topic.epoch, seq)
  }
}
