/** The marks of sessions, for drivers that one process has to itself: they need not outlive it. */
import type { Mark } from './log.ts'

export class Marks {
  readonly #clock: () => number
  /** When each ends, by session and name. */
  readonly #sessions = new Map<string, Map<string, number>>()
  /** The number of sessions at which those whose marks have run out are looked for. */
  #sweepAt = 1024

  /** @param clock in ms */
  constructor(clock: () => number) {
    this.#clock = clock
  }

  make(sessionId: string, name: string, ttlMs: number): void {
    const ends = this.#sessions.get(sessionId) ?? new Map<string, number>()
    ends.delete(name)
    if (ttlMs > 0) ends.set(name, this.#clock() + ttlMs)
    this.#keep(sessionId, ends)
    this.#sweep()
  }

  of(sessionId: string): Mark[] {
    const ends = this.#sessions.get(sessionId)
    if (!ends) return []
    this.#keep(sessionId, ends)
    const now = this.#clock()
    return [...ends].map(([name, end]) => ({ name, leftMs: end - now }))
  }

  /** The session is gone. */
  forget(sessionId: string): void {
    this.#sessions.delete(sessionId)
  }

  clear(): void {
    this.#sessions.clear()
  }

  /** Keeps those that have not run out. */
  #keep(sessionId: string, ends: Map<string, number>): void {
    const now = this.#clock()
    for (const [name, end] of ends) if (end <= now) ends.delete(name)
    if (ends.size > 0) this.#sessions.set(sessionId, ends)
    else this.#sessions.delete(sessionId)
  }

  /** Keeps sessions that nobody asks about from gathering, at a cost that is constant per mark. */
  #sweep(): void {
    if (this.#sessions.size < this.#sweepAt) return
    for (const [sessionId, ends] of this.#sessions) this.#keep(sessionId, ends)
    this.#sweepAt = Math.max(1024, this.#sessions.size * 2)
  }
}
