/** A session in a transaction. */
import { moves } from '../activity.ts'
import type { Held, HeldKey, HeldLease } from '../conditions.ts'
import type { Open, Place, SessionRecord, Snapshot } from '../log.ts'
import { activityKey, endKey, nameKey, numberKey, PRESENT, type SessionRow, type Tables } from './tables.ts'
import type { Transaction } from './writer.ts'

/** Reads a session's rows as the transaction sees them, and writes changes to it. */
export class OpenSession implements Held {
  readonly sessionId: string
  readonly #tables: Tables
  readonly #transaction: Transaction
  readonly #key: Buffer
  #row: SessionRow

  constructor(tables: Tables, transaction: Transaction, sessionId: string, row: SessionRow) {
    this.#tables = tables
    this.#transaction = transaction
    this.sessionId = sessionId
    this.#key = Buffer.from(sessionId)
    this.#row = row
  }

  get row(): SessionRow {
    return this.#row
  }

  get epoch(): number {
    return this.row.epoch
  }

  get place(): Place {
    return { activeAt: this.row.activeAt, sessionId: this.sessionId }
  }

  get head(): number {
    return this.row.head
  }

  key(key: string) {
    return this.#transaction.get(this.#tables.keys, nameKey(this.epoch, key))
  }

  lease(runId: string) {
    return this.#transaction.get(this.#tables.leases, nameKey(this.epoch, runId))
  }

  producer(id: string) {
    return this.#transaction.get(this.#tables.producers, nameKey(this.epoch, id))
  }

  tally(name: string) {
    return this.#transaction.get(this.#tables.tallies, nameKey(this.epoch, name)) ?? []
  }

  metadata() {
    return this.#transaction.get(this.#tables.metadata, numberKey(this.epoch)) ?? {}
  }

  setMetadata(metadata: Record<string, unknown>): void {
    this.#transaction.put(this.#tables.metadata, numberKey(this.epoch), metadata)
  }

  /** Saves that the session has grown, and moves it in the order of activity if it is to move. */
  grow(head: number, now: number): void {
    if (moves(this.row.activeAt, now)) return this.move(now, { head })
    // Faster in Node 20 than a spread with a changed property.
    const row: { -readonly [K in keyof SessionRow]: SessionRow[K] } = { ...this.row }
    row.head = head
    this.#put(row)
  }

  /** Saves when it was last active, and moves it in the order of activity. */
  move(activeAt: number, change: Partial<SessionRow> = {}): void {
    const { activity } = this.#tables
    this.#transaction.remove(activity, activityKey(this.place))
    this.save({ ...change, activeAt })
    this.#transaction.put(activity, activityKey(this.place), PRESENT)
  }

  setRecord(record: SessionRecord): void {
    const { name } = record
    if (record.kind === 'key') {
      const { seq, note, expiresAt = Infinity } = record
      this.takeKey(name, { seq, note, expiresAt })
    } else if (record.kind === 'producer') {
      const { next, stretches } = record
      this.setProducer(name, { next, ...(stretches && { stretches }) })
    } else if (record.kind === 'lease') {
      this.setLease(name, { token: record.token, expiresAt: record.expiresAt })
    } else this.setTally(name, record.open)
  }

  save(change: Partial<SessionRow>): void {
    this.#put({ ...this.row, ...change })
  }

  #put(row: SessionRow): void {
    this.#row = row
    this.#transaction.put(this.#tables.sessions, this.#key, row)
  }

  takeKey(name: string, held: HeldKey): void {
    const { keys, keyEnds } = this.#tables
    const key = nameKey(this.epoch, name)
    this.#transaction.put(keys, key, held)
    if (held.expiresAt !== Infinity) this.#transaction.put(keyEnds, endKey(held.expiresAt, key), PRESENT)
  }

  /** Takes or renews a lease. Its key in `leaseEnds` is updated only when `findExpired` meets it: most are renewed. */
  setLease(runId: string, lease: HeldLease): void {
    const { leases, leaseEnds } = this.#tables
    const key = nameKey(this.epoch, runId)
    const before = this.#transaction.get(leases, key)
    const endsAt = Math.min(lease.expiresAt, before?.endsAt ?? Infinity)
    this.#transaction.put(leases, key, { ...lease, endsAt })
    if (endsAt === before?.endsAt) return
    if (before) this.#transaction.remove(leaseEnds, endKey(before.endsAt, key))
    this.#transaction.put(leaseEnds, endKey(endsAt, key), { sessionId: this.sessionId, runId })
  }

  releaseLease(runId: string): void {
    const { leases, leaseEnds } = this.#tables
    const key = nameKey(this.epoch, runId)
    const before = this.#transaction.get(leases, key)
    if (!before) return
    this.#transaction.remove(leases, key)
    this.#transaction.remove(leaseEnds, endKey(before.endsAt, key))
  }

  setProducer(id: string, producer: ReturnType<OpenSession['producer']> & object): void {
    this.#transaction.put(this.#tables.producers, nameKey(this.epoch, id), producer)
  }

  setTally(name: string, open: readonly Open[]): void {
    this.#transaction.put(this.#tables.tallies, nameKey(this.epoch, name), open)
  }

  /** Stores the snapshot, unless there is a newer one. */
  setSnapshot(snapshot: Snapshot): void {
    const { snapshots } = this.#tables
    const key = numberKey(this.epoch)
    const before = this.#transaction.get(snapshots, key)
    if (snapshot.seq >= (before?.seq ?? 0)) this.#transaction.put(snapshots, key, snapshot)
  }
}
