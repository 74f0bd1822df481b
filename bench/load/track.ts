/** What one client has of one session: each event once and in order, or counted as what went wrong. */

export class Track {
  /** Number of the last event; -1 before the first. */
  seq = -1
  /** The session's epoch, as in its offsets. */
  epoch = ''
  doubled = 0
  outOfOrder = 0
  /** Number of the last event before the phase. */
  #base = 0
  /** When each event of the phase came, µs; 0: not yet. */
  #times: number[] = []

  /** A phase begins: what comes from here on is timed. @param head number of the last event so far */
  mark(head: number): void {
    this.#base = head
    // Servers that are not ours have no events to tell a newcomer.
    if (this.seq < 0) this.seq = head
    this.#times = []
    this.doubled = 0
    this.outOfOrder = 0
  }

  /** Takes an event that stands for `from` to `seq`. */
  take(epoch: string, from: number, seq: number, now: number): void {
    // The first one says where this client joined.
    if (this.seq < 0) this.seq = from - 1
    this.epoch = epoch
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

  /** When the event came, µs; 0 when it did not. */
  at(seq: number): number {
    return this.#times[seq - this.#base - 1] ?? 0
  }

  #put(index: number, now: number): void {
    while (this.#times.length < index) this.#times.push(0)
    this.#times[index] = now
  }
}
