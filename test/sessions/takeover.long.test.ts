/** Runs whose process is gone: another process ends them once, or takes them over. */
import t, { type Test } from 'tap'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { createRedisLog } from '../../src/log/redis.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { counting } from '../fixtures/resumable.ts'
import { agents, command, eventually, logged, serve, startRun, terminalOf } from '../fixtures/wire-server.ts'

const LEASE_MS = 300

/** A server on a shared log. It can be cut off from the log, as by a crash or a pause. */
async function node(t: Test, log: EventLog) {
  let here: Promise<void> | undefined
  let back = () => {}
  const mine: EventLog = { ...log, close: async () => {} }
  for (const name of ['append', 'renew', 'expired'] as const) {
    const call = mine[name].bind(log) as (...args: unknown[]) => Promise<unknown>
    const guarded = async (...args: unknown[]) => {
      await here
      return call(...args)
    }
    Object.assign(mine, { [name]: guarded })
  }
  const wire = await serve(t, {
    log: mine,
    leaseMs: LEASE_MS,
    agents: [...agents, counting] as typeof agents,
  })
  t.teardown(() => back())
  return {
    ...wire,
    /** From now on its calls do not reach the log, until `back`. */
    vanish() {
      here = new Promise(resolve => {
        back = resolve
      })
    },
    back: () => back(),
  }
}

const types = (texts: string[]) => texts.map(text => JSON.parse(text).type as string)

t.test('three nodes that find an expired lease write one terminal event', async t => {
  const log = createMemoryLog()
  const [lost, ...others] = await Promise.all([node(t, log), node(t, log), node(t, log), node(t, log)])
  const [watching] = others
  if (!lost || !watching) return t.fail('four nodes')
  const runs = await Promise.all(Array.from({ length: 20 }, () => startRun(lost.url, 's', 'idle', {})))
  lost.vanish()
  for (const runId of runs) {
    t.match(await terminalOf(watching.url, 's', runId), {
      type: 'run.failed',
      data: { code: 'producer-lost', retryable: true },
    })
  }
  const ended = types(await logged(watching, 's')).filter(type => type === 'run.failed')
  t.equal(ended.length, runs.length)
  t.same(await log.expired(100), [], 'and no lease is left')
})

t.test('a node that returns after a takeover appends nothing', async t => {
  const log = createMemoryLog()
  const [away, other] = [await node(t, log), await node(t, log)]
  const runId = await startRun(away.url, 's', 'endless', { ignoreSignal: true })
  away.vanish()
  await terminalOf(other.url, 's', runId)
  const before = await logged(other, 's')
  away.back()
  await eventually(t, 'the node stops the run', () => away.server.sessions.runner.active === 0)
  t.same(await logged(other, 's'), before)
})

t.test('a run whose agent declares resume is taken over and completes', async t => {
  const log = createMemoryLog()
  const [lost, ...others] = [await node(t, log), await node(t, log), await node(t, log)]
  const runId = await startRun(lost.url, 's', 'counting', { count: 40, paceMs: 5 })
  await eventually(t, 'the run has begun', async () => (await logged(lost, 's')).length > 5)
  lost.vanish()
  t.match(await terminalOf(others[0]?.url as string, 's', runId), {
    type: 'run.completed',
    data: { result: 40 },
  })
  const counted = (await logged(lost, 's'))
    .map(text => JSON.parse(text))
    .filter(({ type }) => type === 'x.count')
  t.same(
    counted.map(({ data }) => data.i),
    Array.from({ length: 40 }, (_, i) => i),
    'each once, in order',
  )
})

for (const when of ['before', 'after'] as const) {
  t.test(`a question from before the crash can be answered ${when} the run is taken over`, async t => {
    const log = createMemoryLog()
    const lost = await node(t, log)
    const runId = await startRun(lost.url, 's', 'counting', { count: 4, askAt: 2 })
    await eventually(t, 'it asks', async () => types(await logged(lost, 's')).includes('input.requested'))
    lost.vanish()
    const other = await node(t, log)
    const answer = () =>
      command(other.url, 's', { type: 'input.answer', requestId: `${runId}-go`, value: 'yes' })
    if (when === 'after') {
      await eventually(t, 'it is taken over', () => other.server.sessions.runner.active === 1)
    }
    t.match(await answer(), { status: 200 })
    t.match(await terminalOf(other.url, 's', runId), { type: 'run.completed' })
    t.same(types(await logged(other, 's')), [
      'run.started',
      'x.count',
      'x.count',
      'input.requested',
      'input.answered',
      'x.heard',
      'x.count',
      'x.count',
      'run.completed',
    ])
  })
}

t.test('a run that is cancelled while its process is gone is not taken over', async t => {
  const log = createMemoryLog()
  const [lost, other] = [await node(t, log), await node(t, log)]
  const runId = await startRun(lost.url, 's', 'counting', { count: 4, askAt: 2 })
  lost.vanish()
  t.match(await command(other.url, 's', { type: 'run.cancel', runId }), { status: 200 })
  await new Promise(resolve => setTimeout(resolve, 3 * LEASE_MS))
  t.equal(other.server.sessions.runner.active, 0)
  t.equal(types(await logged(other, 's')).at(-1), 'run.cancelled')
})

/** Gives logs over one store of each kind, as processes that follow one another open it. */
const stores: Record<string, (t: Test) => Promise<() => Promise<EventLog>>> = {
  async memory() {
    const log = createMemoryLog()
    return async () => ({ ...log, close: async () => {} })
  },
  async lmdb(t) {
    const folder = t.testdir()
    return () => openLmdbLog({ folder })
  },
  async redis(t) {
    const { url } = await RedisServer.start(t)
    return () => createRedisLog({ url })
  },
}

for (const [name, store] of Object.entries(stores)) {
  const skip = name === 'redis' && noRedis
  // So long that nothing goes on here because a lease has expired.
  const leaseMs = 600_000
  const isDurable = name !== 'memory'
  const counted = (texts: string[]) =>
    texts.flatMap(text => (JSON.parse(text).type === 'x.count' ? [JSON.parse(text).data.i as number] : []))

  t.test(`${name}: what a server that stops has not ended`, { skip }, async t => {
    const open = await store(t)
    const start = async () =>
      serve(t, { log: await open(), leaseMs, agents: [...agents, counting] as typeof agents })
    const first = await start()
    const working = await startRun(first.url, 's', 'counting', { count: 400, paceMs: 2 })
    const asking = await startRun(first.url, 'q', 'counting', { count: 4, askAt: 2 })
    const idle = await startRun(first.url, 'i', 'idle', {})
    await eventually(t, 'it counts', async () => counted(await logged(first, 's')).length > 5)
    await eventually(t, 'it asks', async () => types(await logged(first, 'q')).includes('input.requested'))
    await first.server.close({ graceMs: 0 })

    const { url, server } = await start()
    const restart = { type: 'run.failed', data: { code: 'restart', retryable: true } }
    t.match(await terminalOf(url, 'i', idle), restart, 'fails where the agent cannot resume')
    if (isDurable) {
      const answer = { type: 'input.answer', requestId: `${asking}-go`, value: 'yes' }
      t.match(await command(url, 'q', answer), { status: 200 })
    }
    const wanted = isDurable ? { type: 'run.completed' } : restart
    for (const [session, run] of [
      ['s', working],
      ['q', asking],
    ] as const) {
      t.match(await terminalOf(url, session, run), wanted, isDurable ? 'goes on' : 'fails with its log')
    }
    const numbers = counted(await logged({ url, server }, 's'))
    t.same(numbers, [...numbers.keys()], 'each number once, in order')
    if (isDurable) t.equal(numbers.length, 400)
  })
}
