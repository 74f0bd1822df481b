/** The most recent events of a session, bounded by count and size. */
import type { LogEvent } from '../log/event.ts'

export interface RingBounds {
  readonly events: number
  /** UTF-16 units of JSON, the cheap measure of bytes. */
  readonly bytes: number
}

/** A ring of neighbouring events. The newest always stays, however large. */
export class Ring {
  readonly #bounds: RingBounds
  #events: LogEvent[] = []
  /** How many at the front are gone; they are cut off now and then, so that dropping one costs nothing. */
  #dropped = 0
  #bytes = 0

  constructor(bounds: RingBounds) {
    this.#bounds = bounds
  }

  push(event: LogEvent): void {
    this.#events.push(event)
    this.#bytes += event.json.length
    while (
      this.#events.length - this.#dropped > 1 &&
      (this.#bytes > this.#bounds.bytes || this.#events.length - this.#dropped > this.#bounds.events)
    ) {
      this.#bytes -= (this.#events[this.#dropped++] as LogEvent).json.length
    }
    if (this.#dropped > this.#bounds.events) {
      this.#events = this.#events.slice(this.#dropped)
      this.#dropped = 0
    }
  }

  /** Whether one more event of this size would push out what follows `seq`. */
  wouldDrop(seq: number, size: number): boolean {
    const oldest = this.#events[this.#dropped]
    return (
      oldest !== undefined &&
      oldest.seq > seq &&
      (this.#bytes + size > this.#bounds.bytes ||
        this.#events.length - this.#dropped + 1 > this.#bounds.events)
    )
  }

  /** The events after `seq` up to `through`, or nothing when some of them are not held any more. */
  after(seq: number, through: number): readonly LogEvent[] | undefined {
    const oldest = this.#events[this.#dropped]
    if (!oldest || oldest.seq > seq + 1) return undefined
    const start = this.#dropped + seq + 1 - oldest.seq
    return this.#events.slice(start, start + Math.max(0, through - seq))
  }
}
