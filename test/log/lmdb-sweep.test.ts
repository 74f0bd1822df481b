/** What a deleted session leaves in LMDB's tables: nothing, whatever is written at the same time. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import { rows } from '../fixtures/lmdb-rows.ts'

t.test('a session is deleted while the ends of its renewed leases are moved', async t => {
  // The move is asked for before the delete is committed, and made in one commit with the first step of the sweeper.
  for (let turns = 0; turns < 40; turns++) {
    const folder = `${t.testdir()}/${turns}`
    let now = 1000
    const log = await openLmdbLog({ folder, clock: () => now })
    await log.create('first', {})
    await log.delete('first')
    await log.settled()
    const before = rows(folder)
    await log.create('s', {})
    const lease = (ttlMs: number) => ({ runId: 'r', token: 'a', ttlMs })
    await log.append('s', [], { leases: [lease(10)] })
    await log.renew('s', lease(10_000))
    now += 100
    const deleting = log.delete('s')
    for (let turn = 0; turn < turns; turn++) await nextTurn()
    await log.expired(10)
    await deleting
    await log.settled()
    t.same(rows(folder), before, `${turns} turns later`)
    await log.close()
  }
})
