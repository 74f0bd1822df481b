/** The records of a session, read a page at a time. */
import type { SessionRecord } from '../log.ts'
import { numberKey, type Table, type Tables } from './tables.ts'

/** Rows that are read in one turn of the event loop. */
const PAGE = 500

/** The first byte of a name that is stored as its digest: see `nameKey`. */
const DIGEST = 0xff

/** Bytes of the epoch at the beginning of each key. */
const EPOCH_BYTES = 8

/** The records under an epoch, expired keys included. Names that are stored as digests are left out. */
export async function* recordsOf(tables: Tables, epoch: number): AsyncGenerator<SessionRecord, void, void> {
  for await (const [name, { seq, note, expiresAt }] of rowsOf(tables.keys, epoch)) {
    yield { kind: 'key', name, seq, note, ...(expiresAt !== Infinity && { expiresAt }) }
  }
  for await (const [name, producer] of rowsOf(tables.producers, epoch)) {
    yield { kind: 'producer', name, ...producer }
  }
  for await (const [name, { token, expiresAt }] of rowsOf(tables.leases, epoch)) {
    yield { kind: 'lease', name, token, expiresAt }
  }
  for await (const [name, open] of rowsOf(tables.tallies, epoch)) yield { kind: 'tally', name, open }
}

async function* rowsOf<V>(
  table: Table<V>,
  epoch: number,
): AsyncGenerator<[name: string, value: V], void, void> {
  const end = numberKey(epoch + 1)
  for (let start: Buffer | undefined = numberKey(epoch); start; ) {
    const page: { key: Buffer; value: V }[] = [...table.rows(start, end, PAGE)]
    for (const { key, value } of page) {
      const name = key.subarray(EPOCH_BYTES)
      if (name[0] !== DIGEST) yield [name.toString(), value]
    }
    const last: { key: Buffer } | undefined = page.at(-1)
    start = last && page.length === PAGE ? Buffer.concat([last.key, Buffer.from([0])]) : undefined
    await new Promise(resolve => setImmediate(resolve))
  }
}
