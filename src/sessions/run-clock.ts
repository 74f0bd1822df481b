/** A run's clock: it stands still while the run waits for its users. */

/** Calls `expire` once `ms` of running time have passed; time between `pause` and `resume` does not count. */
export class RunClock {
  readonly #expire: () => void
  #left: number
  #since = 0
  #pauses = 0
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number, expire: () => void) {
    this.#left = ms
    this.#expire = expire
    this.#run()
  }

  /** May be called several times; as many `resume`s set it going again. */
  pause(): void {
    if (this.#pauses++ > 0) return
    clearTimeout(this.#timer)
    this.#left -= performance.now() - this.#since
  }

  resume(): void {
    if (--this.#pauses === 0) this.#run()
  }

  stop(): void {
    this.#pauses = Number.POSITIVE_INFINITY
    clearTimeout(this.#timer)
  }

  #run(): void {
    this.#since = performance.now()
    this.#timer = setTimeout(this.#expire, Math.max(0, this.#left))
  }
}
