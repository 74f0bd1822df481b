/**
 * Which leases are due, over all sessions. A sorted set of its own that only says when to look: what is true stands
 * with the session. So that no lease is ever missed, it gets its entry before the lease is taken, and an entry goes
 * only when nobody has touched it since it was found void.
 */
import type { ExpiredLease, Lease } from '../log.ts'

/** The commands that the index is made of. */
export interface LeaseCommands {
  /** Gives by when the lease must be taken, ms. */
  touch(member: string, ms: number): Promise<number>
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
  /** By when each is looked at, as far as this process knows: `until` by its own clock, `due` by Redis's. */
  readonly #known = new Map<string, { until: number; due: number }>()

  /** @param clock in ms; only differences count */
  constructor(commands: LeaseCommands, clock: () => number) {
    this.#commands = commands
    this.#clock = clock
  }

  /**
   * Sees to it that a lease which is about to be taken will be looked at when it runs out, or sooner.
   * @returns by when each must be taken, by Redis's time, ms: whoever looks after that may find nothing and forget it
   */
  announce(sessionId: string, leases: readonly Lease[]): number[] | Promise<number[]> {
    const now = this.#clock()
    const dues = leases.map(({ runId, ttlMs }) => {
      const known = this.#known.get(memberOf(sessionId, runId))
      return known && known.until > now && known.until <= now + ttlMs ? known.due : undefined
    })
    if (dues.every(due => due !== undefined)) return dues
    return Promise.all(
      leases.map(({ runId, ttlMs }, i) => dues[i] ?? this.#touch(memberOf(sessionId, runId), ttlMs)),
    )
  }

  /** These leases are given up, or somebody else's now, or have to be announced again. */
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

  async #touch(member: string, ttlMs: number): Promise<number> {
    // From before it is sent: a process that was paused meanwhile must not think that its entry is younger than it is.
    const until = this.#clock() + ttlMs
    const due = await this.#commands.touch(member, ttlMs)
    this.#known.set(member, { until, due })
    if (this.#known.size > KNOWN) this.#known.delete(this.#known.keys().next().value as string)
    return due
  }
}

/** Ids hold no blank. */
function memberOf(sessionId: string, runId: string): string {
  return `${sessionId} ${runId}`
}
