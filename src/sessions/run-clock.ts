/** The time limit of a run. Time spent waiting for users does not count. */
import { type Cancel, startTimer } from '../protocol/timers.ts'

/** Calls `expire` once `ms` of running time have passed; never with `Infinity`. The clock starts at construction. */
export class RunClock {
  readonly #expire: () => void
  #left: number
  #since = 0
  #pauses = 0
  #cancel: Cancel = () => {}

  constructor(ms: number, expire: () => void) {
    this.#left = ms
    this.#expire = expire
    this.#run()
  }

  /** Stops the clock. Calls nest: it goes on after as many calls of `resume`. */
  pause(): void {
    if (this.#pauses++ > 0) return
    this.#cancel()
    this.#left -= performance.now() - this.#since
  }

  /** Undoes one `pause`. */
  resume(): void {
    if (--this.#pauses === 0) this.#run()
  }

  /** Stops the clock for good. */
  stop(): void {
    this.#pauses = Number.POSITIVE_INFINITY
    this.#cancel()
  }

  #run(): void {
    this.#since = performance.now()
    this.#cancel = startTimer(Math.max(0, this.#left), this.#expire)
  }
}
