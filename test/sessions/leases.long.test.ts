/** A session whose log calls fail or hang does not affect the leases, takeovers and trimming of other sessions. */
import t, { type Test } from 'tap'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { command, eventually, ingest, logged, serve, startRun, state } from '../fixtures/wire-server.ts'

const LEASE_MS = 1000

type Call = 'renew' | 'append' | 'trim'

/** The two kinds of failure: the calls reject, or they never settle. */
const troubles = ['fails', 'hangs'] as const

interface Ailing {
  call: Call
  how: (typeof troubles)[number]
}

/**
 * A server on a shared log. From its start, or after `ail`, the log's calls for the session `bad` fail or hang, as when
 * one shard of a Redis Cluster is down.
 */
async function node(t: Test, log: EventLog, options: object = {}, fromStart?: Ailing) {
  const reported: Record<string, unknown>[] = []
  const counts = new Map<string, number>()
  let recovered = () => {}
  const recovery = new Promise<void>(resolve => {
    recovered = resolve
  })
  let ailing = fromStart
  const mine: EventLog = { ...log, close: async () => {} }
  for (const name of ['renew', 'append', 'trim'] as const) {
    const call = log[name].bind(log) as (...args: unknown[]) => Promise<unknown>
    const guarded = async (sessionId: string, ...args: unknown[]) => {
      counts.set(`${name} ${sessionId}`, (counts.get(`${name} ${sessionId}`) ?? 0) + 1)
      if (sessionId === 'bad' && ailing?.call === name) {
        if (ailing.how === 'hangs') await recovery
        else throw new TwinrailError('unavailable', 'its shard is down')
      }
      return call(sessionId, ...args)
    }
    Object.assign(mine, { [name]: guarded })
  }
  const wire = await serve(t, {
    log: mine,
    leaseMs: LEASE_MS,
    logger: { level: 'error', stream: { write: (line: string) => reported.push(JSON.parse(line)) } },
    ...options,
  })
  const recover = () => {
    ailing = undefined
    recovered()
  }
  t.teardown(recover)
  return {
    ...wire,
    /** The lines of the server's own log. */
    reported,
    /** How often the call was made for the session. */
    calls: (name: Call, sessionId: string) => counts.get(`${name} ${sessionId}`) ?? 0,
    ail(call: Call, how: (typeof troubles)[number]) {
      ailing = { call, how }
    },
    recover,
  }
}

type Node = Awaited<ReturnType<typeof node>>

/** The only run of each session, as the server describes it. */
async function statusOf({ url }: Node, sessionId: string): Promise<string | undefined> {
  return (await state(url, sessionId)).runs?.[0]?.status
}

const healthy = ['a', 'b', 'c']

for (const how of troubles) {
  t.test(`when the renewal of one lease ${how}, the other runs keep theirs`, async t => {
    const log = createMemoryLog()
    const [ill, other] = [await node(t, log), await node(t, log)]
    const bad = await startRun(ill.url, 'bad', 'idle', {})
    for (const sessionId of healthy) await startRun(ill.url, sessionId, 'idle', {})
    ill.ail('renew', how)
    await eventually(t, 'the other node fails the run', async () => {
      return (await statusOf(other, 'bad')) === 'failed'
    })
    const before = healthy.map(sessionId => ill.calls('renew', sessionId))
    await eventually(t, 'the other leases are still renewed', () =>
      healthy.every((sessionId, i) => ill.calls('renew', sessionId) > (before[i] as number) + 5),
    )
    for (const sessionId of healthy) t.equal(await statusOf(other, sessionId), 'running', sessionId)
    if (how === 'hangs') return
    t.match(ill.reported[0], { what: 'lease renewal', sessionId: 'bad', runId: bad, err: {} })
    t.ok(ill.calls('renew', 'bad') < ill.calls('renew', 'a'), 'the failing renewal is tried less often')
  })

  t.test(`when the takeover of 150 expired leases ${how}, a younger one is still handled`, async t => {
    const log = createMemoryLog()
    for (let i = 0; i < 150; i++) {
      await log.append('bad', [], { create: true, leases: [{ runId: `r${i}`, token: 'gone', ttlMs: 1 }] })
    }
    const ill = await node(t, log, { producerLeaseMs: 50 }, { call: 'append', how })
    await ingest(ill.url, 'good', {
      type: 'run.started',
      runId: 'young',
      data: { agent: 'a', input: null },
    })
    await eventually(t, 'the younger run is ended', async () => (await statusOf(ill, 'good')) === 'failed')
    t.ok((await log.expired(1000)).length === 150, 'the other leases are still expired')
    if (how === 'fails')
      t.match(ill.reported[0], { what: 'expired lease', sessionId: 'bad', runId: /^r\d+$/ })
    ill.recover()
    await eventually(
      t,
      'they are ended once the log answers again',
      async () => (await log.expired(1)).length === 0,
    )
  })

  t.test(`when the trimming of one session ${how}, the others are still trimmed`, async t => {
    const log = createMemoryLog()
    const ill = await node(t, log, { retention: { events: 2 }, retentionEveryMs: 20 })
    ill.ail('trim', how)
    const sessions = ['bad', ...healthy]
    const events = Array.from({ length: 10 }, (_, i) => ({ type: 'x.n', data: i }))
    for (const sessionId of sessions) await ingest(ill.url, sessionId, events)
    const trimmed = async (sessionId: string) => (await log.session(sessionId))?.earliest === 9
    for (const sessionId of healthy) {
      await eventually(t, `${sessionId} is trimmed`, () => trimmed(sessionId))
    }
    t.notOk(await trimmed('bad'))
    if (how === 'fails') t.match(ill.reported[0], { what: 'retention', sessionId: 'bad' })
    ill.recover()
    await eventually(t, 'the session is trimmed once the log answers again', () => trimmed('bad'))
  })
}

t.test('a process that was blocked for longer than its leases keeps its runs', async t => {
  const log = createMemoryLog()
  const alone = await node(t, log)
  await startRun(alone.url, 'a', 'idle', {})
  const until = performance.now() + 2 * LEASE_MS
  while (performance.now() < until);
  const before = alone.calls('renew', 'a')
  await eventually(t, 'the lease is renewed', () => alone.calls('renew', 'a') > before + 3)
  t.equal(await statusOf(alone, 'a'), 'running')
})

t.test('retention trims a session after a question expires', async t => {
  const log = createMemoryLog()
  const server = await node(t, log, { retention: { events: 1 }, retentionEveryMs: 20 })
  const data = { requestId: 'q', kind: 'approval', message: 'May I?', expiresAt: Date.now() + 200 }
  const events = [
    { type: 'run.started', runId: 'r', data: { agent: 'a', input: null } },
    { type: 'input.requested', runId: 'r', data },
  ]
  t.match(await ingest(server.url, 's', events), { status: 200 })
  await eventually(t, 'only input.expired is left', async () => {
    const session = await log.session('s')
    return session?.head === 3 && session.earliest === 3
  })
  t.match(JSON.parse((await logged(server, 's')).at(-1) ?? '{}'), { type: 'input.expired' })
})

for (const maxRunMs of [Number.POSITIVE_INFINITY, 2 ** 31, 365 * 86_400_000]) {
  t.test(`a run with a limit of ${maxRunMs} ms is not ended early`, async t => {
    const { url, calls } = await node(t, createMemoryLog(), { maxRunMs })
    const runId = await startRun(url, 's', 'steered', {})
    await eventually(t, 'the run works for a while', () => calls('renew', 's') > 2)
    t.match(await command(url, 's', { type: 'input.steer', runId, text: 'end' }), { status: 200 })
    await eventually(
      t,
      'the run completes',
      async () => (await state(url, 's')).runs?.[0]?.status === 'completed',
    )
  })
}
