/** Jobs of one kind on many keys, such as the renewal of each run's lease: none delays another or makes it fail. */
import { type Cancel, startTimer } from '../protocol/timers.ts'

export interface SeparateJobsOptions {
  /** Jobs that work at the same time. One that turns out to be slow gives its place to the next and goes on. */
  readonly atOnce: number
  /** Jobs that work at the same time, slow ones included. @default no limit, but a key has at most one job */
  readonly atMost?: number
  /** After a failure the key rests for so long, in ms, and twice as long after each further failure … */
  readonly pauseMs: number
  /** … up to this. */
  readonly maxPauseMs: number
  /** @param about what was given to {@link SeparateJobs.start} */
  onError(error: unknown, about: Record<string, unknown>): void
}

interface Job {
  readonly key: string
  readonly about: Record<string, unknown>
  work(): Promise<void>
}

/** A key whose last job failed. */
interface Failed {
  readonly pauseMs: number
  readonly restsUntil: number
  /** Stops the timer that forgets the failure. */
  readonly keep: Cancel
}

/** A job that takes longer gives up its place, in ms: it may hang until a deadline of several seconds. */
const SLOW_MS = 200

export class SeparateJobs {
  readonly #options: SeparateJobsOptions
  readonly #waiting = new Map<string, Job>()
  readonly #working = new Map<string, Promise<void>>()
  readonly #failed = new Map<string, Failed>()
  #free: number

  constructor(options: SeparateJobsOptions) {
    this.#options = options
    this.#free = options.atOnce
  }

  /** Keys that have a job now, or failed lately. */
  get busy(): number {
    return this.#waiting.size + this.#working.size + this.#failed.size
  }

  /** Jobs that wait for a place. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Does the job soon. `false` when the key has a job already, or rests after a failure: the caller tries again later.
   * @param about what a failure is reported with
   */
  start(key: string, about: Record<string, unknown>, work: () => Promise<void>): boolean {
    if (this.#waiting.has(key) || this.#working.has(key)) return false
    if ((this.#failed.get(key)?.restsUntil ?? 0) > performance.now()) return false
    this.#waiting.set(key, { key, about, work })
    this.#next()
    return true
  }

  /** Forgets the jobs that wait, and resolves when those at work have ended. Nothing may be started afterwards. */
  async close(): Promise<void> {
    this.#waiting.clear()
    await Promise.all(this.#working.values())
    for (const { keep } of this.#failed.values()) keep()
    this.#failed.clear()
  }

  #next(): void {
    const { atMost = Number.POSITIVE_INFINITY } = this.#options
    for (const [key, job] of this.#waiting) {
      if (this.#free === 0 || this.#working.size >= atMost) return
      this.#waiting.delete(key)
      this.#working.set(key, this.#do(job))
    }
  }

  /** Never rejects. */
  async #do({ key, about, work }: Job): Promise<void> {
    let hasPlace = true
    const leavePlace = () => {
      if (!hasPlace) return
      hasPlace = false
      this.#free++
      this.#next()
    }
    this.#free--
    const cancel = startTimer(SLOW_MS, leavePlace, { unref: true })
    try {
      await work()
      this.#forget(key)
    } catch (error) {
      this.#fail(key)
      this.#options.onError(error, about)
    } finally {
      cancel()
      this.#working.delete(key)
      if (hasPlace) leavePlace()
      else this.#next()
    }
  }

  #fail(key: string): void {
    const { pauseMs: first, maxPauseMs } = this.#options
    const before = this.#failed.get(key)
    before?.keep()
    const pauseMs = before ? Math.min(maxPauseMs, 2 * before.pauseMs) : first
    // A key that is not tried again soon after its rest, such as that of a run that has ended, is forgotten.
    const keep = startTimer(2 * pauseMs, () => this.#failed.delete(key), { unref: true })
    this.#failed.set(key, { pauseMs, restsUntil: performance.now() + pauseMs, keep })
  }

  #forget(key: string): void {
    this.#failed.get(key)?.keep()
    this.#failed.delete(key)
  }
}
