/** Token buckets: how much of something may be used per second, with a burst after a pause, by name. */
import type { Use } from './shared-use.ts'

/** Names that are remembered. The one that was used longest ago is forgotten first, and has its whole burst again. */
export const REMEMBERED = 20_000

interface Bucket {
  /** What may be used at once. Below 0 when other nodes have used more. */
  left: number
  /** When `left` was counted, in ms. */
  at: number
  /** What was used here and other nodes were not told yet. */
  untold: number
}

/** Counts what each name uses. */
export class Buckets implements Use {
  readonly #perSecond: number
  readonly #burst: number
  readonly #buckets = new Map<string, Bucket>()
  readonly #untold = new Set<string>()
  readonly #clock: () => number

  /** @param clock monotonic, in ms */
  constructor(perSecond: number, burst: number, clock: () => number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#clock = clock
  }

  get perSecond(): number {
    return this.#perSecond
  }

  /**
   * The time until so much may be used, in ms; 0 when it may be now. What is more than the burst is allowed when the
   * bucket is full, and paid off later.
   */
  wait(name: string, cost: number): number {
    const missing = Math.min(cost, this.#burst) - this.#filled(name)
    return missing <= 0 ? 0 : Math.ceil((missing / this.#perSecond) * 1000)
  }

  /** Uses so much, whether it may be or not. */
  spend(name: string, cost: number): void {
    const untold = this.#buckets.get(name)?.untold ?? 0
    this.#put(name, { left: this.#filled(name) - cost, at: this.#clock(), untold: untold + cost })
    this.#untold.add(name)
  }

  untold(): Iterable<string> {
    return this.#untold
  }

  async tell(name: string, others: Parameters<Use['tell']>[1]): Promise<void> {
    const bucket = this.#buckets.get(name)
    this.#untold.delete(name)
    if (!bucket) return
    // While the others could not be told, this node has counted by itself. More than a burst of that is forgiven.
    const cost = Math.min(bucket.untold, this.#burst)
    bucket.untold = 0
    try {
      const left = await others.spend(cost, this.#perSecond, this.#burst)
      // What was used meanwhile is not in it.
      Object.assign(bucket, { left: left - bucket.untold, at: this.#clock() })
    } catch (error) {
      bucket.untold += cost
      if (this.#buckets.get(name) === bucket) this.#untold.add(name)
      throw error
    }
  }

  #filled(name: string): number {
    const bucket = this.#buckets.get(name)
    if (!bucket) return this.#burst
    const { left, at } = bucket
    return Math.min(this.#burst, left + ((this.#clock() - at) / 1000) * this.#perSecond)
  }

  #put(name: string, values: Bucket): void {
    const bucket = Object.assign(this.#buckets.get(name) ?? {}, values) as Bucket
    this.#buckets.delete(name)
    this.#buckets.set(name, bucket)
    if (this.#buckets.size <= REMEMBERED) return
    const oldest = this.#buckets.keys().next().value as string
    this.#buckets.delete(oldest)
    this.#untold.delete(oldest)
  }
}
