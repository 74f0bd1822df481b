/** Frees what is no longer needed, a little at a time, between the commits of others. */
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import { isFull } from '../refusals.ts'
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

/** Rows removed in one commit: many, or few where there is no room in the file for many. */
interface Step {
  /** Events of one session. */
  readonly events: number
  /** Rows that lie anywhere in their tables. */
  readonly others: number
}

const LARGE: Step = { events: 1000, others: 500 }
const SMALL: Step = { events: 50, others: 10 }

/** What could not be freed is tried again after so long, in ms. */
const RETRY_MS = 1000

/** Removes expired keys, trimmed events and all that deleted sessions held. What a crash leaves over, it finds again. */
export class Sweeper {
  readonly #tables: Tables
  readonly #writer: Writer
  readonly #clock: () => number
  #sweeping: Promise<void> | undefined
  #again = false
  #stopped = false
  #cancelRetry: Cancel = () => {}

  constructor(tables: Tables, writer: Writer, clock: () => number) {
    this.#tables = tables
    this.#writer = writer
    this.#clock = clock
  }

  /** There may be something to free. */
  poke(): void {
    this.#again = true
    if (this.#stopped) return
    this.#cancelRetry()
    this.#sweeping ??= this.#sweep()
  }

  /** Resolves when nothing is left to free, or when it could not be freed now. */
  async settled(): Promise<void> {
    while (this.#sweeping) await this.#sweeping
  }

  /** Resolves when the step under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelRetry()
    await this.settled()
  }

  async #sweep(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        while (!this.#stopped && (await this.#free())) {}
      } catch {
        // The disk is full, or so. Nothing is lost: the next start, too, would go on.
        this.#cancelRetry = startTimer(RETRY_MS, () => this.poke(), { unref: true })
      }
    }
    this.#sweeping = undefined
  }

  /** One step: a large one if there is room for it. */
  async #free(): Promise<boolean> {
    const free = (step: Step) =>
      this.#writer.run(transaction => this.#step(transaction, step), { frees: true })
    try {
      return await free(LARGE)
    } catch (error) {
      if (!isFull(error)) throw error
      return free(SMALL)
    }
  }

  /** Nobody else writes what it removes, but for keys, which may be taken again. @returns whether it did something */
  #step(transaction: Transaction, step: Step): boolean {
    const { keys, keyEnds, garbage } = this.#tables
    const [found] = garbage.keys(FIRST, LAST, 1)
    if (found) {
      const what = garbage.get(found)
      const left =
        what === 'all'
          ? this.#freeAll(transaction, found, step)
          : this.#freeEvents(transaction, found, what ?? 0, step)
      // Trimmed further, or deleted, meanwhile: that is another round's.
      if (!left && transaction.get(garbage, found) === what) transaction.remove(garbage, found)
      return true
    }
    const ended = keyEnds.keys(FIRST, endedBy(this.#clock()), step.others / 2)
    for (const end of ended) {
      const { at, key } = readEndKey(end)
      if (transaction.get(keys, key)?.expiresAt === at) transaction.remove(keys, key)
      transaction.remove(keyEnds, end)
    }
    return ended.length > 0
  }

  /** Frees a step of the events up to a number. @returns whether some may be left */
  #freeEvents(transaction: Transaction, epochKey: Buffer, through: number, step: Step): boolean {
    const { events } = this.#tables
    const epoch = epochKey.readDoubleBE(0)
    const gone = events.keys(epochKey, eventKey(epoch, through + 1), step.events)
    for (const key of gone) transaction.remove(events, key)
    return gone.length === step.events
  }

  /** Frees a step of everything under an epoch. @returns whether something may be left */
  #freeAll(transaction: Transaction, epochKey: Buffer, step: Step): boolean {
    const { keys, keyEnds, leases, leaseEnds } = this.#tables
    const end = numberKey(epochKey.readDoubleBE(0) + 1)
    let others = step.others
    let left = false
    for (const name of byEpoch) {
      const table = this.#tables[name] as Table<unknown>
      const limit = name === 'events' ? step.events : others
      const gone = limit > 0 ? table.keys(epochKey, end, limit) : []
      left ||= gone.length === limit
      if (name !== 'events') others -= gone.length
      for (const key of gone) {
        if (name === 'keys') transaction.remove(keyEnds, endKey(keys.get(key)?.expiresAt ?? 0, key))
        if (name === 'leases') transaction.remove(leaseEnds, endKey(leases.get(key)?.endsAt ?? 0, key))
        transaction.remove(table, key)
      }
    }
    return left
  }
}
