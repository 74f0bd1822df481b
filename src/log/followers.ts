/** The followers of each session in this process, for the drivers memory and lmdb. */
import type { LogEvent } from './event.ts'
import type { Follower } from './log.ts'

interface Following {
  readonly follower: Follower
  active: boolean
}

/**
 * Calls all followers in order. When a follower appends from within its call, the new events wait until every follower
 * has the earlier ones. A follower is not called after it has stopped following.
 */
export class Followers {
  readonly #sessions = new Map<string, Set<Following>>()
  readonly #queue: (() => void)[] = []
  #isDelivering = false

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

  /** Whether the session has followers. */
  has(sessionId: string): boolean {
    return this.#sessions.has(sessionId)
  }

  events(sessionId: string, epoch: number, events: readonly LogEvent[]): void {
    this.#deliver(sessionId, follower => follower.events(epoch, events))
  }

  ephemeral(sessionId: string, json: string): void {
    this.#deliver(sessionId, follower => follower.ephemeral(json))
  }

  marked(sessionId: string, name: string, ttlMs: number): void {
    this.#deliver(sessionId, follower => follower.marked?.(name, ttlMs))
  }

  /** Notifies the session's followers that it was deleted, and removes them. */
  deleted(sessionId: string): void {
    this.#deliver(sessionId, follower => follower.deleted())
    this.#sessions.delete(sessionId)
  }

  clear(): void {
    this.#sessions.clear()
    this.#queue.length = 0
  }

  #deliver(sessionId: string, call: (follower: Follower) => void): void {
    const all = this.#sessions.get(sessionId)
    if (!all) return
    const current = [...all]
    this.#queue.push(() => {
      for (const following of current) if (following.active) call(following.follower)
    })
    if (this.#isDelivering) return
    this.#isDelivering = true
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) next()
    } finally {
      this.#isDelivering = false
    }
  }
}
