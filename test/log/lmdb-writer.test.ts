/** The group commit of the driver `lmdb`: what jobs of one commit see of each other, and what a failed one leaves. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openStore } from '../../src/log/lmdb/store.ts'
import { eventKey, numberKey } from '../../src/log/lmdb/tables.ts'
import { type Transaction, Writer } from '../../src/log/lmdb/writer.ts'

async function stage(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-writer-'))
  const store = await openStore({ folder, reserveBytes: 0 })
  t.teardown(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  const committed: Transaction[] = []
  const writer = new Writer(async (transaction, frees) => {
    committed.push(transaction)
    await store.commit(transaction, frees)
  })
  return { store, writer, committed }
}

t.test('of a job that throws nothing is left, and its commit has what the others did', async t => {
  const { store, writer, committed } = await stage(t)
  const { tables } = store
  const key = numberKey(7)
  const first = writer.run(transaction => {
    transaction.put(tables.metadata, key, { by: 'first' })
    transaction.add(tables.events, eventKey(7, 1), '"first"')
    return { ...transaction.demand }
  })
  const failed = writer.run(transaction => {
    transaction.kept.set('s', {})
    transaction.put(tables.metadata, key, { by: 'a job that fails' })
    transaction.put(tables.snapshots, key, { seq: 1, state: 'x'.repeat(5000) })
    transaction.remove(tables.leases, key)
    transaction.add(tables.events, eventKey(8, 1), '"failed"')
    transaction.afterwards.push(() => t.fail('it failed'))
    throw new Error('on purpose')
  })
  const last = writer.run(transaction => [
    transaction.get(tables.metadata, key),
    transaction.get(tables.snapshots, key),
    transaction.kept.size,
    { ...transaction.demand },
  ])
  await t.rejects(failed, { message: 'on purpose' })
  t.same(await last, [{ by: 'first' }, undefined, 0, await first])
  t.equal(committed.length, 1, 'all were in one commit')
  t.same(tables.metadata.get(key), { by: 'first' })
  t.equal(tables.snapshots.get(key), undefined)
  t.equal(tables.events.get(eventKey(7, 1)), '"first"')
  t.equal(tables.events.get(eventKey(8, 1)), undefined)
})

t.test('a row that several jobs of a commit change counts once, and is as the last one left it', async t => {
  const { store, writer } = await stage(t)
  const { sessions } = store.tables
  const key = Buffer.from('s')
  const row = { epoch: 1, earliest: 1, createdAt: 1, activeAt: 1 }
  const demands = await Promise.all(
    [1, 2, 3].map(head =>
      writer.run(transaction => {
        t.equal(transaction.get(sessions, key)?.head, head === 1 ? undefined : head - 1)
        transaction.put(sessions, key, { ...row, head })
        return { ...transaction.demand }
      }),
    ),
  )
  t.equal(demands[0]?.places, 1)
  t.same(demands[1], demands[0])
  t.same(demands[2], demands[0])
  t.same(sessions.get(key), { ...row, head: 3 })
  // The creator may be as long as its limit allows, and each of its characters six bytes of JSON.
  const createdBy = '\0'.repeat(1000)
  const most = Number.MAX_SAFE_INTEGER
  const big = { epoch: most, head: most, earliest: most, createdAt: most, activeAt: most, createdBy }
  const text = sessions.codec.write(big)
  t.ok(Buffer.byteLength(text) <= (sessions.codec.maxBytes?.(big) ?? 0))
})

t.test('events of one session are one place in the file, of two sessions two', async t => {
  const { store, writer } = await stage(t)
  const { events } = store.tables
  const places = await writer.run(transaction =>
    [eventKey(1, 1), eventKey(1, 2), eventKey(2, 1), eventKey(1, 3)].map(key => {
      transaction.add(events, key, '"x"')
      return transaction.demand.places
    }),
  )
  t.same(places, [1, 1, 2, 2])
})
