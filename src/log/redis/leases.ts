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

/** For so long an entry is left out whose session could not be read: one shard of a cluster may be down, in ms. */
const UNREADABLE_MS = 10_000

/** Leases that this process knows to be in the index; more are put there again. */
const KNOWN = 10_000

export class LeaseIndex {
  readonly #commands: LeaseCommands
  readonly #clock: () => number
  /** Entries whose session could not be read lately, and until when they are left out, by this process's clock. */
  readonly #unreadable = new Map<string, number>()
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

  /**
   * Leases that ran out, oldest first; corrects the entries that it finds wrong. Where some sessions cannot be read the
   * others' leases are given all the same, and those are left out for a while.
   * @throws why a session could not be read, when there is no other lease to give
   */
  async expired(limit: number): Promise<ExpiredLease[]> {
    if (limit <= 0) return []
    this.#readAgain()
    let failure: { reason: unknown } | undefined
    for (;;) {
      const { now, members } = await this.#commands.due(limit + this.#unreadable.size)
      const wanted = members.filter(({ member }) => !this.#unreadable.has(member)).slice(0, limit)
      const looked = await Promise.allSettled(wanted.map(entry => this.#look(entry, now)))
      const found: ExpiredLease[] = []
      let isFinal = true
      for (const [i, outcome] of looked.entries()) {
        if (outcome.status === 'rejected') {
          failure ??= outcome
          this.#unreadable.set((wanted[i] as { member: string }).member, this.#clock() + UNREADABLE_MS)
          isFinal = false
        } else if (outcome.value) found.push(outcome.value)
        else isFinal = false
      }
      if (isFinal && failure && found.length === 0) throw failure.reason
      // The rest may have to wait for a deadline; the caller asks again soon.
      if (isFinal || (failure && found.length > 0)) return found
    }
  }

  /** The lease of an entry that is due; nothing when the entry was wrong, which is corrected then. */
  async #look(
    { member, score }: { member: string; score: string },
    now: number,
  ): Promise<ExpiredLease | undefined> {
    const [sessionId = '', runId = ''] = member.split(' ')
    const { epoch, lease } = await this.#commands.held(sessionId, runId)
    const [expires, token = ''] = lease?.split(/ (.*)/s) ?? []
    const real = epoch && expires !== undefined ? expires : ''
    if (real === '' || Number(real) !== Number(score)) {
      this.#known.delete(member)
      await this.#commands.settle(member, score, real)
      return undefined
    }
    return Number(real) <= now ? { sessionId, epoch: Number(epoch), runId, token } : undefined
  }

  #readAgain(): void {
    const now = this.#clock()
    for (const [member, until] of this.#unreadable) if (until <= now) this.#unreadable.delete(member)
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
