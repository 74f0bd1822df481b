/**
 * The index of leases by their end times, over all sessions. This sorted set is only an index; the session's hash is
 * authoritative. So that no lease is missed, its entry is added before the lease is taken, and an entry is removed only
 * when it has not changed since it was found to be obsolete.
 */
import type { ExpiredLease, Lease } from '../log.ts'

/** The commands on the index. */
export interface LeaseCommands {
  /** Resolves with the time until which the lease must be taken, in ms. */
  touch(member: string, ms: number): Promise<number>
  settle(member: string, seen: string, real: string): Promise<unknown>
  /** Resolves with the due entries, their scores, and the time. */
  due(limit: number): Promise<{ now: number; members: { member: string; score: string }[] }>
  /** The session's epoch and the run's lease as `<expiresAt> <token>`. */
  held(sessionId: string, runId: string): Promise<{ epoch: string | null; lease: string | null }>
}

/** Time for which an entry is skipped after its session could not be read (a cluster's shard may be down), in ms. */
const UNREADABLE_MS = 10_000

/** Maximum number of leases whose entries this process remembers; others are announced again. */
const KNOWN = 10_000

export class LeaseIndex {
  readonly #commands: LeaseCommands
  readonly #clock: () => number
  /** Entries whose session could not be read, and until when they are skipped, by this process's clock. */
  readonly #unreadable = new Map<string, number>()
  /** When each known entry is due: `until` by this process's clock, `due` by Redis's. */
  readonly #known = new Map<string, { until: number; due: number }>()

  /** @param clock in ms; only differences matter */
  constructor(commands: LeaseCommands, clock: () => number) {
    this.#commands = commands
    this.#clock = clock
  }

  /**
   * Adds the entries of leases that are about to be taken, due when the leases expire or sooner.
   * @returns the time until which each must be taken, by Redis's clock, in ms: after it the entry may be removed as
   * obsolete
   */
  announce(sessionId: string, leases: readonly Lease[]): number[] | Promise<number[]> {
    if (leases.length === 0) return []
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

  /** Forgets entries of leases that were released, were lost to another node, or must be announced again. */
  forget(sessionId: string, runIds: readonly string[]): void {
    for (const runId of runIds) this.#known.delete(memberOf(sessionId, runId))
  }

  /**
   * Expired leases, oldest first; corrects wrong entries. When some sessions cannot be read, the leases of the others are
   * returned, and the failing entries are skipped for a while.
   * @throws the error of a session that could not be read, when there is no other expired lease
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
      // Further reads might wait for a deadline; the caller calls again soon.
      if (isFinal || (failure && found.length > 0)) return found
    }
  }

  /** The lease of a due entry; `undefined` when the entry was wrong, which is then corrected. */
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
    // Taken before sending: after a pause this process must not believe that its entry is newer than it is.
    const until = this.#clock() + ttlMs
    const due = await this.#commands.touch(member, ttlMs)
    this.#known.set(member, { until, due })
    if (this.#known.size > KNOWN) this.#known.delete(this.#known.keys().next().value as string)
    return due
  }
}

/** Ids contain no spaces. */
function memberOf(sessionId: string, runId: string): string {
  return `${sessionId} ${runId}`
}
