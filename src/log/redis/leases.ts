/**
 * Which leases are due, over all sessions. A sorted set of its own that only says when to look: what is true stands
 * with the session. So that no lease is ever missed, it gets its entry before the lease is taken, and an entry goes
 * only when nobody has touched it since it was found void.
 */
import type { ExpiredLease, Lease } from '../log.ts'

/** The commands that the index is made of. */
export interface LeaseCommands {
  touch(member: string, ms: number): Promise<unknown>
  settle(member: string, seen: string, real: string): Promise<unknown>
  /** Gives what is due, with its scores, and the time. */
  due(limit: number): Promise<{ now: number; members: { member: string; score: string }[] }>
  /** The session's epoch and the run's lease as `<expiresAt> <token>`. */
  held(sessionId: string, runId: string): Promise<{ epoch: string | null; lease: string | null }>
}

/** Leases that this process knows to be in the index; more are put there again. */
const KNOWN = 10_000

export class LeaseIndex {
  readonly #commands: LeaseCommands
  readonly #clock: () => number
  /** When each is looked at, as far as this process knows, by the clock. */
  readonly #known = new Map<string, number>()

  /** @param clock in ms; only differences count */
  constructor(commands: LeaseCommands, clock: () => number) {
    this.#commands = commands
    this.#clock = clock
  }

  /**
   * Sees to it that a lease which is about to be taken will be looked at when it runs out, or sooner. Asked again once
   * it is taken, for when that took so long that the entry was found void before.
   */
  announce(sessionId: string, leases: readonly Lease[]): Promise<unknown> | undefined {
    const now = this.#clock()
    const fresh = leases.filter(({ runId, ttlMs }) => {
      const due = this.#known.get(memberOf(sessionId, runId))
      return due === undefined || due <= now || due > now + ttlMs
    })
    if (fresh.length === 0) return undefined
    return Promise.all(fresh.map(({ runId, ttlMs }) => this.#touch(memberOf(sessionId, runId), ttlMs)))
  }

  /** These leases are given up, or somebody else's now. */
  forget(sessionId: string, runIds: readonly string[]): void {
    for (const runId of runIds) this.#known.delete(memberOf(sessionId, runId))
  }

  /** Leases that ran out, oldest first; corrects the entries that it finds wrong. */
  async expired(limit: number): Promise<ExpiredLease[]> {
    if (limit <= 0) return []
    for (;;) {
      const { now, members } = await this.#commands.due(limit)
      const looked = await Promise.all(
        members.map(async ({ member, score }) => {
          const [sessionId = '', runId = ''] = member.split(' ')
          const { epoch, lease } = await this.#commands.held(sessionId, runId)
          const [expires, token = ''] = lease?.split(/ (.*)/s) ?? []
          const real = epoch && expires !== undefined ? expires : ''
          if (real === '' || Number(real) !== Number(score)) {
            this.#known.delete(member)
            await this.#commands.settle(member, score, real)
            return 'corrected'
          }
          return Number(real) <= now ? { sessionId, epoch: Number(epoch), runId, token } : 'corrected'
        }),
      )
      if (!looked.includes('corrected')) return looked as ExpiredLease[]
    }
  }

  async #touch(member: string, ttlMs: number): Promise<void> {
    // From before it is sent: a process that was paused meanwhile must not think that its entry is younger than it is.
    const due = this.#clock() + ttlMs
    await this.#commands.touch(member, ttlMs)
    this.#known.set(member, due)
    if (this.#known.size > KNOWN) this.#known.delete(this.#known.keys().next().value as string)
  }
}

/** Ids hold no blank. */
function memberOf(sessionId: string, runId: string): string {
  return `${sessionId} ${runId}`
}
