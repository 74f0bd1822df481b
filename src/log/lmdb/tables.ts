/** What stands where in the log's LMDB file. */
import { createHash } from 'node:crypto'
import type { Database, RootDatabase } from 'lmdb'
import { TwinrailError } from '../../protocol/index.ts'
import type { HeldKey, HeldLease, HeldProducer } from '../conditions.ts'
import type { Snapshot } from '../log.ts'

/** A session's row. Everything else of it stands under its epoch, which no other session ever has. */
export interface SessionRow {
  readonly epoch: number
  readonly head: number
  readonly earliest: number
  readonly createdAt: number
  readonly createdBy?: string
}

/** A lease, and where it stands in `leaseEnds`: there when it ends, or before, as renewing it does not move it. */
export interface LeaseRow extends HeldLease {
  readonly endsAt: number
}

/** How values become text. */
interface Codec<V> {
  write(value: V): string
  read(text: string): V
}

/** What LMDB fails to read may be readable later; the caller's request is not at fault. @throws TwinrailError `unavailable` */
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

/** One ordered table of the file. Reads see what is committed. @throws TwinrailError `unavailable` when LMDB fails */
export class Table<V> {
  readonly codec: Codec<V>
  /** Rows of a session are put behind one another. */
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

  /** LMDB has opened the file anew. */
  reopen(root: RootDatabase): void {
    this.#db = this.#open(root)
  }

  /** Pages that the table takes. */
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

  /** Keys from `start` on and before `end`, as many as `limit`. */
  keys(start: Buffer, end: Buffer, limit: number): Buffer[] {
    return reading(() => [...this.db.getKeys({ start, end, limit })])
  }

  /** Rows from `start` on and before `end`. Iterate within one turn of the event loop: the rows are of one commit then. */
  *rows(start: Buffer, end: Buffer, limit = Infinity): Generator<{ key: Buffer; value: V }> {
    const rows = reading(() => this.db.getRange({ start, end, limit })[Symbol.iterator]())
    try {
      for (;;) {
        const row = reading(() => rows.next())
        if (row.done) return
        yield { key: row.value.key, value: this.codec.read(row.value.value) }
      }
    } finally {
      // Also after an error: an iterator left open would keep its read transaction, and so a place for readers.
      rows.return?.()
    }
  }
}

/** What LMDB tells of a tree. */
export interface TreeStats {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

export const pagesOf = ({ treeBranchPageCount, treeLeafPageCount, overflowPages }: TreeStats) =>
  treeBranchPageCount + treeLeafPageCount + overflowPages

const json = <V>(): Codec<V> => ({ write: JSON.stringify, read: JSON.parse })

const text: Codec<string> = { write: text => text, read: text => text }

/** Rows are arrays: field names would be most of them. Rows without a creator are one shorter. */
const row: Codec<SessionRow> = {
  write: ({ epoch, head, earliest, createdAt, createdBy }) =>
    JSON.stringify([epoch, head, earliest, createdAt, ...(createdBy === undefined ? [] : [createdBy])]),
  read(text) {
    const [epoch, head, earliest, createdAt, createdBy] = JSON.parse(text) as [
      number,
      number,
      number,
      number,
      string?,
    ]
    return { epoch, head, earliest, createdAt, ...(createdBy !== undefined && { createdBy }) }
  },
}

/** JSON knows no Infinity: null stands for what does not expire. */
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
    /** The last epoch given, under {@link LAST_EPOCH}. */
    counters: new Table<number>(root, 'counters', json()),
    /** By session id. */
    sessions: new Table<SessionRow>(root, 'sessions', row),
    /** By epoch. */
    metadata: new Table<Record<string, unknown>>(root, 'metadata', json()),
    /** Stored texts, by epoch and number. */
    events: new Table<string>(root, 'events', text, { isSequential: true }),
    /** By epoch and key. */
    keys: new Table<HeldKey>(root, 'keys', heldKey),
    /** Nothing, by when a key expires and where it stands in `keys`. */
    keyEnds: new Table<string>(root, 'key-ends', text),
    /** By epoch and run. */
    leases: new Table<LeaseRow>(root, 'leases', json()),
    /** By {@link LeaseRow.endsAt} and where the lease stands in `leases`. */
    leaseEnds: new Table<{ sessionId: string; runId: string }>(root, 'lease-ends', json()),
    /** By epoch and producer. */
    producers: new Table<HeldProducer>(root, 'producers', json()),
    /** By epoch. */
    snapshots: new Table<Snapshot>(root, 'snapshots', json()),
    /** What is to be freed, by epoch: events up to a number, or all there is. */
    garbage: new Table<number | 'all'>(root, 'garbage', json()),
  }
}

/** Tables that hold something of a session, beside its row, under its epoch. */
export const byEpoch = ['metadata', 'events', 'keys', 'leases', 'producers', 'snapshots'] as const

export const LAST_EPOCH = Buffer.from('epoch')

/** Before and behind every key of a table. */
export const FIRST = Buffer.from([0])
export const LAST = Buffer.from([0xff])

/** Something in every row of a table that only has keys: LMDB gives an empty value for a missing one. */
export const PRESENT = '1'

/** The longest name that stands in a key as it is, in UTF-8 bytes; LMDB takes 1978 in all. */
const NAME_BYTES = 1000

/** Sorts as numbers from 0 on do. */
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

/** Something of a session by its name. Names too long for LMDB stand as their digest, behind a byte no text has. */
export function nameKey(epoch: number, name: string): Buffer {
  const bytes = Buffer.from(name)
  if (bytes.length <= NAME_BYTES) return Buffer.concat([numberKey(epoch), bytes])
  return Buffer.concat([numberKey(epoch), Buffer.from([0xff]), createHash('sha256').update(bytes).digest()])
}

/** When what stands under `key` ends. */
export function endKey(at: number, key: Buffer): Buffer {
  return Buffer.concat([numberKey(at), key])
}

/** Takes {@link endKey} apart. */
export function readEndKey(end: Buffer): { at: number; key: Buffer } {
  return { at: end.readDoubleBE(0), key: end.subarray(8) }
}

/** The place behind everything that ends at `at` or before. */
export function endedBy(at: number): Buffer {
  return Buffer.concat([numberKey(at), Buffer.from([0xff])])
}
