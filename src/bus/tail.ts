/** How a topic, its live groups and its subscriptions see each other. */
import type { LogEvent } from '../log/event.ts'
import type { EndReason } from '../protocol/index.ts'
import type { CreditWindow } from './credit-window.ts'
import type { BusObserver } from './observer.ts'
import type { Sink } from './sink.ts'
import type { SubscriptionView } from './subscription-view.ts'

/** The newest events of a session, as a live group sees its topic. */
export interface Tail {
  readonly epoch: number
  /** Number of the last event that has arrived here. */
  readonly head: number
  /** UTF-16 units of all events that have arrived here: what lag in bytes is measured by. */
  readonly written: number
  /** How long the oldest event that is not flushed yet has been here, in ms. */
  readonly delayMs: number
  readonly ring: {
    /** The events after `seq` up to `through`; `undefined` when some of them are not held any more. */
    after(seq: number, through: number): readonly LogEvent[] | undefined
  }
  readonly observer: BusObserver
}

/** A subscription, as a live group sees it. */
export interface Member<B> {
  readonly sink: Sink<B>
  readonly window: CreditWindow | undefined
  /** The group stops serving it. It has everything up to `cursor`; `written` is the topic's total at that point. */
  fallBehind(cursor: number, written: number): void
  /** Sends `end` and leaves the topic. */
  end(reason: EndReason): void
}

/** A subscription, as its topic sees it. */
export interface Subscriber {
  /** Its live group does not serve it: it reads from the ring or the log. */
  readonly isLagging: boolean
  /** How far it is behind the head, in events and UTF-16 units. */
  readonly lag: { readonly events: number; readonly bytes: number }
  /** What an operator sees of it; `undefined` when nobody said whose it is. */
  readonly view: SubscriptionView | undefined
  /** Applies its lag policy; called when the lag may have grown. */
  checkLag(): void
  /** The log lost events that were seen. */
  lost(): void
  end(reason: EndReason): void
}
