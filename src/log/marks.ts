/** The marks of sessions in memory, for drivers that only one process uses. */
import type { Mark } from './log.ts'

export class Marks {
  readonly #clock: () => number
  /** When each mark expires, by session and name. */
  readonly #sessions = new Map<string, Map<string, number>>()
  /** The number of sessions at which expired marks are removed. */
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

  of(sessionId: string, prefix = ''): Mark[] {
    const ends = this.#sessions.get(sessionId)
    if (!ends) return []
    this.#keep(sessionId, ends)
    const now = this.#clock()
    const wanted = [...ends].filter(([name]) => name.startsWith(prefix))
    return wanted.map(([name, end]) => ({ name, leftMs: end - now }))
  }

  /** Removes the marks of a deleted session. */
  forget(sessionId: string): void {
    this.#sessions.delete(sessionId)
  }

  clear(): void {
    this.#sessions.clear()
  }

  /** Stores a session's marks without the expired ones. */
  #keep(sessionId: string, ends: Map<string, number>): void {
    const now = this.#clock()
    for (const [name, end] of ends) if (end <= now) ends.delete(name)
    if (ends.size > 0) this.#sessions.set(sessionId, ends)
    else this.#sessions.delete(sessionId)
  }

  /** Removes the expired marks of all sessions, at an amortized constant cost per mark. */
  #sweep(): void {
    if (this.#sessions.size < this.#sweepAt) return
    for (const [sessionId, ends] of this.#sessions) this.#keep(sessionId, ends)
    this.#sweepAt = Math.max(1024, this.#sessions.size * 2)
  }
}
