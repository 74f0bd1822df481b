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
  /** The first `#dropped` places are empty; they are cut off now and then, so that dropping one costs nothing. */
  #events: (LogEvent | undefined)[] = []
  #dropped = 0
  #bytes = 0

  constructor(bounds: RingBounds) {
    this.#bounds = bounds
  }

  push(event: LogEvent): void {
    // The ring holds neighbours only: what came before a hole goes.
    if (event.seq !== (this.#events.at(-1)?.seq ?? 0) + 1) this.#clear()
    const drop = this.#toDrop(event.json.length)
    for (const end = this.#dropped + drop; this.#dropped < end; this.#dropped++) {
      this.#bytes -= this.#events[this.#dropped]?.json.length ?? 0
      this.#events[this.#dropped] = undefined
    }
    this.#events.push(event)
    this.#bytes += event.json.length
    if (this.#dropped > this.#bounds.events) {
      this.#events = this.#events.slice(this.#dropped)
      this.#dropped = 0
    }
  }

  /** Whether one more event of this size would push out something that follows `seq`. */
  wouldDrop(seq: number, size: number): boolean {
    const oldest = this.#events[this.#dropped]
    return oldest !== undefined && oldest.seq + this.#toDrop(size) - 1 > seq
  }

  /** The events after `seq` up to `through`, or nothing when some of them are not held any more. */
  after(seq: number, through: number): readonly LogEvent[] | undefined {
    const oldest = this.#events[this.#dropped]
    if (!oldest || oldest.seq > seq + 1) return undefined
    const start = this.#dropped + seq + 1 - oldest.seq
    return this.#events.slice(start, start + Math.max(0, through - seq)) as LogEvent[]
  }

  /** How many of the oldest must go before an event of this size fits. */
  #toDrop(size: number): number {
    const held = this.#events.length - this.#dropped
    let bytes = this.#bytes + size
    let count = Math.max(0, held + 1 - this.#bounds.events)
    for (let i = 0; i < count; i++) bytes -= this.#events[this.#dropped + i]?.json.length ?? 0
    while (count < held && bytes > this.#bounds.bytes) {
      bytes -= this.#events[this.#dropped + count++]?.json.length ?? 0
    }
    return Math.min(count, held)
  }

  #clear(): void {
    this.#events = []
    this.#dropped = 0
    this.#bytes = 0
  }
}
