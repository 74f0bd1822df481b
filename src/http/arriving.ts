/** What has begun to arrive and is not complete: bodies, lines and messages, bounded for all connections together. */

/** Keeps bytes of something that is not complete. */
export interface Holder {
  /** Its bytes are needed for others: it lets go of them and ends what it waits for. */
  giveUp(): void
}

/**
 * Counts the bytes of what is not complete. Each body and message has a limit of its own, but a client may open
 * thousands of them and complete none. Above the limit the oldest is given up: what is complete soon never is the
 * oldest for long.
 */
export class Arriving {
  readonly #limit: number
  /** In the order in which they began. */
  readonly #held = new Map<Holder, number>()
  #bytes = 0

  /** @param limit bytes of all together */
  constructor(limit: number) {
    this.#limit = limit
  }

  get bytes(): number {
    return this.#bytes
  }

  /** A holder has so many bytes now; 0 when it has what it waited for. */
  set(holder: Holder, bytes: number): void {
    const before = this.#held.get(holder) ?? 0
    if (bytes === before) return
    this.#bytes += bytes - before
    if (bytes === 0) this.#held.delete(holder)
    else this.#held.set(holder, bytes)
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= this.#limit) return
      this.set(oldest, 0)
      oldest.giveUp()
    }
  }
}
