/** How a run's events are appended: with a bounded queue, in order, and none after a refusal. */
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { type Agent, defineAgent } from '../../src/agents/agent.ts'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import type { Appended, EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import {
  command,
  createSession,
  eventually,
  logged,
  serve,
  startRun,
  terminalOf,
} from '../fixtures/wire-server.ts'

const said = (n: number) => ({ type: 'x.said' as const, data: { n } })

/** An agent of one test, and how many events it has yielded. */
function agentOf(run: Agent['run']): { agents: Agent[]; yielded(): number } {
  let yielded = 0
  const agent = defineAgent({
    name: 'test',
    description: 'Does what its test says',
    input: z.unknown(),
    async *run(input, context) {
      const generator = run(input, context)
      for (;;) {
        const { done, value } = await generator.next()
        if (done) return value
        yielded++
        yield value
      }
    },
  }) as Agent
  return { agents: [agent], yielded: () => yielded }
}

/** A log whose appends of `x.said` events wait at a gate. */
function gated(log: EventLog) {
  let open: (() => void) | undefined
  let gate: Promise<void> | undefined
  let underWay = 0
  const seen = { most: 0, calls: [] as number[] }
  let fate: (() => Promise<Appended>) | undefined
  const passing: EventLog = {
    ...log,
    async append(sessionId, texts, conditions) {
      if (!texts[0]?.includes('"x.said"')) return log.append(sessionId, texts, conditions)
      seen.most = Math.max(seen.most, ++underWay)
      seen.calls.push(texts.length)
      try {
        await gate
        return await (fate?.() ?? log.append(sessionId, texts, conditions))
      } finally {
        underWay--
      }
    },
  }
  return {
    log: passing,
    seen,
    shut() {
      gate = new Promise(resolve => {
        open = resolve
      })
    },
    open() {
      gate = undefined
      open?.()
    },
    /** Makes the calls that pass the gate from now on fail. */
    fail(error: unknown) {
      fate = () => Promise.reject(error)
    },
  }
}

const parsed = async (wire: Parameters<typeof logged>[0]) =>
  (await logged(wire, 's')).map(text => JSON.parse(text) as { type: string; data: Record<string, unknown> })

const typesOf = (events: { type: string }[]) => events.map(({ type }) => type)

function counting(count: number) {
  return agentOf(async function* () {
    for (let n = 0; n < count; n++) yield said(n)
  })
}

t.test('an agent is at most 65 events ahead of the log, which gets one call at a time', async t => {
  const gate = gated(createMemoryLog())
  const { agents, yielded } = counting(1000)
  const wire = await serve(t, { log: gate.log, agents })
  gate.shut()
  const runId = await startRun(wire.url, 's', 'test', null)
  await eventually(t, 'the agent is as far ahead as it may be', () => yielded() === 65)
  await createSession(wire.url, 's2')
  t.equal(yielded(), 65, '1 in the call under way and 64 in the queue')
  t.same(gate.seen.calls, [1])
  t.same(typesOf(await parsed(wire)), ['run.started'])
  gate.open()
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.completed' })
  const events = await parsed(wire)
  t.same(
    events.slice(1, -1).map(({ data }) => data['n']),
    Array.from({ length: 1000 }, (_, n) => n),
    'each once, in order',
  )
  t.equal(gate.seen.calls[1], 64, 'the queue was appended in one call')
  t.equal(gate.seen.most, 1)
})

t.test('the queue is bounded by size as well', async t => {
  const gate = gated(createMemoryLog())
  const { agents, yielded } = agentOf(async function* () {
    for (let n = 0; n < 100; n++) yield { type: 'x.said', data: 'x'.repeat(100_000) }
  })
  const wire = await serve(t, { log: gate.log, agents })
  gate.shut()
  const runId = await startRun(wire.url, 's', 'test', null)
  await eventually(t, 'three events of 100 kB are queued', () => yielded() === 4)
  await createSession(wire.url, 's2')
  t.equal(yielded(), 4)
  gate.open()
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.completed' })
  t.equal((await parsed(wire)).length, 102)
})

t.test('after a refused append nothing more is appended, and the run has one terminal event', async t => {
  const gate = gated(createMemoryLog())
  const { agents, yielded } = counting(1000)
  const wire = await serve(t, { log: gate.log, agents })
  gate.shut()
  const runId = await startRun(wire.url, 's', 'test', null)
  await eventually(t, 'the agent is ahead', () => yielded() === 65)
  t.match(await command(wire.url, 's', { type: 'run.cancel', runId }), { status: 200 })
  gate.open()
  await eventually(t, 'the run is over', () => wire.server.sessions.runner.active === 0)
  t.same(typesOf(await parsed(wire)), ['run.started', 'run.cancel-requested', 'run.cancelled'])
  t.same(gate.seen.calls, [1], 'the queue was dropped')
})

t.test('after a failed append the run fails, and no later event is appended', async t => {
  const gate = gated(createMemoryLog())
  const { agents, yielded } = counting(1000)
  const wire = await serve(t, { log: gate.log, agents })
  gate.shut()
  const runId = await startRun(wire.url, 's', 'test', null)
  await eventually(t, 'the agent is ahead', () => yielded() === 65)
  gate.fail(new TwinrailError('unavailable', 'the disk is full'))
  gate.open()
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.failed', data: { code: 'unavailable' } })
  await eventually(t, 'the run is over', () => wire.server.sessions.runner.active === 0)
  t.same(typesOf(await parsed(wire)), ['run.started', 'run.failed'])
  t.same(gate.seen.calls, [1])
})

for (const [code, types] of [
  ['unavailable', ['run.started']],
  ['too-large', ['run.started', 'run.failed']],
] as const) {
  t.test(`a resumable run whose append fails as ${code} has the events ${types}`, async t => {
    const gate = gated(createMemoryLog())
    const [agent] = counting(10).agents as [Agent]
    const wire = await serve(t, { log: gate.log, agents: [{ ...agent, resume: agent.run as never }] })
    gate.fail(new TwinrailError(code, 'the test says so'))
    await startRun(wire.url, 's', 'test', null)
    await eventually(t, 'the run is over here', () => wire.server.sessions.runner.active === 0)
    t.same(typesOf(await parsed(wire)), types)
  })
}

t.test('an agent whose run has another holder is stopped', async t => {
  const log = createMemoryLog()
  const renew: EventLog['renew'] = async () => false
  let isStopped = false
  const { agents } = agentOf(async function* (_, { signal }) {
    signal.addEventListener('abort', () => {
      isStopped = true
    })
    yield said(1)
    await new Promise(() => {})
  })
  const wire = await serve(t, { log: { ...log, renew }, agents, leaseMs: 300 })
  await startRun(wire.url, 's', 'test', null)
  await eventually(t, 'it is told', () => isStopped)
  await eventually(t, 'the run is over here', () => wire.server.sessions.runner.active === 0)
})

for (const [how, end, last] of [
  ['returns', () => ({ result: 7 }), { type: 'run.completed', data: { result: 7 } }],
  [
    'throws',
    () => {
      throw new Error('no')
    },
    { type: 'run.failed', data: { code: 'agent-error' } },
  ],
] as const) {
  t.test(`a run that ${how} has all yielded events in the log before its terminal event`, async t => {
    const gate = gated(createMemoryLog())
    const { agents } = agentOf(async function* () {
      for (let n = 0; n < 20; n++) yield said(n)
      return end()
    })
    const wire = await serve(t, { log: gate.log, agents })
    gate.shut()
    const runId = await startRun(wire.url, 's', 'test', null)
    await createSession(wire.url, 's2')
    gate.open()
    t.match(await terminalOf(wire.url, 's', runId), last)
    const events = await parsed(wire)
    t.equal(events.length, 22)
    t.same(
      events.slice(1, -1).map(({ data }) => data['n']),
      Array.from({ length: 20 }, (_, n) => n),
    )
  })
}

t.test('an event that is too large fails the run, after the events before it', async t => {
  const { agents } = agentOf(async function* () {
    yield said(1)
    yield { type: 'x.said', data: 'x'.repeat(2_000_000) }
    yield said(2)
  })
  const wire = await serve(t, { agents })
  const runId = await startRun(wire.url, 's', 'test', null)
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.failed', data: { code: 'too-large' } })
  t.same(typesOf(await parsed(wire)), ['run.started', 'x.said', 'run.failed'])
})

t.test('a question is in the log between the events yielded before and after it', async t => {
  const gate = gated(createMemoryLog())
  const { agents, yielded } = agentOf(async function* (_, { ask }) {
    for (let n = 0; n < 5; n++) yield said(n)
    const answer = ask({ kind: 'question', message: 'Which?', requestId: 'q' })
    for (let n = 5; n < 10; n++) yield said(n)
    yield said((await answer).value as number)
  })
  const wire = await serve(t, { log: gate.log, agents })
  gate.shut()
  const runId = await startRun(wire.url, 's', 'test', null)
  await eventually(t, 'the agent has asked and gone on', () => yielded() === 10)
  gate.open()
  await eventually(t, 'everything is in the log', async () => (await parsed(wire)).length === 12)
  t.match(await command(wire.url, 's', { type: 'input.answer', requestId: 'q', value: 10 }), { status: 200 })
  await terminalOf(wire.url, 's', runId)
  t.same(typesOf(await parsed(wire)), [
    'run.started',
    ...Array(5).fill('x.said'),
    'input.requested',
    ...Array(5).fill('x.said'),
    'input.answered',
    'x.said',
    'run.completed',
  ])
})

t.test('a run on LMDB appends several events per commit', async t => {
  const log = await openLmdbLog({ folder: join(t.testdir(), 'log') })
  const gate = gated(log)
  const { agents } = counting(5000)
  const wire = await serve(t, { log: gate.log, agents })
  const runId = await startRun(wire.url, 's', 'test', null)
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.completed' })
  t.same(
    (await parsed(wire)).slice(1, -1).map(({ data }) => data['n']),
    Array.from({ length: 5000 }, (_, n) => n),
  )
  const { calls } = gate.seen
  t.ok(calls.length < 2500, `${calls.length} calls for 5000 events`)
})

t.test('a run completes although its agent does not await the answer to a question', async t => {
  const { agents } = agentOf(async function* (_, { ask }) {
    ask({ kind: 'question', message: 'Which?', requestId: 'q' })
    yield said(1)
  })
  const wire = await serve(t, { agents })
  const runId = await startRun(wire.url, 's', 'test', null)
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.completed' })
  t.same(typesOf(await parsed(wire)), ['run.started', 'input.requested', 'x.said', 'run.completed'])
})

t.test('an event has the id of its agent’s run, whatever the agent says', async t => {
  const { agents } = agentOf(async function* () {
    yield { ...said(1), runId: 'other' }
  })
  const wire = await serve(t, { agents })
  const runId = await startRun(wire.url, 's', 'test', null)
  await terminalOf(wire.url, 's', runId)
  t.match(
    (await parsed(wire)).find(({ type }) => type === 'x.said'),
    { runId },
  )
})
