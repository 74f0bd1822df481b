/** The events that one client has received of one session: each once and in order, or counted as a fault. */
import type { ScannedEvent } from './event-scanner.ts'

export class DeliveryLog {
  /** Number of the last event; -1 before the first. */
  seq = -1
  /** The session's epoch, as in its offsets. */
  epoch = ''
  doubled = 0
  outOfOrder = 0
  /** Number of the last event before the phase. */
  #base = 0
  /** Arrival of each event of the phase, µs; 0: not yet. */
  #times: number[] = []

  /** Begins a phase: events from here on are timed and counted. @param head number of the last event so far */
  begin(head: number): void {
    this.#base = head
    // Other servers do not send a newcomer any event.
    if (this.seq < 0) this.seq = head
    this.#times = []
    this.doubled = 0
    this.outOfOrder = 0
  }

  /** Records an event, which stands for `from` to `seq`. @param now µs */
  add(event: Pick<ScannedEvent, 'epoch' | 'from' | 'seq'>, now: number): void {
    const { from, seq } = event
    // The first event shows where this client joined.
    if (this.seq < 0) this.seq = from - 1
    if (this.epoch === '') this.epoch = event.epoch
    const isNext = from > this.seq
    for (let one = from; one <= seq; one++) {
      const index = one - this.#base - 1
      const known = index < 0 || this.#times[index]! > 0
      if (!isNext && known) this.doubled++
      else if (!isNext) this.outOfOrder++
      if (index >= 0 && !this.#times[index]) this.#put(index, now)
    }
    this.seq = Math.max(this.seq, seq)
  }

  /** Arrival of an event, µs; 0 when it did not come. */
  at(seq: number): number {
    return this.#times[seq - this.#base - 1] ?? 0
  }

  #put(index: number, now: number): void {
    while (this.#times.length < index) this.#times.push(0)
    this.#times[index] = now
  }
}
