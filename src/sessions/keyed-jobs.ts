/**
 * Runs jobs of one kind, at most one per key, such as the renewal of each run's lease. A slow or failing job neither
 * delays the other jobs nor makes them fail.
 */
import { type Cancel, startTimer } from '../protocol/timers.ts'

export interface KeyedJobsOptions {
  /** Jobs that run concurrently. A job that takes longer than 200 ms is not counted any more, and goes on. */
  readonly concurrency: number
  /** Jobs that run concurrently, slow ones included. @default no limit, but a key has at most one job */
  readonly maxConcurrency?: number
  /** Pause of a key after a failed job, in ms. It doubles with each further failure. */
  readonly pauseMs: number
  /** The longest pause, in ms. */
  readonly maxPauseMs: number
  /** Called for each failed job. @param about the context given to {@link KeyedJobs.start} */
  onError(error: unknown, about: Record<string, unknown>): void
}

interface Job {
  readonly key: string
  readonly about: Record<string, unknown>
  work(): Promise<void>
}

/** A key whose last job failed. */
interface Failure {
  readonly pauseMs: number
  /** By `performance.now()`. */
  readonly pausedUntil: number
  /** Stops the timer that forgets the failure. */
  readonly stopForgetting: Cancel
}

/** A job that takes longer, in ms, is not counted in `concurrency`: it may hang until a deadline of several seconds. */
const SLOW_MS = 200

export class KeyedJobs {
  readonly #options: KeyedJobsOptions
  readonly #waiting = new Map<string, Job>()
  readonly #running = new Map<string, Promise<void>>()
  readonly #failures = new Map<string, Failure>()
  #freeSlots: number

  constructor(options: KeyedJobsOptions) {
    this.#options = options
    this.#freeSlots = options.concurrency
  }

  /** Number of keys that have a job or a recent failure. */
  get busy(): number {
    return this.#waiting.size + this.#running.size + this.#failures.size
  }

  /** Number of jobs that have not begun. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Queues a job. Returns `false`, and drops the job, when the key has one already or is paused after a failure; the
   * caller tries again later.
   * @param about the context that a failure is reported with
   */
  start(key: string, about: Record<string, unknown>, work: () => Promise<void>): boolean {
    if (this.#waiting.has(key) || this.#running.has(key)) return false
    if ((this.#failures.get(key)?.pausedUntil ?? 0) > performance.now()) return false
    this.#waiting.set(key, { key, about, work })
    this.#next()
    return true
  }

  /** Drops the jobs that have not begun; resolves when the others have ended. `start` must not be called afterwards. */
  async close(): Promise<void> {
    this.#waiting.clear()
    await Promise.all(this.#running.values())
    for (const { stopForgetting } of this.#failures.values()) stopForgetting()
    this.#failures.clear()
  }

  #next(): void {
    const { maxConcurrency = Number.POSITIVE_INFINITY } = this.#options
    for (const [key, job] of this.#waiting) {
      if (this.#freeSlots === 0 || this.#running.size >= maxConcurrency) return
      this.#waiting.delete(key)
      this.#running.set(key, this.#run(job))
    }
  }

  /** Never rejects. */
  async #run({ key, about, work }: Job): Promise<void> {
    let hasSlot = true
    const freeSlot = () => {
      if (!hasSlot) return
      hasSlot = false
      this.#freeSlots++
      this.#next()
    }
    this.#freeSlots--
    const cancel = startTimer(SLOW_MS, freeSlot, { unref: true })
    try {
      await work()
      this.#forgetFailure(key)
    } catch (error) {
      this.#noteFailure(key)
      this.#options.onError(error, about)
    } finally {
      cancel()
      this.#running.delete(key)
      if (hasSlot) freeSlot()
      else this.#next()
    }
  }

  #noteFailure(key: string): void {
    const { pauseMs: first, maxPauseMs } = this.#options
    const previous = this.#failures.get(key)
    previous?.stopForgetting()
    const pauseMs = previous ? Math.min(maxPauseMs, 2 * previous.pauseMs) : first
    // Frees the entry of a key that is not tried again after its pause, such as that of a run that has ended.
    const stopForgetting = startTimer(2 * pauseMs, () => this.#failures.delete(key), { unref: true })
    this.#failures.set(key, { pauseMs, pausedUntil: performance.now() + pauseMs, stopForgetting })
  }

  #forgetFailure(key: string): void {
    this.#failures.get(key)?.stopForgetting()
    this.#failures.delete(key)
  }
}
