/** What was revoked, on every node: an event in a session of the server's own for each. */
import { AUTH_SESSION, type Journal } from '../bus/journal.ts'
import type { LogEvent } from '../log/event.ts'
import type { Principal } from '../sessions/principal.ts'

/** Whom or what a revocation concerns. An absent field stands for all. */
export interface Target {
  readonly principal?: string | undefined
  readonly sessionId?: string | undefined
}

/** Maximum number of revocations that are remembered; the oldest are forgotten first. */
export const REVOCATIONS = 10_000

/** What the event in the log says. */
interface Revoked extends Target {
  /** ms since 1970. */
  readonly at: number
  /** Whether credentials that were issued before it are void. */
  readonly voids: boolean
}

const keyOf = ({ principal = '', sessionId = '' }: Target) => JSON.stringify([principal, sessionId])

/** Knows which credentials are void, and reports each revocation of any node. */
export class Revocations {
  readonly #journal: Journal
  readonly #onRevoked: (target: Target) => void
  /** When credentials became void, in ms since 1970, by whom and what it concerns. */
  readonly #voidAt = new Map<string, number>()
  #unfollow: (() => void) | undefined
  #loading: Promise<void> | undefined

  /** @param onRevoked called for every revocation, on every node; must not throw */
  constructor(journal: Journal, onRevoked: (target: Target) => void) {
    this.#journal = journal
    this.#onRevoked = onRevoked
  }

  /** Follows the revocations of all nodes from now on. */
  start(): void {
    this.#unfollow ??= this.#journal.follow(AUTH_SESSION, {
      events: (_epoch, events) => this.#take(events, true),
      ephemeral: () => {},
      deleted: () => this.#again(),
      lost: () => this.#again(),
    })
  }

  close(): void {
    this.#unfollow?.()
    this.#unfollow = undefined
  }

  /** Resolves once all nodes were told. @param voids whether credentials that were issued before now are void */
  async revoke(target: Target, voids: boolean): Promise<void> {
    const data: Revoked = { ...target, at: Date.now(), voids }
    const appended = await this.#journal.append(AUTH_SESSION, [{ type: 'x.revoked', data }], { create: true })
    if (!appended.accepted || appended.head % REVOCATIONS > 0) return
    const through = appended.head - REVOCATIONS
    if (through > 0)
      await this.#journal.trim(AUTH_SESSION, appended.epoch, through, { seq: through, state: {} })
  }

  /**
   * Whether credentials were revoked after they were issued. `issuedAt` is exact to the second in tokens, so credentials
   * of the second of the revocation are void.
   * @throws TwinrailError `unavailable` while the revocations cannot be read
   */
  async isVoid({ id, issuedAt }: Principal, sessionId: string | undefined): Promise<boolean> {
    if (issuedAt === undefined) return false
    await this.#loaded()
    if (this.#voidAt.size === 0) return false
    const targets = [
      { principal: id },
      ...(sessionId === undefined ? [] : [{ sessionId }, { principal: id, sessionId }]),
    ]
    return targets.some(target => (this.#voidAt.get(keyOf(target)) ?? -Infinity) >= issuedAt)
  }

  /** Reads those of before this process began to follow. */
  #loaded(): Promise<void> {
    this.#loading ??= this.#load().catch(error => {
      this.#loading = undefined
      throw error
    })
    return this.#loading
  }

  async #load(): Promise<void> {
    for await (const event of this.#journal.events(AUTH_SESSION, 0)) this.#take([event], false)
  }

  /** The log has lost events. What is known stays known. */
  #again(): void {
    this.#loading = undefined
    this.#onRevoked({})
  }

  #take(events: readonly LogEvent[], isNew: boolean): void {
    for (const { event } of events) {
      const { at, voids, principal, sessionId } = event.data as Revoked
      const target = { principal, sessionId }
      if (voids) this.#remember(keyOf(target), at)
      if (isNew) this.#onRevoked(target)
    }
  }

  #remember(key: string, at: number): void {
    const before = this.#voidAt.get(key) ?? -Infinity
    this.#voidAt.delete(key)
    this.#voidAt.set(key, Math.max(at, before))
    if (this.#voidAt.size > REVOCATIONS) this.#voidAt.delete(this.#voidAt.keys().next().value as string)
  }
}
