/** One timer for the heartbeats and write deadlines of all connections. */

/** A connection with heartbeats. */
export interface Beating {
  /** Time of the last write, on the wheel's clock. */
  readonly wroteAt: number
  /** Silence after which the connection is pinged, in ms. */
  readonly heartbeatMs: number
  /** Called when nothing was written for `heartbeatMs`. */
  beat(): void
}

/** Interval between the turns of the wheel, in ms. Heartbeats are late by at most this much. */
const TICK_MS = 250

/**
 * A wheel of due times. Each connection is checked once per heartbeat and not once per tick, so thousands of idle
 * connections cost nothing in between. A connection that was written to since its last check is moved to a later time.
 */
export class Heartbeats {
  readonly #slots = new Map<number, Set<Beating>>()
  readonly #slotOf = new Map<Beating, number>()
  /** What the beats of the current turn share. */
  readonly #shared = new Map<object, unknown>()
  #tick = 0
  #tickEnd = 0
  #timer: NodeJS.Timeout | undefined

  /** Monotonic time, in ms. */
  now(): number {
    return performance.now()
  }

  /**
   * Coarse time for writes: the end of the current tick, so a flush to many needs no clock read. Exact while no tick
   * runs.
   */
  get lately(): number {
    return this.#timer ? this.#tickEnd : this.now()
  }

  /** Adds a connection, or schedules it again after its `heartbeatMs` changed. */
  add(beating: Beating): void {
    this.remove(beating)
    if (!this.#timer) {
      this.#tick = Math.floor(this.now() / TICK_MS)
      this.#tickEnd = (this.#tick + 1) * TICK_MS
      this.#timer = setInterval(() => this.#tock(), TICK_MS)
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

  /** A value that all beats of a turn share, such as the bytes of a ping: made by the first one that asks for `key`. */
  ofTurn<V>(key: object, make: () => V): V {
    const known = this.#shared.get(key) as V | undefined
    if (known !== undefined) return known
    const made = make()
    this.#shared.set(key, made)
    return made
  }

  #put(beating: Beating, due: number): void {
    const slot = Math.max(this.#tick + 1, Math.ceil(due / TICK_MS))
    const set = this.#slots.get(slot) ?? new Set()
    this.#slots.set(slot, set.add(beating))
    this.#slotOf.set(beating, slot)
  }

  /**
   * A turn that is late follows a time in which the process stood still. Answers of clients, and room in their sockets,
   * may have come meanwhile and are unread, so the sockets are read first.
   */
  #tock(): void {
    if (this.now() < this.#tickEnd + TICK_MS) return this.#turn()
    setImmediate(() => {
      if (this.#timer) this.#turn()
    })
  }

  #turn(): void {
    const now = this.now()
    this.#shared.clear()
    const last = Math.floor(now / TICK_MS)
    this.#tickEnd = (last + 1) * TICK_MS
    const first = this.#tick + 1
    // Before the connections are checked: one that is added meanwhile must not go into a slot that was checked.
    this.#tick = last
    for (let slot = first; slot <= last; slot++) {
      const set = this.#slots.get(slot)
      if (!set) continue
      this.#slots.delete(slot)
      for (const beating of set) {
        // A connection's beat may remove it and others, and may add it anew.
        if (this.#slotOf.get(beating) !== slot) continue
        if (now - beating.wroteAt >= beating.heartbeatMs) beating.beat()
        if (this.#slotOf.get(beating) !== slot) continue
        this.#put(beating, Math.max(beating.wroteAt + beating.heartbeatMs, now + 1))
      }
    }
  }
}
