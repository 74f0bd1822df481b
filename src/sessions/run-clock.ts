/** A run's clock: it stands still while the run waits for its users. */
import { type Cancel, startTimer } from '../protocol/timers.ts'

/**
 * Calls `expire` once `ms` of running time have passed, never when that is `Infinity`; time between `pause` and
 * `resume` does not count.
 */
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

  /** May be called several times; as many `resume`s set it going again. */
  pause(): void {
    if (this.#pauses++ > 0) return
    this.#cancel()
    this.#left -= performance.now() - this.#since
  }

  resume(): void {
    if (--this.#pauses === 0) this.#run()
  }

  stop(): void {
    this.#pauses = Number.POSITIVE_INFINITY
    this.#cancel()
  }

  #run(): void {
    this.#since = performance.now()
    this.#cancel = startTimer(Math.max(0, this.#left), this.#expire)
  }
}
