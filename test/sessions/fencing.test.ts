/** A process whose run was taken over cannot append to it. */
import t from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import { Journal } from '../../src/bus/journal.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { RunLog } from '../../src/sessions/run-log.ts'

t.test('a run log that has lost its lease appends nothing', async t => {
  let now = 1000
  const journal = new Journal(createMemoryLog({ clock: () => now }))
  const lease = { runId: 'r', token: 'paused', ttlMs: 10 }
  const started = await journal.append('s', [{ type: 'x.n', runId: 'r', data: 1 }], {
    create: true,
    leases: [lease],
  })
  const { epoch } = await journal.session('s')
  t.equal(started.accepted, true)
  now += 11
  const taken = { runId: 'r', token: 'other', ttlMs: 1000, from: 'paused' }
  t.equal((await journal.append('s', [], { epoch, leases: [taken] })).accepted, true)

  const failures: unknown[] = []
  const log = new RunLog({
    journal,
    bus: new Bus(journal),
    sessionId: 's',
    runId: 'r',
    epoch,
    lease,
    onFailed: error => failures.push(error),
  })
  await t.rejects(log.append([{ type: 'x.n', runId: 'r', data: 2 }]), { message: 'the run has ended' })
  t.equal(failures.length, 1)
  t.equal((await log.appendNow({ type: 'run.failed', runId: 'r', data: {} }, {})).accepted, false)
  t.equal((await journal.session('s')).head, 1, 'nothing was added')
})
