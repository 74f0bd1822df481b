/** `twinrail-client/worker` against the real server: agents have the context that they have inside the server. */
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { type Agent, createWorker, defineAgent, RunError, TwinrailError } from '../../client/worker/index.ts'
import {
  command,
  eventually,
  logged,
  parse,
  serve,
  startRun,
  state,
  terminalOf,
  typesOf,
  type Wire,
} from '../fixtures/wire-server.ts'
import { work } from './stage.ts'

const events = async (wire: Wire, sessionId: string) => (await logged(wire, sessionId)).map(parse)

/** The data of all events of one type in the session. */
const dataOf = async (wire: Wire, sessionId: string, type: string) =>
  (await events(wire, sessionId)).filter(event => event.type === type).map(({ data }) => data)

const counts = defineAgent({
  name: 'counts',
  description: 'Counts.',
  input: z.object({ to: z.int() }),
  async *run({ to }) {
    for (let i = 0; i < to; i++) yield { type: 'x.count', data: { i } }
    return { finishReason: 'length', result: to }
  },
})

t.test('a run is executed in another process’s worker as inside the server', async t => {
  const wire = await serve(t)
  await work(t, wire.url, { agents: [counts], slots: 2 })
  const run = await startRun(wire.url, 's', 'counts', { to: 500 })
  t.match(await terminalOf(wire.url, 's', run), {
    type: 'run.completed',
    data: { finishReason: 'length', result: 500 },
  })
  t.same(
    await dataOf(wire, 's', 'x.count'),
    Array.from({ length: 500 }, (_, i) => ({ i })),
    'each event once, in order',
  )
  const refused = await command(wire.url, 's', { type: 'run.start', agent: 'counts', input: { to: 'x' } })
  t.equal(refused.body.code, 'bad-request', 'the server checks the input')
})

t.test('questions, messages, history and cancel reach the agent', async t => {
  const wire = await serve(t)
  const { url } = wire
  let aborted: unknown
  const talks = defineAgent({
    name: 'talks',
    description: 'Talks.',
    input: z.object({}),
    async *run(_, { ask, steering, history, recent, signal, by }) {
      const types: string[] = []
      for await (const { type } of history()) types.push(type)
      const newest: string[] = []
      for await (const { type } of recent()) newest.push(type)
      yield { type: 'x.context', data: { types, newest, by } }
      const { value } = await ask({
        kind: 'question',
        message: '?',
        requestId: 'q',
        schema: { type: 'number' },
      })
      yield { type: 'x.heard', data: { value } }
      await ask({ kind: 'question', message: '?', schema: { type: 'nonsense' } }).catch(error => {
        if (!(error instanceof TwinrailError)) throw error
        aborted = error.code
      })
      yield { type: 'x.refused', data: { code: aborted } }
      for await (const { text } of steering) {
        yield { type: 'x.heard', data: { value: text } }
        if (text === 'wait') break
      }
      await new Promise(resolve => signal.addEventListener('abort', resolve))
      aborted = signal.reason.name
      yield { type: 'x.late', data: {} }
    },
  })
  await work(t, url, { agents: [talks] })
  for (const i of [1, 2])
    await command(url, 's', { type: 'publish', event: { type: 'x.before', data: { i } } })
  const runId = await startRun(url, 's', 'talks', {})
  await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
  await command(url, 's', { type: 'input.answer', requestId: 'q', value: 7 })
  for (const text of ['hello', 'wait']) await command(url, 's', { type: 'input.steer', runId, text })
  await eventually(t, 'it has heard all', async () => (await dataOf(wire, 's', 'x.heard')).length === 3)
  await command(url, 's', { type: 'run.cancel', runId })
  await eventually(t, 'its signal aborts', () => aborted === 'AbortError')
  t.same(await dataOf(wire, 's', 'x.context'), [
    { types: ['x.before', 'x.before'], newest: ['x.before', 'x.before'], by: 'local' },
  ])
  t.same(await dataOf(wire, 's', 'x.heard'), [{ value: 7 }, { value: 'hello' }, { value: 'wait' }])
  t.same(await dataOf(wire, 's', 'x.refused'), [{ code: 'bad-request' }])
  const types = await typesOf(wire, 's')
  t.equal(types.at(-1), 'run.cancelled')
  t.equal(types.filter(type => type === 'input.applied').length, 2)
})

const said = (i: number) => ({ type: 'x.said', data: { i } }) as const

t.test('an agent that fails ends its run, after what it has yielded', async t => {
  const wire = await serve(t)
  const errors: unknown[] = []
  const fails = defineAgent({
    name: 'fails',
    description: 'Fails.',
    input: z.object({ how: z.string() }),
    async *run({ how }) {
      yield { type: 'x.before', data: {} }
      if (how === 'exception') throw new Error('secret')
      if (how === 'run-error') throw new RunError('no-luck', 'Bad luck.', { retryable: true })
      if (how === 'not-allowed') yield { type: 'run.started', data: {} } as never
      if (how === 'no-event') yield 7 as never
      if (how === 'bad-data') yield { type: 'text.delta', data: {} } as never
      if (how === 'bad-in-many') {
        for (let i = 0; i < 100; i++) yield i === 70 ? ({ type: 'text.delta', data: {} } as never) : said(i)
      }
      if (how === 'huge') yield { type: 'x.huge', data: 'x'.repeat(1024 * 1024) }
      if (how === 'terminal')
        yield { type: 'run.failed', data: { code: 'own', message: '', retryable: false } }
      for (let i = 0; i < 1000; i++) yield { type: 'x.after', data: {} }
    },
  })
  await work(t, wire.url, { agents: [fails], slots: 10, onError: error => errors.push(error) })
  const wanted = {
    exception: 'agent-error',
    'run-error': 'no-luck',
    'not-allowed': 'bad-event',
    'no-event': 'bad-event',
    'bad-data': 'bad-event',
    'bad-in-many': 'bad-event',
    huge: 'too-large',
    terminal: 'own',
  }
  for (const [how, code] of Object.entries(wanted)) {
    const run = await startRun(wire.url, how, 'fails', { how })
    const terminal = await terminalOf(wire.url, how, run)
    t.match(terminal, { type: 'run.failed', data: { code } }, how)
    t.notMatch(JSON.stringify(terminal), /secret/)
    if (how === 'bad-in-many') {
      const before = Array.from({ length: 70 }, (_, i) => ({ i }))
      t.same(await dataOf(wire, how, 'x.said'), before, 'all that came before the one at fault')
    } else t.same((await typesOf(wire, how)).slice(0, 3), ['run.started', 'x.before', 'run.failed'], how)
  }
  t.match(errors, [{ message: 'secret' }])
})

t.test('a worker that loses its connection again and again loses and repeats nothing', async t => {
  const wire = await serve(t)
  const sockets: WebSocket[] = []
  class Cut extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args)
      sockets.push(this)
    }
  }
  const slow = defineAgent({
    name: 'slow',
    description: 'Counts with pauses.',
    input: z.object({ to: z.int() }),
    async *run({ to }) {
      for (let i = 0; i < to; i++) {
        if (i % 50 === 0) await new Promise(resolve => setTimeout(resolve, 5))
        yield { type: 'x.count', data: { i } }
      }
    },
  })
  await work(t, wire.url, { agents: [slow], slots: 2, WebSocket: Cut as never })
  const runs = await Promise.all(['a', 'b'].map(s => startRun(wire.url, s, 'slow', { to: 3000 })))
  let cuts = 0
  const cutting = setInterval(() => {
    const last = sockets.at(-1)
    if (last?.readyState !== WebSocket.OPEN) return
    cuts++
    last.terminate()
  }, 40)
  t.teardown(() => clearInterval(cutting))
  await eventually(t, 'it was cut', () => cuts > 3)
  clearInterval(cutting)
  for (const [i, sessionId] of ['a', 'b'].entries()) {
    t.equal((await terminalOf(wire.url, sessionId, runs[i] as string)).type, 'run.completed')
    t.same(
      await dataOf(wire, sessionId, 'x.count'),
      Array.from({ length: 3000 }, (_, i) => ({ i })),
      `after ${cuts} cuts`,
    )
  }
})

/** Counts, and goes on from where another worker has left off. */
const resuming = (gate: { open: boolean }) =>
  defineAgent({
    name: 'resuming',
    description: 'Can be taken over.',
    input: z.object({}),
    async *run(_, { signal }) {
      yield { type: 'x.count', data: { i: 0 } }
      while (!gate.open && !signal.aborted) await new Promise(resolve => setTimeout(resolve, 5))
      yield { type: 'x.count', data: { i: 1 } }
    },
    async *resume(history) {
      yield { type: 'x.resumed', data: { types: history.map(({ type }) => type) } }
    },
  })

t.test('a worker that stops finishes its runs, or leaves them to another', async t => {
  const wire = await serve(t, { leaseMs: 500 })
  const gate = { open: false }
  const first = await work(t, wire.url, { agents: [resuming(gate)], slots: 2 })
  await startRun(wire.url, 'a', 'resuming', {})
  await eventually(t, 'it has begun', async () => (await typesOf(wire, 'a')).length === 2)
  const stopped = first.stop()
  const next = await work(t, wire.url, { agents: [resuming({ open: true })] })
  const later = await startRun(wire.url, 'b', 'resuming', {})
  t.equal((await terminalOf(wire.url, 'b', later)).type, 'run.completed', 'the other takes what is new')
  gate.open = true
  await stopped
  t.same((await typesOf(wire, 'a')).slice(1), ['x.count', 'x.count', 'run.completed'])
  await next.stop()

  const blocked = await work(t, wire.url, { agents: [resuming({ open: false })] })
  await startRun(wire.url, 'c', 'resuming', {})
  await eventually(t, 'it has begun', async () => (await typesOf(wire, 'c')).includes('x.count'))
  await blocked.stop({ graceMs: 10 })
  t.notOk((await typesOf(wire, 'c')).some(type => /failed|completed/.test(type)))
  await work(t, wire.url, { agents: [resuming({ open: true })] })
  await eventually(t, 'another one has finished it', async () =>
    (await typesOf(wire, 'c')).includes('run.completed'),
  )
  t.match(await dataOf(wire, 'c', 'x.resumed'), [
    { types: ['run.started', 'x.count', 'run.status', 'run.status'] },
  ])

  const waits = defineAgent({
    ...counts,
    async *run(_, { signal }) {
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    },
  })
  const last = await work(t, wire.url, { agents: [waits] })
  const cut = await startRun(wire.url, 'd', 'counts', { to: 1 })
  await eventually(t, 'it has it', () => last.runs === 1)
  await last.stop({ graceMs: 10 })
  t.match(await terminalOf(wire.url, 'd', cut), {
    type: 'run.failed',
    data: { code: 'restart', retryable: true },
  })
})

async function refusedBy(
  t: Test,
  options: Parameters<typeof serve>[1],
  agents: readonly Agent[] = [counts],
): Promise<unknown> {
  const { url } = await serve(t, options)
  const worker = createWorker({ url, WebSocket, agents, onError: () => {} })
  t.teardown(() => worker.stop({ graceMs: 0 }))
  return worker.done.then(
    () => undefined,
    error => error.code,
  )
}

t.test('a worker that the server refuses for good says why', async t => {
  t.equal(
    await refusedBy(t, { authorize: (_, { group }) => (group === 'any' ? { id: 'a' } : undefined) }),
    'forbidden',
  )
  t.equal(await refusedBy(t, {}, [defineAgent({ ...counts, name: 'script' })]), 'conflict')
  t.throws(() => createWorker({ url: 'http://localhost', agents: [], slots: 0, WebSocket }), TypeError)
})
