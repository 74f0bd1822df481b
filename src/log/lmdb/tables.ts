/** The tables of the log's LMDB file, and their keys. */
import { createHash } from 'node:crypto'
import type { Database, RootDatabase } from 'lmdb'
import { TwinrailError } from '../../protocol/index.ts'
import { rankOf } from '../activity.ts'
import type { HeldKey, HeldLease, HeldProducer } from '../conditions.ts'
import type { Open, Place, Snapshot } from '../log.ts'

/** A session's row. Its other rows have its epoch in their keys; no two sessions have the same epoch. */
export interface SessionRow {
  readonly epoch: number
  readonly head: number
  readonly earliest: number
  readonly createdAt: number
  readonly createdBy?: string
  /** Its key in `activity` has this time. */
  readonly activeAt: number
}

/** A lease, with the time in its key in `leaseEnds`: when it ends, or earlier, since renewing does not move the key. */
export interface LeaseRow extends HeldLease {
  readonly endsAt: number
}

/** Converts values to text and back. */
interface Codec<V> {
  write(value: V): string
  read(text: string): V
  /**
   * No text of the value is longer, in bytes. For values that one commit often changes several times: their text is made
   * once, when the commit is written.
   */
  maxBytes?(value: V): number
}

/** Runs a read. A failure may be temporary, and is not the caller's fault. @throws TwinrailError `unavailable` */
function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const { message } = cause as Error
    throw new TwinrailError('unavailable', `the log could not be read (${message}); try again later`, {
      cause,
    })
  }
}

/** An ordered table of the file. Reads see committed data. @throws TwinrailError `unavailable` when LMDB fails */
export class Table<V> {
  readonly codec: Codec<V>
  /** A session's rows are written in ascending order. */
  readonly isSequential: boolean
  readonly #name: string
  #db: Database<string, Buffer>

  constructor(root: RootDatabase, name: string, codec: Codec<V>, { isSequential = false } = {}) {
    this.#name = name
    this.codec = codec
    this.isSequential = isSequential
    this.#db = this.#open(root)
  }

  get db(): Database<string, Buffer> {
    return this.#db
  }

  /** Uses a file that was reopened. */
  reopen(root: RootDatabase): void {
    this.#db = this.#open(root)
  }

  /** Number of pages of the table. */
  get pages(): number {
    return pagesOf(this.#db.getStats() as TreeStats)
  }

  #open(root: RootDatabase): Database<string, Buffer> {
    return root.openDB<string, Buffer>(this.#name, { encoding: 'string', keyEncoding: 'binary' })
  }

  get(key: Buffer): V | undefined {
    const text = reading(() => this.db.get(key))
    return text === undefined ? undefined : this.codec.read(text)
  }

  /** Up to `limit` keys from `start` (inclusive) to `end` (exclusive). */
  keys(start: Buffer, end: Buffer, limit: number): Buffer[] {
    return reading(() => [...this.db.getKeys({ start, end, limit })])
  }

  /** Rows from `start` (inclusive) to `end` (exclusive), all of one commit if iterated in one turn of the event loop. */
  *rows(start: Buffer, end: Buffer, limit = Infinity): Generator<{ key: Buffer; value: V }> {
    const rows = reading(() => this.db.getRange({ start, end, limit })[Symbol.iterator]())
    try {
      for (;;) {
        const row = reading(() => rows.next())
        if (row.done) return
        yield { key: row.value.key, value: this.codec.read(row.value.value) }
      }
    } finally {
      // After an error as well: an open iterator would keep a read transaction, and so an entry for readers.
      rows.return?.()
    }
  }
}

/** LMDB's statistics of a tree. */
export interface TreeStats {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

export const pagesOf = ({ treeBranchPageCount, treeLeafPageCount, overflowPages }: TreeStats) =>
  treeBranchPageCount + treeLeafPageCount + overflowPages

const json = <V>(): Codec<V> => ({ write: JSON.stringify, read: JSON.parse })

const text: Codec<string> = { write: text => text, read: text => text }

/** Rows are arrays: field names would be most of them. Older versions wrote no `activeAt`, and no creator as nothing. */
const row: Codec<SessionRow> = {
  // Five numbers, and at most six bytes for each character of the creator.
  maxBytes: ({ createdBy = '' }) => 128 + 6 * createdBy.length,
  write: ({ epoch, head, earliest, createdAt, createdBy, activeAt }) =>
    JSON.stringify([epoch, head, earliest, createdAt, createdBy ?? null, activeAt]),
  read(text) {
    const [epoch, head, earliest, createdAt, createdBy, activeAt = createdAt] = JSON.parse(text) as [
      number,
      number,
      number,
      number,
      (string | null)?,
      number?,
    ]
    return { epoch, head, earliest, createdAt, activeAt, ...(typeof createdBy === 'string' && { createdBy }) }
  },
}

/** JSON has no Infinity: null stands for "never expires". */
const heldKey: Codec<HeldKey> = {
  write({ seq, expiresAt, note }) {
    const end = expiresAt === Infinity ? null : expiresAt
    return JSON.stringify(note === undefined ? [seq, end] : [seq, end, note])
  },
  read(text) {
    const [seq, end, note] = JSON.parse(text) as [number, number | null, unknown]
    return { seq, note, expiresAt: end ?? Infinity }
  },
}

export type Tables = ReturnType<typeof openTables>

export function openTables(root: RootDatabase) {
  return {
    /** The last assigned epoch, under {@link LAST_EPOCH}. */
    counters: new Table<number>(root, 'counters', json()),
    /** By session id. */
    sessions: new Table<SessionRow>(root, 'sessions', row),
    /** How many sessions each principal has created, by principal. */
    created: new Table<number>(root, 'created', json()),
    /** No value; by the rank of each session's last activity and its id. */
    activity: new Table<string>(root, 'activity', text),
    /** By epoch. */
    metadata: new Table<Record<string, unknown>>(root, 'metadata', json()),
    /** Stored texts, by epoch and number. */
    events: new Table<string>(root, 'events', text, { isSequential: true }),
    /** By epoch and key. */
    keys: new Table<HeldKey>(root, 'keys', heldKey),
    /** No value; by the time a key expires and its key in `keys`. */
    keyEnds: new Table<string>(root, 'key-ends', text),
    /** By epoch and run. */
    leases: new Table<LeaseRow>(root, 'leases', json()),
    /** By {@link LeaseRow.endsAt} and the lease's key in `leases`. */
    leaseEnds: new Table<{ sessionId: string; runId: string }>(root, 'lease-ends', json()),
    /** By epoch and producer. */
    producers: new Table<HeldProducer>(root, 'producers', json()),
    /** What is open, by epoch and tally. */
    tallies: new Table<readonly Open[]>(root, 'tallies', json()),
    /** By epoch. */
    snapshots: new Table<Snapshot>(root, 'snapshots', json()),
    /** Obsolete rows by epoch: events up to a number, or everything. */
    garbage: new Table<number | 'all'>(root, 'garbage', json()),
  }
}

/** The tables with rows under a session's epoch. */
export const byEpoch = ['metadata', 'events', 'keys', 'leases', 'producers', 'tallies', 'snapshots'] as const

export const LAST_EPOCH = Buffer.from('epoch')

/** Bounds that are less and greater than every key. */
export const FIRST = Buffer.from([0])
export const LAST = Buffer.from([0xff])

/** The value of tables that only have keys: LMDB cannot distinguish an empty value from a missing one. */
export const PRESENT = '1'

/** Maximum length of a name that is stored in a key as it is, in UTF-8 bytes; LMDB's limit for a key is 1978. */
const NAME_BYTES = 1000

/** A key that sorts as the number does, which must not be negative. */
export function numberKey(value: number): Buffer {
  const key = Buffer.allocUnsafe(8)
  key.writeDoubleBE(value, 0)
  return key
}

export function eventKey(epoch: number, seq: number): Buffer {
  const key = Buffer.allocUnsafe(16)
  key.writeDoubleBE(epoch, 0)
  key.writeDoubleBE(seq, 8)
  return key
}

/** A key of an epoch and a name. Names too long for LMDB are replaced by their digest, after a byte that no text has. */
export function nameKey(epoch: number, name: string): Buffer {
  const bytes = Buffer.from(name)
  if (bytes.length <= NAME_BYTES) return Buffer.concat([numberKey(epoch), bytes])
  return Buffer.concat([numberKey(epoch), Buffer.from([0xff]), createHash('sha256').update(bytes).digest()])
}

/** A key of a place in the order of activity. */
export function activityKey(place: Place): Buffer {
  return Buffer.concat([numberKey(rankOf(place)), Buffer.from(place.sessionId)])
}

/** Splits an {@link activityKey}. */
export function idOfActivityKey(key: Buffer): string {
  return key.subarray(8).toString()
}

/** A key of an end time and the key of the row that ends. */
export function endKey(at: number, key: Buffer): Buffer {
  return Buffer.concat([numberKey(at), key])
}

/** Splits an {@link endKey}. */
export function readEndKey(end: Buffer): { at: number; key: Buffer } {
  return { at: end.readDoubleBE(0), key: end.subarray(8) }
}

/** The bound after all rows that end at `at` or before. */
export function endedBy(at: number): Buffer {
  return Buffer.concat([numberKey(at), Buffer.from([0xff])])
}
