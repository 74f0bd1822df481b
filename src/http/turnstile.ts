/** Spreads the starts of requests over turns of the event loop, so that many that come at once do not block it. */

/** What may start in one turn: a few short requests, or one that reads a page. */
const PER_TURN = 4

interface Waiting {
  readonly cost: number
  readonly start: () => void
}

/**
 * Lets a few requests start in each turn of the event loop, in the order in which they came. Thousands can be ready in
 * one turn: clients that reconnect, streams of HTTP/2, long-polls that wait for the same event. Started together, they
 * would keep everybody else waiting until the last one is done.
 */
export class Turnstile {
  readonly #waiting = new Set<Waiting>()
  #left = PER_TURN
  #scheduled = false

  /** Calls `start` now, or in a later turn when enough has started in this one. @param heavy a turn has room for one such */
  pass(heavy: boolean, start: () => void): void {
    const waiting = { cost: heavy ? PER_TURN : 1, start }
    if (this.#waiting.size === 0 && this.#left > 0) return this.#start(waiting)
    this.#waiting.add(waiting)
  }

  #start({ cost, start }: Waiting): void {
    this.#left -= cost
    if (!this.#scheduled) setImmediate(() => this.#turn())
    this.#scheduled = true
    start()
  }

  #turn(): void {
    this.#scheduled = false
    this.#left = PER_TURN
    for (const waiting of this.#waiting) {
      if (this.#left <= 0) return
      this.#waiting.delete(waiting)
      this.#start(waiting)
    }
  }
}
