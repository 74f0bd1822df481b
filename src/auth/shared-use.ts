/**
 * Tells the other nodes of a log what was used on this one, and learns what was used there. It does so at intervals and
 * not before each use, so a use never waits for the log: nodes may together exceed a limit for as long as the interval,
 * and what was used too much is paid off later. While the log is away or slow, each node counts by itself.
 */
import { createHash } from 'node:crypto'
import type { Journal } from '../bus/journal.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'

/** Something that is counted by name. */
export interface Use {
  /** Names whose use the other nodes must be told of. */
  untold(): Iterable<string>
  /** Tells the other nodes, and takes over what they have used. @throws the error of the log; the use is told again later */
  tell(
    name: string,
    others: {
      /** Uses up so much of a bucket that all nodes share. Resolves with what is left in it. */
      spend(cost: number, perSecond: number, burst: number): Promise<number>
      /** Says how many this node has open. Resolves with those of the other nodes. */
      hold(counts: readonly number[], ttlMs: number): Promise<readonly number[]>
    },
  ): Promise<void>
}

/** How often the other nodes are told, in ms. */
const TELL_MS = 200

/** How many names are told at once; the others follow. */
const AT_ONCE = 500

/** Shares some uses, each under a name of its own. */
export class SharedUse {
  readonly #journal: Journal
  readonly #uses: Readonly<Record<string, Use>>
  #cancel: Cancel | undefined
  #closed = false

  constructor(journal: Journal, uses: Readonly<Record<string, Use>>) {
    this.#journal = journal
    this.#uses = uses
  }

  /** To be called at the first use. Does nothing when the log is not shared by nodes. */
  start(): void {
    if (this.#cancel || this.#closed || !this.#journal.isShared) return
    this.#cancel = startTimer(TELL_MS, () => void this.#tell(), { unref: true })
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
  }

  async #tell(): Promise<void> {
    const telling: Promise<void>[] = []
    for (const [use, counted] of Object.entries(this.#uses)) {
      const names: string[] = []
      for (const name of counted.untold()) {
        if (telling.length + names.length >= AT_ONCE) break
        names.push(name)
      }
      for (const name of names) telling.push(counted.tell(name, this.#others(`${use} ${name}`)))
    }
    await Promise.allSettled(telling)
    if (this.#closed) return
    this.#cancel = startTimer(TELL_MS, () => void this.#tell(), { unref: true })
  }

  #others(name: string): Parameters<Use['tell']>[1] {
    // Names may be long, and those of principals need not stand in the log.
    const id = createHash('sha256').update(name).digest('base64url')
    return {
      spend: (cost, perSecond, burst) => this.#journal.spend(id, cost, perSecond, burst),
      hold: (counts, ttlMs) => this.#journal.hold(id, counts, ttlMs),
    }
  }
}
