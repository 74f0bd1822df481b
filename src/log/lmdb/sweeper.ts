/** Removes obsolete rows in small steps between other commits. */
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

/** Number of rows removed in one commit; fewer when the file has no space for a large commit. */
interface Step {
  /** Events of one session. */
  readonly events: number
  /** Rows at scattered places of their tables. */
  readonly others: number
}

const LARGE: Step = { events: 1000, others: 500 }
const SMALL: Step = { events: 50, others: 10 }

/** Pause after a failed step, in ms. */
const RETRY_MS = 1000

/** Removes expired keys, trimmed events and the rows of deleted sessions. It continues after a crash. */
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

  /** Starts the sweeper if it is idle; called when there may be rows to remove. */
  poke(): void {
    this.#again = true
    if (this.#stopped) return
    this.#cancelRetry()
    this.#sweeping ??= this.#sweep()
  }

  /** Resolves when no obsolete rows are left, or when a step has failed. */
  async settled(): Promise<void> {
    while (this.#sweeping) await this.#sweeping
  }

  /** Stops after the current step; resolves when it has finished. */
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
        // For example a full disk. Nothing is lost: the next attempt or start continues.
        this.#cancelRetry = startTimer(RETRY_MS, () => this.poke(), { unref: true })
      }
    }
    this.#sweeping = undefined
  }

  /** Runs a step: a large one if the file has space for it, otherwise a small one. */
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

  /** Other jobs do not write these rows, except keys, which may be taken again. @returns whether rows were removed */
  #step(transaction: Transaction, step: Step): boolean {
    const { keys, keyEnds, garbage } = this.#tables
    const [found] = garbage.keys(FIRST, LAST, 1)
    if (found) {
      const what = garbage.get(found)
      const left =
        what === 'all'
          ? this.#freeAll(transaction, found, step)
          : this.#freeEvents(transaction, found, what ?? 0, step)
      // The session was trimmed further or deleted meanwhile; the next step handles that.
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

  /** Removes some of the events up to a number. @returns whether more may be left */
  #freeEvents(transaction: Transaction, epochKey: Buffer, through: number, step: Step): boolean {
    const { events } = this.#tables
    const epoch = epochKey.readDoubleBE(0)
    const gone = events.keys(epochKey, eventKey(epoch, through + 1), step.events)
    for (const key of gone) transaction.remove(events, key)
    return gone.length === step.events
  }

  /** Removes some of the rows of an epoch. @returns whether more may be left */
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
        // As this transaction has them: an earlier job of it may have moved an end.
        if (name === 'keys')
          transaction.remove(keyEnds, endKey(transaction.get(keys, key)?.expiresAt ?? 0, key))
        if (name === 'leases')
          transaction.remove(leaseEnds, endKey(transaction.get(leases, key)?.endsAt ?? 0, key))
        transaction.remove(table, key)
      }
    }
    return left
  }
}
