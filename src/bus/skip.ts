/** The lag policy `skip`: which events a subscriber gets when it jumps to the newest. */
import type { LogEvent } from '../log/event.ts'
import { isTerminal } from '../protocol/index.ts'

/** Events that clients wait for; they are sent even when their neighbours are skipped. */
export function mustNotSkip({ type }: LogEvent): boolean {
  return isTerminal(type) || type === 'input.requested' || type === 'input.answered'
}

/** Numbers of the first and the last event of a stretch that is left out. */
export interface Stretch {
  readonly from: number
  readonly to: number
}

/** A stretch that a `skip` subscriber does not get. */
export interface Skipped extends Stretch {
  /** Events left out: fewer than there are numbers where only one run's events are seen. */
  readonly count: number
}

/** An event that is sent, after the gap for what is left out before it. */
export interface Kept {
  readonly gap: Skipped | undefined
  readonly event: LogEvent
}

/** Takes the events that a subscriber would have seen, in order, and decides which of them it gets. */
export class Skipper {
  /** The last event given, unless it was kept: sent if nothing follows it. */
  #newest: LogEvent | undefined
  #left: Skipped | undefined

  /** The event with the gap before it, if it must be sent; `undefined` while it may turn out to be left out. */
  classify(event: LogEvent): Kept | undefined {
    if (mustNotSkip(event)) return { gap: this.leaveOut(), event }
    this.#skipNewest()
    this.#newest = event
    return undefined
  }

  /** Leaves out everything since the last event that was kept, and gives that stretch. */
  leaveOut(): Skipped | undefined {
    this.#skipNewest()
    const left = this.#left
    this.#left = undefined
    return left
  }

  /** Called after the last event: the newest with the gap before it, unless it was kept already. */
  newest(): Kept | undefined {
    const event = this.#newest
    this.#newest = undefined
    return event && { gap: this.leaveOut(), event }
  }

  #skipNewest(): void {
    const skipped = this.#newest
    if (!skipped) return
    const { from = skipped.seq, count = 0 } = this.#left ?? {}
    this.#left = { from, to: skipped.seq, count: count + 1 }
    this.#newest = undefined
  }
}
