/** Who follows which session in this process. The drivers memory and lmdb hand their events on through this. */
import type { LogEvent } from './event.ts'
import type { Follower } from './log.ts'

interface Following {
  readonly follower: Follower
  active: boolean
}

/**
 * Hands on in order, also when a follower appends from within its own call: what that brings waits until everybody
 * has what came before. Who has stopped following hears nothing more.
 */
export class Followers {
  readonly #sessions = new Map<string, Set<Following>>()
  readonly #queue: (() => void)[] = []
  #handing = false

  follow(sessionId: string, follower: Follower): () => void {
    const following: Following = { follower, active: true }
    const all = this.#sessions.get(sessionId) ?? new Set()
    this.#sessions.set(sessionId, all.add(following))
    return () => {
      following.active = false
      all.delete(following)
      if (all.size === 0 && this.#sessions.get(sessionId) === all) this.#sessions.delete(sessionId)
    }
  }

  /** Whether anybody follows the session. */
  has(sessionId: string): boolean {
    return this.#sessions.has(sessionId)
  }

  events(sessionId: string, epoch: number, events: readonly LogEvent[]): void {
    this.#hand(sessionId, follower => follower.events(epoch, events))
  }

  ephemeral(sessionId: string, json: string): void {
    this.#hand(sessionId, follower => follower.ephemeral(json))
  }

  marked(sessionId: string, name: string, ttlMs: number): void {
    this.#hand(sessionId, follower => follower.marked?.(name, ttlMs))
  }

  /** The last that the session's followers hear. */
  deleted(sessionId: string): void {
    this.#hand(sessionId, follower => follower.deleted())
    this.#sessions.delete(sessionId)
  }

  clear(): void {
    this.#sessions.clear()
    this.#queue.length = 0
  }

  #hand(sessionId: string, tell: (follower: Follower) => void): void {
    const all = this.#sessions.get(sessionId)
    if (!all) return
    const audience = [...all]
    this.#queue.push(() => {
      for (const following of audience) if (following.active) tell(following.follower)
    })
    if (this.#handing) return
    this.#handing = true
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) next()
    } finally {
      this.#handing = false
    }
  }
}
