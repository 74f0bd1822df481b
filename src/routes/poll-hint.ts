/** How often clients may ask for the list of sessions again, so that this costs the same however many they are. */

/** Lists per second that a node is to answer at most, beyond those of people who just open a page. */
const LISTS_PER_SECOND = 50

/** Bounds of the hint, in ms. */
const LEAST_MS = 5000
const MOST_MS = 60_000

/** The requests of this time decide on the next hint, in ms. */
const WINDOW_MS = 5000

export class PollHint {
  /** Clients that follow a list are told to ask again after this time, in ms. */
  ms = LEAST_MS
  readonly #clock: () => number
  #since: number
  #count = 0

  /** @param clock in ms */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock
    this.#since = clock()
  }

  /** Counts a request for the first page. @returns when to ask again, in ms */
  asked(): number {
    const passed = this.#clock() - this.#since
    if (passed >= WINDOW_MS) {
      const share = this.#count / (LISTS_PER_SECOND * (passed / 1000))
      this.ms = Math.round(Math.min(MOST_MS, Math.max(LEAST_MS, this.ms * share)))
      this.#since += passed
      this.#count = 0
    }
    this.#count++
    return this.ms
  }
}
