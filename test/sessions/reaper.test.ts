/** How a runner handles an expired lease. The log has a clock of its own. */
import t, { type Test } from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import { Journal } from '../../src/bus/journal.ts'
import { keys } from '../../src/log/keys.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { Presence } from '../../src/presence/presence.ts'
import { Expiry } from '../../src/sessions/expiry.ts'
import { Runner } from '../../src/sessions/runner.ts'
import { SchemaChecker } from '../../src/sessions/schemas/checker.ts'
import { counting } from '../fixtures/resumable.ts'

const lease = { runId: 'r', token: 'owner', ttlMs: 10 }

/** A log with the run `r`, whose lease has expired. */
async function expiredRun(agent: string) {
  let now = 1000
  const log = createMemoryLog({ clock: () => now })
  const started = { type: 'run.started', runId: 'r', data: { agent, input: { count: 1 } } }
  await new Journal(log).append('s', [started], {
    create: true,
    once: [{ key: keys.run('r'), note: {} }],
    leases: [lease],
  })
  now += 11
  return log
}

/** A new runner looks for expired leases once. `found` runs after it has read them and before it handles them. */
async function reapOnce(t: Test, log: EventLog, found = async () => {}): Promise<void> {
  let searched = () => {}
  const search = new Promise<void>(resolve => {
    searched = resolve
  })
  const journal = new Journal({
    ...log,
    async expired(limit) {
      const expired = await log.expired(limit)
      await found()
      searched()
      return expired
    },
  })
  const presence = new Presence(journal)
  const errors: unknown[] = []
  const runner = new Runner({
    journal,
    bus: new Bus(journal, { peers: presence }),
    presence,
    schemas: new SchemaChecker(),
    agents: new Map([[counting.name, counting]]) as never,
    workers: { recover: async () => false },
    maxRunMs: 1000,
    leaseMs: 30,
    openRun: () => () => {},
    expiry: new Expiry({ journal, onError: error => errors.push(error) }),
    onError: error => errors.push(error),
  })
  // The runner's own timer does not keep the process alive.
  const alive = setInterval(() => {}, 1000)
  await search
  await runner.close(1000)
  clearInterval(alive)
  t.same(errors, [])
}

async function types(log: EventLog): Promise<string[]> {
  const page = await log.read('s', 0, { events: 100, bytes: 1e6 })
  return page?.events.map(({ type }) => type) ?? []
}

t.test('a lost run whose agent cannot resume gets run.failed', async t => {
  const log = await expiredRun('other')
  await reapOnce(t, log)
  t.same(await types(log), ['run.started', 'run.failed'])
  t.same(await log.expired(10), [])
})

for (const [how, agent] of [
  ['failed', 'other'],
  ['taken over', counting.name],
] as const) {
  t.test(`a run whose owner renews the expired lease first is not ${how}`, async t => {
    const log = await expiredRun(agent)
    await reapOnce(t, log, async () => {
      await log.renew('s', lease)
    })
    t.same(await types(log), ['run.started'])
    t.equal(await log.renew('s', lease), true, 'the owner still holds the lease')
  })
}

t.test('a run with a terminal event is not taken over, and its lease is released', async t => {
  const log = await expiredRun(counting.name)
  const completed = { type: 'run.completed', runId: 'r', data: { finishReason: 'stop' } }
  await new Journal(log).append('s', [completed], { once: [{ key: keys.end('r') }] })
  t.match(await log.expired(10), [{ runId: 'r' }], 'the terminal event did not release the lease')
  await reapOnce(t, log)
  t.same(await types(log), ['run.started', 'run.completed'])
  const taken = await log.append('s', [], { leases: [{ ...lease, token: 'another' }] })
  t.equal(taken.accepted, true, 'the lease is free')
})
