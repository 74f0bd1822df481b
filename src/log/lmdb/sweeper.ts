/** Frees what is no longer needed, a little at a time, between the commits of others. */
import {
  byEpoch,
  endedBy,
  endKey,
  eventKey,
  FIRST,
  LAST,
  numberKey,
  readEndKey,
  type Table,
  type Tables,
} from './tables.ts'
import type { Transaction, Writer } from './writer.ts'

/** Rows removed in one commit. */
const STEP = 1000

/** Removes expired keys, trimmed events and all that deleted sessions held. What a crash leaves over, it finds again. */
export class Sweeper {
  readonly #tables: Tables
  readonly #writer: Writer
  readonly #clock: () => number
  #sweeping: Promise<void> | undefined
  #again = false
  #stopped = false

  constructor(tables: Tables, writer: Writer, clock: () => number) {
    this.#tables = tables
    this.#writer = writer
    this.#clock = clock
  }

  /** There may be something to free. */
  poke(): void {
    this.#again = true
    if (this.#stopped) return
    this.#sweeping ??= this.#sweep()
  }

  /** Resolves when nothing is left to free. */
  async settled(): Promise<void> {
    while (this.#sweeping) await this.#sweeping
  }

  /** Resolves when the step under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.settled()
  }

  async #sweep(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        while (!this.#stopped && (await this.#writer.run(transaction => this.#step(transaction)))) {}
      } catch {
        // The disk is full, or so. Nothing is lost: the next poke, or the next start, goes on.
      }
    }
    this.#sweeping = undefined
  }

  /** Nobody else writes what it removes, but for keys, which may be taken again. @returns whether it did something */
  #step(transaction: Transaction): boolean {
    const { keys, keyEnds, garbage } = this.#tables
    const [found] = garbage.keys(FIRST, LAST, 1)
    if (found) {
      const what = garbage.get(found)
      const left =
        what === 'all' ? this.#freeAll(transaction, found) : this.#freeEvents(transaction, found, what ?? 0)
      // Trimmed further, or deleted, meanwhile: that is another round's.
      if (!left && transaction.get(garbage, found) === what) transaction.remove(garbage, found)
      return true
    }
    const ended = keyEnds.keys(FIRST, endedBy(this.#clock()), STEP)
    for (const end of ended) {
      const { at, key } = readEndKey(end)
      if (transaction.get(keys, key)?.expiresAt === at) transaction.remove(keys, key)
      transaction.remove(keyEnds, end)
    }
    return ended.length > 0
  }

  /** Frees a step of the events up to a number. @returns whether some are left */
  #freeEvents(transaction: Transaction, epochKey: Buffer, through: number): boolean {
    const { events } = this.#tables
    const epoch = epochKey.readDoubleBE(0)
    const gone = events.keys(epochKey, eventKey(epoch, through + 1), STEP)
    for (const key of gone) transaction.remove(events, key)
    return gone.length === STEP
  }

  /** Frees a step of everything under an epoch. @returns whether something is left */
  #freeAll(transaction: Transaction, epochKey: Buffer): boolean {
    const { keys, keyEnds, leases, leaseEnds } = this.#tables
    const end = numberKey(epochKey.readDoubleBE(0) + 1)
    let left = false
    for (const name of byEpoch) {
      const table = this.#tables[name] as Table<unknown>
      const gone = table.keys(epochKey, end, STEP)
      left ||= gone.length === STEP
      for (const key of gone) {
        if (name === 'keys') transaction.remove(keyEnds, endKey(keys.get(key)?.expiresAt ?? 0, key))
        if (name === 'leases') transaction.remove(leaseEnds, endKey(leases.get(key)?.endsAt ?? 0, key))
        transaction.remove(table, key)
      }
    }
    return left
  }
}
