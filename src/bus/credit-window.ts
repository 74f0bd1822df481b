/** Flow control for clients that cannot pause reading: how many bytes may be on the way to one. */
import type { LogEvent } from '../log/event.ts'

/** Stretches that a full window is counted in. Credit comes back a stretch at a time. */
const STRETCHES = 256

/**
 * Counts the UTF-8 bytes of event JSON that were sent and that the client has not reported as consumed. With nothing
 * outstanding one event always fits, however large.
 */
export class CreditWindow {
  readonly size: number
  /** Neighbouring events that are small for the window are counted together, so that this list stays short. */
  #sent: { seq: number; bytes: number }[] = []
  #outstanding = 0

  /** @param size bytes that may be outstanding */
  constructor(size: number) {
    this.size = size
  }

  /** How many of these events, in order, may go out now. */
  fit(events: readonly LogEvent[]): number {
    let outstanding = this.#outstanding
    let count = 0
    for (const { bytes } of events) {
      if (outstanding > 0 && outstanding + bytes > this.size) break
      outstanding += bytes
      count++
    }
    return count
  }

  /** Counts all of these events as sent, or none when they don't fit. */
  take(events: readonly LogEvent[]): boolean {
    if (this.fit(events) < events.length) return false
    for (const { seq, bytes } of events) {
      const last = this.#sent.at(-1)
      if (last && last.bytes + bytes <= this.size / STRETCHES) {
        last.seq = seq
        last.bytes += bytes
      } else this.#sent.push({ seq, bytes })
      this.#outstanding += bytes
    }
    return true
  }

  /** How many stretches are outstanding: what the window takes in memory. */
  get stretches(): number {
    return this.#sent.length
  }

  /** Frees the credit of everything up to `seq`: the client has consumed it. A stretch is freed once all of it is. */
  grant(seq: number): void {
    let count = 0
    for (const sent of this.#sent) {
      if (sent.seq > seq) break
      this.#outstanding -= sent.bytes
      count++
    }
    this.#sent.splice(0, count)
  }

  /** Frees all credit: the client drops what is outstanding. */
  clear(): void {
    this.#sent = []
    this.#outstanding = 0
  }
}
