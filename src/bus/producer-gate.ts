/** Flow control for a session's producers: they wait for slow `wait` subscribers, within bounds. */
import { type Cancel, startTimer } from '../protocol/timers.ts'

/** What can hold producers: a subscriber here, or all subscribers of another node. */
export interface Holder {
  /** How full its lag limits are. */
  readonly fullness: number
  /** It speaks for another node. */
  readonly isRemote?: boolean
}

/** How long the slow `wait` subscribers of a session may hold its producers. */
export interface HoldBounds {
  /** Maximum time that all holders together hold producers within any `windowMs`, in ms. @default 30000 */
  readonly holdMs: number
  /** Length of the window, in ms. A dropped holder may not hold again for as long. @default 60000 */
  readonly windowMs: number
}

export const defaultHoldBounds: HoldBounds = { holdMs: 30_000, windowMs: 60_000 }

/**
 * The holders of one session. When their time is used up, the slowest is dropped, then the next, until the gate opens.
 */
export class ProducerGate {
  readonly #bounds: HoldBounds
  readonly #holders = new Set<Holder>()
  /** When the cooldown of each dropped holder ends, in ms, monotonic. */
  readonly #cooldown = new WeakMap<Holder, number>()
  /** Stretches in which producers were held, oldest first. */
  #past: { from: number; to: number }[] = []
  #since = 0
  #cancel: Cancel = () => {}
  #release: (() => void) | undefined
  #held: Promise<void> | undefined
  /** Takes back the announcement to other nodes. */
  #withdraw: (() => void) | undefined
  readonly #onHeld: () => void
  readonly #announce: () => () => void

  /**
   * @param onHeld called when producers begin to wait
   * @param announce tells other nodes that a subscriber here holds, until the function that it returns is called
   */
  constructor(bounds: HoldBounds, onHeld: () => void, announce: () => () => void) {
    this.#bounds = bounds
    this.#onHeld = onHeld
    this.#announce = announce
  }

  /** Resolves when producers may go on; `undefined` when they may go on at once. */
  get held(): Promise<void> | undefined {
    return this.#held
  }

  /** Holds producers until released; `false` while the holder cools down, or when no time is left. */
  hold(holder: Holder): boolean {
    if (this.#holders.has(holder)) return true
    const now = performance.now()
    if ((this.#cooldown.get(holder) ?? 0) > now) return false
    if (this.#holders.size === 0) {
      const left = this.#left(now)
      if (left <= 0) return false
      this.#since = now
      this.#held = new Promise(resolve => {
        this.#release = resolve
      })
      this.#cancel = startTimer(left, () => this.#dropSlowest())
      this.#onHeld()
    }
    this.#holders.add(holder)
    this.#announceLocal()
    return true
  }

  release(holder: Holder): void {
    if (!this.#holders.delete(holder)) return
    this.#announceLocal()
    if (this.#holders.size > 0) return
    this.#cancel()
    this.#past.push({ from: this.#since, to: performance.now() })
    this.#held = undefined
    this.#release?.()
  }

  close(): void {
    for (const holder of [...this.#holders]) this.release(holder)
  }

  #announceLocal(): void {
    const holdsHere = [...this.#holders].some(({ isRemote }) => !isRemote)
    if (holdsHere) this.#withdraw ??= this.#announce()
    else {
      this.#withdraw?.()
      this.#withdraw = undefined
    }
  }

  /** How long producers may still be held within the stretch that ends now, in ms. */
  #left(now: number): number {
    const begin = now - this.#bounds.windowMs
    this.#past = this.#past.filter(({ to }) => to > begin)
    const used = this.#past.reduce((sum, { from, to }) => sum + to - Math.max(from, begin), 0)
    return this.#bounds.holdMs - used
  }

  #dropSlowest(): void {
    const slowest = [...this.#holders].reduce((a, b) => (b.fullness > a.fullness ? b : a))
    this.#cooldown.set(slowest, performance.now() + this.#bounds.windowMs)
    if (this.#holders.size > 1) this.#cancel = startTimer(0, () => this.#dropSlowest())
    this.release(slowest)
  }
}
