/** Several servers on one log: viewers and slow subscribers of one node count on the others. */
import t, { type Test } from 'tap'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { counting } from '../fixtures/resumable.ts'
import { fetchPage, follow, openWs, type Stream } from '../fixtures/wire-clients.ts'
import {
  agents,
  command,
  createSession,
  eventually,
  ingest,
  logged,
  serve,
  startRun,
  state,
  terminalOf,
  type Wire,
} from '../fixtures/wire-server.ts'

const LEASE_MS = 300

/** Servers on a shared log. */
async function nodes(t: Test, count: number, log = createMemoryLog(), options: object = {}) {
  const shared: EventLog = { ...log, close: async () => {} }
  const all = await Promise.all(
    Array.from({ length: count }, () =>
      serve(t, {
        log: shared,
        leaseMs: LEASE_MS,
        agents: [...agents, counting] as typeof agents,
        ...options,
      }),
    ),
  )
  return all as [(typeof all)[0], (typeof all)[0]]
}

/** Longer than the mark of a node needs on a busy machine, so that a viewer that changes nodes is one all the time. */
const policy = { onNoViewers: { cancelAfterMs: 1000 } }

const marksOf = async (log: EventLog, kind: string) =>
  (await log.marks('s')).map(({ name }) => name).filter(name => name.startsWith(kind))

/** Polls the state of the session, because a long-poll for the event would count as a viewer. */
async function hasNoViewers(t: Test, wire: Wire, sessionId: string, runId: string): Promise<void> {
  await eventually(t, `${runId} ends for lack of viewers`, async () => {
    const ended = (await logged(wire, sessionId))
      .map(text => JSON.parse(text))
      .filter(event => event.runId === runId)
    return ended.at(-1)?.type === 'run.cancelled' && ended.at(-1)?.data.reason === 'no-viewers'
  })
}

const transports: [string, (t: Test, url: string, run: string) => Promise<() => unknown>][] = [
  [
    'an SSE stream of the session',
    async (t, url) => {
      const stream = await follow(t, 'sse', url, 's')
      await stream.until('caught-up')
      return () => stream.close()
    },
  ],
  [
    'an SSE stream of the run',
    async (t, url, run) => {
      const stream = await follow(t, 'sse', url, 's', { run })
      await stream.until('caught-up')
      return () => stream.close()
    },
  ],
  [
    'a WebSocket subscription',
    async (t, url) => {
      const client = await openWs(t, url)
      await client.command({ type: 'subscribe', sessionId: 's' })
      return () => client.command({ type: 'unsubscribe', sessionId: 's' })
    },
  ],
]

for (const [what, watch] of transports) {
  t.test(`${what} on another node is a viewer until it disconnects`, async t => {
    const log = createMemoryLog()
    const [one, two] = await nodes(t, 2, log)
    await createSession(one.url, 's')
    const holder = await follow(t, 'sse', one.url, 's')
    await holder.until('caught-up')
    const runId = await startRun(one.url, 's', 'idle', null, policy)
    const leave = await watch(t, two.url, runId)
    holder.close()
    await eventually(t, 'one node has viewers', async () => (await marksOf(log, 'view')).length === 1)
    const other = await startRun(one.url, 's', 'idle', null, policy)
    if (what.endsWith('run')) await hasNoViewers(t, one, 's', other)
    // Once a run without viewers has been cancelled, the time limit of this one has passed, too.
    await createSession(one.url, 's2')
    await hasNoViewers(t, one, 's2', await startRun(one.url, 's2', 'idle', null, policy))
    t.match((await state(one.url, 's')).runs?.[0], { runId, status: 'running' })
    await leave()
    await hasNoViewers(t, one, 's', runId)
    t.same(await log.marks('s'), [])
  })
}

t.test('a client that polled another node recently is a viewer', async t => {
  const log = createMemoryLog()
  const [one, two] = await nodes(t, 2, log)
  await createSession(one.url, 's')
  await fetchPage(two.url, 's', { wait: 1 })
  const runId = await startRun(one.url, 's', 'idle', null, policy)
  await createSession(one.url, 's2')
  await hasNoViewers(t, one, 's2', await startRun(one.url, 's2', 'idle', null, policy))
  t.match((await state(one.url, 's')).runs, [{ runId, status: 'running' }])
})

t.test('viewers of a dead node count until their marks expire', async t => {
  const log = createMemoryLog()
  const [one] = await nodes(t, 1, log)
  await createSession(one.url, 's')
  await log.mark('s', 'view gone', 400)
  const runId = await startRun(one.url, 's', 'idle', null, { onNoViewers: { cancelAfterMs: 100 } })
  t.match((await state(one.url, 's')).runs, [{ status: 'running' }])
  await hasNoViewers(t, one, 's', runId)
})

t.test('a run that was taken over is still cancelled without viewers', async t => {
  const log = createMemoryLog()
  let isGone = false
  let back = () => {}
  const away = new Promise<void>(resolve => {
    back = resolve
  })
  const cut: EventLog = { ...log }
  for (const name of ['append', 'renew', 'expired', 'mark'] as const) {
    const call = log[name] as (...args: unknown[]) => Promise<unknown>
    Object.assign(cut, {
      [name]: (...args: unknown[]) => (isGone ? away.then(() => call(...args)) : call(...args)),
    })
  }
  const [one] = await nodes(t, 1, cut)
  t.teardown(() => back())
  const [two] = await nodes(t, 1, log)
  const started = await startRun(one.url, 's', 'counting', { count: 2, askAt: 1 }, policy)
  isGone = true
  const holder = await follow(t, 'sse', two.url, 's')
  await eventually(t, 'it is taken over', () => two.server.sessions.runner.active === 1)
  holder.close()
  await hasNoViewers(t, two, 's', started)
})

const DELTAS = 2500
const DELTA_BYTES = 8000

/** A subscriber with `lag=wait` that has stopped reading. */
async function stalled(t: Test, url: string): Promise<{ stream: Stream; resume(): void }> {
  const stream = await openWs(t, url)
  stream.send({ type: 'subscribe', id: '1', sessionId: 's', lag: 'wait' })
  await stream.until('caught-up')
  stream.tcp.pause()
  return { stream, resume: () => stream.tcp.resume() }
}

const long = { delivery: { hold: { holdMs: 120_000, windowMs: 240_000 } } }

t.test('a slow subscriber with lag=wait holds an agent on another node, but no commands', async t => {
  const log = createMemoryLog()
  const [one, two] = await nodes(t, 2, log, long)
  await createSession(one.url, 's')
  const { stream, resume } = await stalled(t, two.url)
  const input = { count: DELTAS, rate: 0, bytes: DELTA_BYTES }
  const run = await startRun(one.url, 's', 'playback', input)
  await eventually(t, 'one of the nodes has a hold mark', async () => {
    return (await marksOf(log, 'hold')).length === 1
  })
  const { head = '' } = await state(one.url, 's')
  t.match(await command(one.url, 's', { type: 'publish', event: { type: 'x.now', data: 1 } }), {
    body: { type: 'ack' },
  })
  const next = Number(head.split('-')[1]) + 1
  t.match((await state(one.url, 's')).head, new RegExp(`-${next}$`), 'only the command is appended')
  resume()
  const got = await stream.until(({ message }) => message.type === 'run.completed' && message.runId === run)
  t.ok(got.length > 0)
  t.same(await marksOf(log, 'hold'), [])
})

t.test('it holds ingest on a node without subscribers', async t => {
  const log = createMemoryLog()
  const [one, two] = await nodes(t, 2, log, long)
  await createSession(one.url, 's')
  const { resume } = await stalled(t, two.url)
  let answered = 0
  const producer = (async () => {
    for (; answered < 200; answered++)
      await ingest(one.url, 's', { type: 'x.big', data: 'x'.repeat(200_000) })
  })()
  await eventually(t, 'an ingest waits', async () => one.server.bus.topics === 1)
  const before = answered
  await createSession(one.url, 's2')
  for (let i = 0; i < 20; i++) await ingest(one.url, 's2', { type: 'x.small', data: i })
  t.equal(answered, before, `no answer after ${before}`)
  resume()
  await producer
  await eventually(t, 'the node follows no session', () => one.server.bus.topics === 0)
})

t.test('the hold of a dead node ends when its mark expires', async t => {
  const log = createMemoryLog()
  const [one] = await nodes(t, 1, log, long)
  await createSession(one.url, 's')
  await log.mark('s', 'hold gone', 700)
  const run = await startRun(one.url, 's', 'script', { events: [{ type: 'x.n', data: 1 }] })
  t.match(await terminalOf(one.url, 's', run), { type: 'run.completed' })
  t.same(await marksOf(log, 'hold'), [], 'not before')
})

t.test('the holds of all nodes together last no longer than the limit', async t => {
  const log = createMemoryLog()
  const [one] = await nodes(t, 1, log, { delivery: { hold: { holdMs: 300, windowMs: 60_000 } } })
  await createSession(one.url, 's')
  for (const node of ['a', 'b', 'c']) await log.mark('s', `hold ${node}`, 60_000)
  const events = Array.from({ length: 10 }, (_, i) => ({ type: 'x.n', data: i }))
  const run = await startRun(one.url, 's', 'script', { events })
  t.match(
    await terminalOf(one.url, 's', run),
    { type: 'run.completed' },
    'although the marks have not expired',
  )
  t.equal((await marksOf(log, 'hold')).length, 3)
  await log.mark('s', 'hold a', 60_000)
  t.equal(one.server.bus.admitted('s') instanceof Promise, true, 'there is no subscriber')
  await one.server.bus.admitted('s')
})
