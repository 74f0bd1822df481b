/** Producers that wait for slow `wait` subscribers, within bounds. */
import { type Cancel, startTimer } from '../protocol/timers.ts'

/** Somebody who can hold producers up: a subscriber here, or all those of another node. */
export interface Holder {
  /** How full its lag limits are. */
  readonly fullness: number
  /** It speaks for another node. */
  readonly elsewhere?: boolean
}

export interface HoldBounds {
  /** All holders together hold for at most so long, in ms … */
  readonly holdMs: number
  /** … in any so long. Who is dropped for it may not hold again for as long. */
  readonly windowMs: number
}

export const defaultHoldBounds: HoldBounds = { holdMs: 30_000, windowMs: 60_000 }

/** The holders of one session. When their time is used up the slowest is dropped, and the next, until producers may go. */
export class Holds {
  readonly #bounds: HoldBounds
  readonly #holders = new Set<Holder>()
  readonly #barred = new WeakMap<Holder, number>()
  /** Stretches in which producers were held, oldest first. */
  #past: { from: number; to: number }[] = []
  #since = 0
  #cancel: Cancel = () => {}
  #released: (() => void) | undefined
  #held: Promise<void> | undefined

  /** Takes back what other nodes were told of holders here. */
  #untell: (() => void) | undefined

  readonly #onHeld: () => void
  readonly #tell: () => () => void

  /**
   * @param onHeld called when producers begin to wait
   * @param tell tells other nodes that somebody here holds, until the function that it gives is called
   */
  constructor(bounds: HoldBounds, onHeld: () => void, tell: () => () => void) {
    this.#bounds = bounds
    this.#onHeld = onHeld
    this.#tell = tell
  }

  /** Resolves when producers may go on; nothing when they may go on at once. */
  get held(): Promise<void> | undefined {
    return this.#held
  }

  /** Holds producers up until released; `false` when the holder was dropped lately, or no time is left. */
  hold(holder: Holder): boolean {
    if (this.#holders.has(holder)) return true
    const now = performance.now()
    if ((this.#barred.get(holder) ?? 0) > now) return false
    if (this.#holders.size === 0) {
      const left = this.#left(now)
      if (left <= 0) return false
      this.#since = now
      this.#held = new Promise(resolve => {
        this.#released = resolve
      })
      this.#cancel = startTimer(left, () => this.#dropSlowest())
      this.#onHeld()
    }
    this.#holders.add(holder)
    this.#tellOthers()
    return true
  }

  release(holder: Holder): void {
    if (!this.#holders.delete(holder)) return
    this.#tellOthers()
    if (this.#holders.size > 0) return
    this.#cancel()
    this.#past.push({ from: this.#since, to: performance.now() })
    this.#held = undefined
    this.#released?.()
  }

  close(): void {
    for (const holder of [...this.#holders]) this.release(holder)
  }

  #tellOthers(): void {
    const here = [...this.#holders].some(({ elsewhere }) => !elsewhere)
    if (here) this.#untell ??= this.#tell()
    else {
      this.#untell?.()
      this.#untell = undefined
    }
  }

  /** How long producers may still be held within the window that ends now. */
  #left(now: number): number {
    const begin = now - this.#bounds.windowMs
    this.#past = this.#past.filter(({ to }) => to > begin)
    const used = this.#past.reduce((sum, { from, to }) => sum + to - Math.max(from, begin), 0)
    return this.#bounds.holdMs - used
  }

  #dropSlowest(): void {
    const slowest = [...this.#holders].reduce((a, b) => (b.fullness > a.fullness ? b : a))
    this.#barred.set(slowest, performance.now() + this.#bounds.windowMs)
    if (this.#holders.size > 1) this.#cancel = startTimer(0, () => this.#dropSlowest())
    this.release(slowest)
  }
}
