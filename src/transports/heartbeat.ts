/** One timer for everybody's heartbeats and write deadlines. */

/** A connection that wants to be looked at. */
export interface Beating {
  /** When it was last written to, on the wheel's clock. */
  readonly wroteAt: number
  /** Silence after which it is pinged, in ms. */
  readonly heartbeatMs: number
  /** Nothing was written for so long. */
  beat(): void
}

/** How often the wheel turns, in ms; heartbeats are late by this much at the most. */
const TICK_MS = 250

/**
 * A wheel of due times: each connection is looked at once per heartbeat, not once per tick, so that thousands of idle
 * ones cost nothing in between. Idle-based: whoever was written to meanwhile is put further on.
 */
export class Heartbeats {
  readonly #slots = new Map<number, Set<Beating>>()
  readonly #slotOf = new Map<Beating, number>()
  #tick = 0
  #tickEnd = 0
  #timer: NodeJS.Timeout | undefined

  /** ms, monotonic. */
  now(): number {
    return performance.now()
  }

  /** What a write notes: the end of the current tick, so that a flush to many asks no clock; while nothing ticks, now. */
  get lately(): number {
    return this.#timer ? this.#tickEnd : this.now()
  }

  /** Looks after the connection, or looks at it anew after its `heartbeatMs` changed. */
  add(beating: Beating): void {
    this.remove(beating)
    if (!this.#timer) {
      this.#tick = Math.floor(this.now() / TICK_MS)
      this.#tickEnd = (this.#tick + 1) * TICK_MS
      this.#timer = setInterval(() => this.#turn(), TICK_MS)
      this.#timer.unref()
    }
    this.#put(beating, beating.wroteAt + beating.heartbeatMs)
  }

  remove(beating: Beating): void {
    const slot = this.#slotOf.get(beating)
    if (slot === undefined) return
    this.#slotOf.delete(beating)
    const set = this.#slots.get(slot)
    set?.delete(beating)
    if (set?.size === 0) this.#slots.delete(slot)
    if (this.#slotOf.size === 0) this.close()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #put(beating: Beating, due: number): void {
    const slot = Math.max(this.#tick + 1, Math.ceil(due / TICK_MS))
    const set = this.#slots.get(slot) ?? new Set()
    this.#slots.set(slot, set.add(beating))
    this.#slotOf.set(beating, slot)
  }

  #turn(): void {
    const now = this.now()
    const last = Math.floor(now / TICK_MS)
    this.#tickEnd = (last + 1) * TICK_MS
    for (; this.#tick < last; this.#tick++) {
      const set = this.#slots.get(this.#tick + 1)
      if (!set) continue
      this.#slots.delete(this.#tick + 1)
      for (const beating of set) {
        this.#slotOf.delete(beating)
        if (now - beating.wroteAt >= beating.heartbeatMs) beating.beat()
        this.#put(beating, Math.max(beating.wroteAt + beating.heartbeatMs, now + 1))
      }
    }
  }
}
