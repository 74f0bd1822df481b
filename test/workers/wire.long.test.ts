/** Workers over the wire: what PROTOCOL.md, "Workers", promises, with a bare WebSocket as the worker. */
import t, { type Test } from 'tap'
import { type Message, openWs, type WsClient } from '../fixtures/wire-clients.ts'
import {
  byHeader,
  call,
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

const echo = {
  name: 'echo',
  description: 'Repeats.',
  input: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
}

type Work = Message & { workId: string; sessionId: string; runId: string; resumed?: boolean }

/** A connection that has said that it is a worker. */
async function worker(t: Test, url: string, slots = 1, agents: object[] = [echo]): Promise<WsClient> {
  const socket = await openWs(t, url)
  await socket.nextOf('hello')
  t.match(await socket.command({ type: 'worker', slots, agents }), { type: 'ack', renewMs: Number })
  return socket
}

const workOf = (socket: WsClient) => socket.nextOf('work') as Promise<Work>

function append(socket: WsClient, { sessionId, workId }: Work, seq: number, events: object[]) {
  return socket.command({ type: 'work.append', sessionId, workId, seq, events })
}

const said = (text: string) => ({ type: 'x.said', data: { text } })
const completed = { type: 'run.completed', data: { finishReason: 'stop' } }

/** The texts of all `x.said` in the session. */
async function texts(wire: Wire, sessionId: string): Promise<string[]> {
  const events = (await logged(wire, sessionId)).map(parse)
  return events.filter(({ type }) => type === 'x.said').map(({ data }) => (data as { text: string }).text)
}

t.test('a worker executes a run: its events and its end are in the log, in order', async t => {
  const wire = await serve(t)
  const { url } = wire
  const socket = await worker(t, url)
  const listed = (await call(`${url}/v1/agents`)).body as unknown as { agents: object[] }
  t.match(listed.agents.at(-1), echo, 'its agent is listed')
  const runId = await startRun(url, 's', 'echo', { text: 'hi' })
  const work = await workOf(socket)
  t.match(work, { sessionId: 's', runId, agent: 'echo', input: { text: 'hi' }, by: 'local', start: /-1$/ })
  t.equal(work.resumed, undefined)
  const [first, second] = await Promise.all([
    append(socket, work, 1, [said('a'), said('b')]),
    append(socket, work, 3, [said('c'), completed]),
  ])
  t.match(
    [first, second],
    [
      { type: 'ack', offset: /-2$/ },
      { type: 'ack', offset: /-4$/ },
    ],
  )
  t.same(await typesOf(wire, 's'), ['run.started', 'x.said', 'x.said', 'x.said', 'run.completed'])
  t.same(await texts(wire, 's'), ['a', 'b', 'c'])
  const events = (await logged(wire, 's')).map(parse)
  t.ok(events.every(event => event.runId === runId))
  t.match(await append(socket, work, 5, [said('late')]), { type: 'nack', code: 'forbidden' })
})

t.test('a repeated frame appends nothing again, and a hole is refused', async t => {
  const wire = await serve(t)
  const socket = await worker(t, wire.url)
  await startRun(wire.url, 's', 'echo', { text: '' })
  const work = await workOf(socket)
  const first = await append(socket, work, 1, [said('a')])
  t.same((await append(socket, work, 1, [said('a')])).offset, first.offset)
  t.match(await append(socket, work, 3, [said('c')]), { code: 'conflict', details: { expected: 2 } })
  const bad = await append(socket, work, 2, [said('b'), { type: 'text.delta', data: 7 }])
  t.match(bad, { type: 'nack', code: 'bad-request', message: /event 1/ }, 'all or none')
  for (const event of [
    { type: 'run.started', data: { agent: 'echo', input: {} } },
    { type: 'input.answered', data: { requestId: 'q', value: 1 } },
    { type: 'nonsense', data: 1 },
    7,
  ]) {
    t.match(await append(socket, work, 2, [event as object]), { code: 'bad-request' }, JSON.stringify(event))
  }
  t.match(await append(socket, work, 2, [completed, said('b')]), { code: 'bad-request' }, 'the end is last')
  t.match(
    await append(socket, work, 2, [said('b'), completed]),
    { type: 'ack' },
    'the number was not used up',
  )
  t.same(await texts(wire, 's'), ['a', 'b'])
})

t.test('the agents that a worker registers are checked', async t => {
  const { url } = await serve(t)
  const socket = await openWs(t, url)
  await socket.nextOf('hello')
  const register = (agent: object) => socket.command({ type: 'worker', slots: 1, agents: [agent] })
  t.match(await socket.command({ type: 'worker', slots: 1 }), { code: 'bad-request' }, 'it has no agents')
  t.match(await register({ ...echo, name: 'script' }), { code: 'conflict' }, 'an agent of the server')
  t.match(await register({ ...echo, input: { type: 'nonsense' } }), { code: 'bad-request' })
  t.match(await register({ ...echo, input: { pattern: '(?=a)' } }), { code: 'bad-request' })
  t.match(await register({ ...echo, input: { title: 'x'.repeat(70_000) } }), { code: 'too-large' })
  t.match(await register({ ...echo, name: 'a\nb' }), { code: 'bad-request' })
  t.match(await socket.command({ type: 'worker', slots: 1001, agents: [echo] }), { code: 'bad-request' })
  const none = await command(url, 's', { type: 'run.start', agent: 'echo', input: { text: '' } })
  t.equal(none.body.code, 'agent-not-found', 'nothing was registered')
  t.match(await register(echo), { type: 'ack' })
  const wrong = await command(url, 's', { type: 'run.start', agent: 'echo', input: { text: 7 } })
  t.match(wrong.body, { code: 'bad-request', message: /input/ }, 'the input is checked against its schema')
})

t.test('a question of a worker is answered, and messages of users reach it', async t => {
  const wire = await serve(t)
  const { url } = wire
  const socket = await worker(t, url)
  const runId = await startRun(url, 's', 'echo', { text: '' })
  const work = await workOf(socket)
  const question = { requestId: 'q', kind: 'approval', message: 'May I?', schema: { type: 'boolean' } }
  const asked = { type: 'input.requested', data: question }
  t.match(
    await append(socket, work, 1, [{ type: 'input.requested', data: { ...question, schema: { type: 7 } } }]),
    { code: 'bad-request' },
    'its schema is checked',
  )
  await append(socket, work, 1, [asked])
  t.match((await state(url, 's')).pendingInputs, [{ requestId: 'q', runId }])
  t.match(await append(socket, work, 2, [asked]), { code: 'conflict' }, 'the requestId is taken')
  const answer = (value: unknown) => command(url, 's', { type: 'input.answer', requestId: 'q', value })
  t.equal((await answer('yes')).body.code, 'bad-request')
  await answer(true)
  const answered = await socket.nextOf('work-input')
  t.match(answered, {
    workId: work.workId,
    event: { type: 'input.answered', data: { requestId: 'q', value: true } },
  })
  await command(url, 's', { type: 'input.steer', runId, text: 'more' })
  const { event } = (await socket.nextOf('work-input')) as unknown as { event: Message }
  t.match(event, { type: 'input.steered', data: { text: 'more' } })
  const { inputId } = event.data as { inputId: string }
  await append(socket, work, 2, [{ type: 'input.applied', data: { inputId } }, completed])
  t.equal((await terminalOf(url, 's', runId)).type, 'run.completed')
})

t.test('a cancelled run is over for its worker', async t => {
  const wire = await serve(t)
  const { url } = wire
  const socket = await worker(t, url)
  const runId = await startRun(url, 's', 'echo', { text: '' })
  const work = await workOf(socket)
  await command(url, 's', { type: 'run.cancel', runId })
  t.match(await socket.nextOf('work-over'), { workId: work.workId, code: 'run-ended' })
  t.match(await append(socket, work, 1, [said('late')]), { type: 'nack' })
  t.same(await typesOf(wire, 's'), ['run.started', 'run.cancel-requested', 'run.cancelled'])
  const next = await startRun(url, 's', 'echo', { text: '' })
  t.equal((await workOf(socket)).runId, next, 'its slot is free again')
})

t.test('runs wait for free slots, oldest first, and a worker is never given more than it has', async t => {
  const wire = await serve(t)
  const { url } = wire
  const socket = await worker(t, url)
  const runs: string[] = []
  for (const text of ['1', '2', '3']) runs.push(await startRun(url, `s${text}`, 'echo', { text }))
  const first = await workOf(socket)
  t.equal(first.runId, runs[0])
  t.same(await typesOf(wire, 's1'), ['run.started'])
  t.same(await typesOf(wire, 's2'), ['run.started', 'run.status'], 'it waits')
  await append(socket, first, 1, [completed])
  const second = await workOf(socket)
  t.equal(second.runId, runs[1])
  await command(url, 's3', { type: 'run.cancel', runId: runs[2] })
  t.match(await socket.command({ type: 'worker', slots: 0 }), { type: 'ack' }, 'it takes nothing more')
  const fourth = await startRun(url, 's4', 'echo', { text: '4' })
  await append(socket, second, 1, [completed])
  const statuses = (await logged(wire, 's2')).map(parse).filter(({ type }) => type === 'run.status')
  t.match(
    statuses.map(({ data }) => data),
    [{ status: 'queued' }, { status: 'started' }],
  )
  const other = await worker(t, url)
  t.equal((await workOf(other)).runId, fourth, 'another one takes it')
  t.same(await typesOf(wire, 's3'), ['run.started', 'run.status', 'run.cancel-requested', 'run.cancelled'])
})

t.test('several workers share the runs of one agent', async t => {
  const { url } = await serve(t)
  const one = await worker(t, url, 2)
  const two = await worker(t, url, 2)
  for (let i = 0; i < 4; i++) await startRun(url, `s${i}`, 'echo', { text: '' })
  const works = await Promise.all([workOf(one), workOf(two)])
  works.push(await workOf(one), await workOf(two))
  t.equal(new Set(works.map(({ runId }) => runId)).size, 4)
})

t.test('a run for which no worker comes fails', async t => {
  const { url } = await serve(t, { queueMs: 50 })
  const socket = await worker(t, url, 0)
  const run = await startRun(url, 's', 'echo', { text: '' })
  t.match(await terminalOf(url, 's', run), {
    type: 'run.failed',
    data: { code: 'no-worker', retryable: true },
  })
  socket.close()
  t.match(await worker(t, url, 1), {})
  t.same(
    (await state(url, 's')).runs?.map(({ status }) => status),
    ['failed'],
  )
})

t.test('an agent is listed for a while after its last worker has gone', async t => {
  const { url } = await serve(t)
  const socket = await worker(t, url)
  socket.close()
  await socket.closed
  const run = await startRun(url, 's', 'echo', { text: '' })
  t.equal((await workOf(await worker(t, url))).runId, run)
})

t.test('a worker that reconnects goes on where it was', async t => {
  const wire = await serve(t)
  const { url } = wire
  const socket = await worker(t, url)
  const runId = await startRun(url, 's', 'echo', { text: '' })
  const work = await workOf(socket)
  await append(socket, work, 1, [said('a')])
  await append(socket, work, 2, [
    { type: 'input.requested', data: { requestId: 'q', kind: 'question', message: '?' } },
  ])
  socket.close()
  await socket.closed
  await command(url, 's', { type: 'input.answer', requestId: 'q', value: 1 })
  const { workId } = work
  const again = await openWs(t, url)
  await again.nextOf('hello')
  const works = [
    { workId, sessionId: 's', runId, agent: 'echo' },
    { workId: 'unknown', sessionId: 's', runId, agent: 'echo' },
  ]
  t.match(await again.command({ type: 'worker', slots: 1, agents: [echo], works }), { type: 'ack' })
  t.match(await again.nextOf('work-over'), { workId: 'unknown', code: 'forbidden' })
  t.match(await again.nextOf('work-input'), { workId, event: { type: 'input.answered' } }, 'what it missed')
  t.match(
    await append(again, work, 2, [
      { type: 'input.requested', data: { requestId: 'q', kind: 'question', message: '?' } },
    ]),
    {
      type: 'ack',
    },
  )
  await append(again, work, 3, [said('b'), completed])
  t.same(await texts(wire, 's'), ['a', 'b'])
})

t.test('a run whose worker died fails, and its worker is fenced', async t => {
  const wire = await serve(t, { leaseMs: 300 })
  const { url } = wire
  const socket = await worker(t, url)
  const runId = await startRun(url, 's', 'echo', { text: '' })
  const work = await workOf(socket)
  await append(socket, work, 1, [said('a')])
  t.match(await terminalOf(url, 's', runId), { type: 'run.failed', data: { code: 'producer-lost' } })
  t.match(await append(socket, work, 2, [said('late')]), { type: 'nack' })
  t.same(await texts(wire, 's'), ['a'])
})

t.test('the log refuses a worker whose lease another node has taken', async t => {
  const wire = await serve(t)
  const socket = await worker(t, wire.url)
  const runId = await startRun(wire.url, 's', 'echo', { text: '' })
  const work = await workOf(socket)
  const lease = { runId, token: 'other', from: `work:${work.workId}:local`, fromLive: true, ttlMs: 60_000 }
  t.match(await wire.server.journal.append('s', [], { leases: [lease] }), { accepted: true })
  t.match(await append(socket, work, 1, [said('late')]), { type: 'nack', code: 'forbidden' })
  t.match(await socket.nextOf('work-over'), { workId: work.workId, code: 'forbidden' })
  t.same(await texts(wire, 's'), [])
})

t.test('another worker takes over the run of an agent that can resume', async t => {
  const wire = await serve(t, { leaseMs: 300 })
  const { url } = wire
  const resuming = { ...echo, resume: true }
  const socket = await worker(t, url, 1, [resuming])
  const runId = await startRun(url, 's', 'echo', { text: 'hi' })
  const work = await workOf(socket)
  await append(socket, work, 1, [said('a')])
  await command(url, 's', { type: 'input.steer', runId, text: 'more' })
  const other = await worker(t, url, 1, [resuming])
  const renewing = setInterval(() => other.send({ type: 'worker', id: 'r', slots: 1 }), 50)
  t.teardown(() => clearInterval(renewing))
  const taken = await workOf(other)
  t.match(taken, { runId, resumed: true, input: { text: 'hi' } })
  t.not(taken.workId, work.workId)
  t.match(await other.nextOf('work-input'), { event: { type: 'input.steered' } }, 'what came before')
  t.match(
    await append(socket, work, 2, [said('late')]),
    { type: 'nack', code: 'forbidden' },
    'the first is fenced',
  )
  t.match(await append(other, taken, 1, [said('b'), completed]), { type: 'ack' })
  t.same(await texts(wire, 's'), ['a', 'b'])
})

t.test('renewing keeps a silent run', async t => {
  const { url } = await serve(t, { leaseMs: 300 })
  const socket = await worker(t, url)
  const runId = await startRun(url, 's', 'echo', { text: '' })
  const work = await workOf(socket)
  const until = Date.now() + 1500
  await eventually(t, 'five leases have passed', async () => {
    t.match(await socket.command({ type: 'worker', slots: 1 }), { type: 'ack' })
    return Date.now() > until
  })
  t.match(await append(socket, work, 1, [completed]), { type: 'ack' })
  t.equal((await terminalOf(url, 's', runId)).type, 'run.completed')
})

t.test('a worker needs the rights, for each agent and in each session', async t => {
  const allowed = new Map<string, string[]>()
  const { url } = await serve(t, {
    authorize: async (request, wanted) => {
      const principal = await byHeader(request, wanted)
      const rights = allowed.get(principal?.id ?? '')
      const inSession = wanted.sessionId === undefined || !wanted.sessionId.startsWith('secret')
      return !rights || (inSession && (wanted.group === 'any' || rights.includes(wanted.group)))
        ? principal
        : undefined
    },
  })
  const connect = async (user: string) => {
    const socket = await openWs(t, url, { headers: { 'x-user': user } })
    await socket.nextOf('hello')
    return socket
  }
  const register = { type: 'worker', slots: 5, agents: [echo] }
  allowed.set('none', ['produce'])
  t.match(await (await connect('none')).command(register), {
    code: 'forbidden',
    details: { action: 'work:echo' },
  })
  allowed.set('other', ['work:echo'])
  t.match(await (await connect('other')).command(register), { code: 'forbidden' })
  allowed.set('able', ['produce', 'work:echo'])
  const socket = await connect('able')
  t.match(await socket.command(register), { type: 'ack' })
  await startRun(url, 'secret', 'echo', { text: '' })
  const open = await startRun(url, 'open', 'echo', { text: '' })
  const work = await workOf(socket)
  t.equal(work.runId, open, 'it is given no run of a session in which it may nothing')
  const thief = await connect('thief')
  await thief.command(register)
  const works = [{ workId: work.workId, sessionId: 'open', runId: open, agent: 'echo' }]
  await thief.command({ type: 'worker', slots: 5, works })
  t.match(await append(thief, work, 1, [said('x')]), { code: 'forbidden' }, 'nobody else has its runs')
})
