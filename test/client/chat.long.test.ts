/** What a chat page needs of the hooks, against a real server. */
import { createServer as createHttpServer } from 'node:http'
import t from 'tap'
import { z } from 'zod'
import { type AssistantMessage, useAIStream, useSession } from '../../client/react/index.ts'
import { playback } from '../../src/agents/playback.ts'
import { createServer, defineAgent, TwinrailError } from '../../src/index.ts'
import { mount } from './page.ts'
import { connect, stage, until } from './stage.ts'

const texts = (view: { messages: readonly { role: string; text: string }[] }) =>
  view.messages.map(({ role, text }) => `${role}: ${text}`)

/** Fails with a code and a message for users, unless it is asked again. */
function failing() {
  let runs = 0
  return defineAgent({
    name: 'failing',
    description: 'Fails once',
    input: z.object({ query: z.string() }),
    async *run() {
      yield { type: 'text.delta', data: { partId: 'p', delta: 'Half an ' } }
      if (++runs === 1)
        yield { type: 'run.failed', data: { code: 'overloaded', message: 'Try later', retryable: true } }
      yield { type: 'text.delta', data: { partId: 'p', delta: 'answer' } }
    },
  })
}

/** Uses one part id for the texts before and after a tool. */
const looking = defineAgent({
  name: 'looking',
  description: 'Says, looks, says',
  input: z.object({ prompt: z.string() }),
  async *run() {
    for (const text of ['Let me look.', 'Found it.']) {
      yield { type: 'text.start', data: { partId: '0' } }
      for (const word of text.split(' '))
        yield { type: 'text.delta', data: { partId: '0', delta: `${word} ` } }
      yield { type: 'text.end', data: { partId: '0' } }
      if (text === 'Found it.') return
      yield { type: 'tool.called', data: { toolCallId: 't', toolName: 'find', input: { a: 1 } } }
      yield { type: 'tool.finished', data: { toolCallId: 't', output: 'x' } }
    }
  },
})

/** A fetch whose requests take `ms` to arrive. */
const late =
  (ms: number): typeof fetch =>
  async (input, init) => {
    await new Promise(resolve => setTimeout(resolve, ms))
    return fetch(input, init)
  }

/** A fetch that holds a run's start back until its cancel has been answered. */
function cancelFirst(): typeof fetch {
  let answered = () => {}
  const cancel = new Promise<void>(resolve => {
    answered = resolve
  })
  return async (input, init) => {
    const command = String(init?.body)
    if (command.includes('run.start')) await cancel
    const response = await fetch(input, init)
    if (command.includes('run.cancel')) answered()
    return response
  }
}

/** How often the agent of a run was called. */
function counting() {
  const calls: string[] = []
  const agent = defineAgent({
    name: 'counting',
    description: 'Works until it is stopped',
    input: z.object({ query: z.string() }),
    async *run({ query }, { signal }) {
      calls.push(query)
      await new Promise(resolve => signal.addEventListener('abort', resolve))
      yield { type: 'run.status', data: { status: 'never shown' } }
    },
  })
  return { calls, agent }
}

t.test('text, tool, text: the same order live, for a late reader, and unfolded', async t => {
  const client = connect(t, await stage(t, { agents: [looking] }))
  const { last } = mount(t, () => useSession(client, 'order'))
  await until(() => last()?.caughtUp)
  await last().start('looking', { prompt: 'Where?' })
  await until(() => last().status === 'completed')
  t.same(texts(last()), ['user: Where?', 'assistant: Let me look. \n\nFound it. '])
  t.match((last().messages[1] as AssistantMessage).parts, [
    { type: 'text', text: 'Let me look. ', state: 'done' },
    { type: 'tool', toolName: 'find', input: { a: 1 }, output: 'x', state: 'finished' },
    { type: 'text', text: 'Found it. ', state: 'done' },
  ])
  for (const replay of ['compact', 'full'] as const) {
    const other = mount(t, () => useSession(client, 'order', { replay, limit: 2 }))
    await until(() => other.last()?.status === 'completed')
    t.same(other.last().messages, last().messages, replay)
  }
})

for (const transport of ['sse', 'websocket'] as const) {
  t.test(`${transport}: stop within the first 5 ms of a run, with 200 ms of latency, wins`, async t => {
    const { calls, agent } = counting()
    const url = await stage(t, { agents: [agent] })
    const client = connect(t, url, { transport, fetch: late(200) })
    const { last } = mount(t, () => useSession(client, 'first'))
    await until(() => last()?.caughtUp)
    const started = last().start('counting', { query: 'q' })
    await until(() => last().run)
    t.match(last(), { status: 'starting', isLoading: true })
    t.same(texts(last()), ['user: q', 'assistant: '], 'the question is shown at once')
    const ids = last().messages.map(({ id }) => id)
    const { runId } = last().run!
    await last().stop()
    t.equal(await started, runId)
    await until(() => last().status === 'cancelled')
    t.match(last(), { isLoading: false, error: undefined, run: { runId } })
    t.same(
      last().messages.map(({ id }) => id),
      ids,
      'the messages keep their ids',
    )
    t.ok(calls.length <= 1)
    t.equal((await client.session('first').state()).runs[0]!.status, 'cancelled')
  })
}

t.test('a cancel that arrives before the start, in a session that does not exist yet', async t => {
  const { agent } = counting()
  const url = await stage(t, { agents: [agent] })
  const client = connect(t, url, { transport: 'sse', fetch: cancelFirst() })
  const run = client.session('new').run('counting', { query: 'q' })
  await run.cancel('at once')
  t.match(await run.done, { type: 'run.cancelled', data: { reason: 'at once' } })

  const { calls, agent: other } = counting()
  const client2 = connect(t, await stage(t, { agents: [other] }), { transport: 'sse', fetch: cancelFirst() })
  await client2.session('known').create()
  const second = client2.session('known').run('counting', { query: 'q' })
  await second.cancel()
  t.match(await second.done, { type: 'run.cancelled' })
  t.same(calls, [], 'the agent never ran')
})

t.test('two runs and Stop: it stops both, or the one that is named', async t => {
  const { agent } = counting()
  const client = connect(t, await stage(t, { agents: [agent, playback] }))
  const { last } = mount(t, () => useSession(client, 'two'))
  await until(() => last()?.caughtUp)
  const first = await last().start('counting', { query: 'one' })
  await last().start('playback', { count: 1, rate: 0 })
  await until(() => last().runs[1]?.status === 'completed')
  t.match(
    last(),
    { status: 'running', isLoading: true, run: { runId: first } },
    'all speak of the run that works',
  )
  const second = await last().start('counting', { query: 'two' })
  const third = await last().start('counting', { query: 'three' })
  await until(() => last().runs.length === 4 && last().status === 'running')
  await last().stop(second)
  await until(() => last().runs[2]!.status === 'cancelled')
  t.match(last(), { isLoading: true, run: { runId: third } })
  await last().stop()
  await until(() => !last().isLoading)
  t.same(
    last().runs.map(({ status }) => status),
    ['cancelled', 'completed', 'cancelled', 'cancelled'],
  )
  t.equal(last().error, undefined)
})

t.test('seven hooks on one session use one stream over SSE', async t => {
  const streams: string[] = []
  const client = connect(t, await stage(t), {
    transport: 'sse',
    fetch: (input, init) => {
      if (String(input).includes('/events')) streams.push(String(input))
      return fetch(input, init)
    },
  })
  const hooks = Array.from({ length: 7 }, () => mount(t, () => useSession(client, 'shared')))
  await until(() => hooks.every(({ last }) => last()?.caughtUp))
  await hooks[0]!.last().start('playback', { count: 5, rate: 0 })
  await until(() => hooks.every(({ last }) => last().status === 'completed'))
  t.equal(streams.length, 1)
  t.equal(hooks[6]!.last().messages, hooks[0]!.last().messages)
  for (const { unmount } of hooks.slice(1)) unmount()
  await hooks[0]!.last().start('playback', { count: 5, rate: 0 })
  await until(() => hooks[0]!.last().runs.length === 2 && !hooks[0]!.last().isLoading)
  t.equal(streams.length, 1, 'the last one keeps it')
  const other = mount(t, () => useSession(client, 'shared', { replay: 'full' }))
  await until(() => other.last()?.caughtUp)
  t.equal(streams.length, 2, 'other options have a stream of their own')
})

t.test(
  'a page that is opened before its server, or while that answers 503, connects when it is back',
  async t => {
    const port = await new Promise<number>(resolve => {
      const server = createHttpServer().listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number }
        server.close(() => resolve(port))
      })
    })
    const client = connect(t, `http://127.0.0.1:${port}`)
    const { last } = mount(t, () => useSession(client, 'early'))
    await until(() => client.quality.current.reconnects > 1)
    t.match(last(), { caughtUp: false, error: undefined, following: true })
    const busy = createHttpServer((_, response) => void response.writeHead(503).end())
    await new Promise<void>(resolve => busy.listen(port, '127.0.0.1', resolve))
    const before = client.quality.current.reconnects
    await until(() => client.quality.current.reconnects > before + 2)
    busy.closeAllConnections()
    await new Promise(resolve => busy.close(resolve))
    const server = await createServer({ agents: [playback] })
    t.teardown(() => server.close({ graceMs: 0 }))
    await server.listen({ port })
    await until(() => last().caughtUp)
    await last().start('playback', { count: 1, rate: 0 })
    await until(() => last().status === 'completed')
    t.equal(last().error, undefined)
  },
)

t.test('while the page is hidden, the view and a client-side tool go on', async t => {
  const asked = defineAgent({
    name: 'asked',
    description: 'Has a tool in the page',
    input: z.object({ query: z.string() }),
    async *run(_, { ask }) {
      const { value } = await ask({ kind: 'tool', message: 'Where are you?' })
      yield { type: 'text.delta', data: { partId: 'p', delta: `You are in ${value}` } }
    },
  })
  const client = connect(t, await stage(t, { agents: [asked] }))
  // A hidden page has no frames.
  const { requestAnimationFrame } = globalThis
  globalThis.requestAnimationFrame = () => 0
  t.teardown(() => Object.assign(globalThis, { requestAnimationFrame }))
  const { last } = mount(t, () => {
    const view = useSession(client, 'hidden')
    const [question] = view.questions
    if (question && !answered.has(question.requestId)) {
      answered.add(question.requestId)
      queueMicrotask(() => view.answer(question.requestId, 'Lisbon'))
    }
    return view
  })
  const answered = new Set<string>()
  await until(() => last()?.caughtUp)
  await last().start('asked', { query: 'q' })
  await until(() => last().status === 'completed')
  t.match(last().messages[1], { text: 'You are in Lisbon' })
})

t.test('another session shows nothing of the one before, its error neither', async t => {
  const client = connect(t, await stage(t, { agents: [failing()] }))
  const { last, seen, update } = mount(t, () => useSession(client, 'before'))
  await until(() => last()?.caughtUp)
  await last().start('failing', { query: 'q' })
  await until(() => last().error)
  await last().start('nobody', {})
  await until(() => (last().error as { code?: string })?.code === 'agent-not-found')
  const { length } = seen
  update(() => useSession(client, 'after'))
  await until(() => seen.length > length && last().caughtUp)
  for (const { error, messages, runs } of seen.slice(length)) {
    if (error || messages.length + runs.length > 0) return t.fail('something was taken over')
  }
  t.match(last(), { status: 'idle', error: undefined, session: { id: 'after' } })
})

t.test('a failed run shows its error, and retry starts it again', async t => {
  const client = connect(t, await stage(t, { agents: [failing()] }))
  const { last } = mount(t, () => useSession(client, 'failed'))
  await until(() => last()?.caughtUp)
  await last().start('failing', { query: 'q' })
  await until(() => last().status === 'failed')
  const error = { code: 'overloaded', message: 'Try later', retryable: true }
  t.match(last(), { error, isLoading: false, run: { error } })
  t.match(last().messages[1], { text: 'Half an ', state: 'failed', error })
  await last().retry()
  await until(() => last().status === 'completed')
  t.equal(last().error, undefined)
  t.same(texts(last()), ['user: q', 'assistant: Half an ', 'user: q', 'assistant: Half an answer'])
})

t.test('retry sends a refused command again, under the id that it had', async t => {
  const url = await stage(t)
  let refuses = true
  const client = connect(t, url, {
    transport: 'sse',
    fetch: async (input, init) =>
      refuses && String(init?.body).includes('run.start')
        ? new Response('{"error":{"code":"forbidden","message":"Not now"}}', { status: 403 })
        : fetch(input, init),
  })
  const { last } = mount(t, () => useSession(client, 'again'))
  await until(() => last()?.caughtUp)
  t.equal(await last().start('playback', { count: 1, rate: 0 }, { runId: 'mine' }), undefined)
  await until(() => last().error)
  t.match(last(), { error: { code: 'forbidden' }, isLoading: false, messages: [] })
  refuses = false
  await last().retry()
  await until(() => last().status === 'completed')
  t.match(last(), { error: undefined, run: { runId: 'mine' } })
})

t.test('the newest onEvent is called', async t => {
  const client = connect(t, await stage(t))
  const calls: string[] = []
  const use = (name: string) => () =>
    useSession(client, 'closures', { onEvent: event => void calls.push(`${name} ${event.type}`) })
  const { last, seen, update } = mount(t, use('old'))
  await until(() => last()?.caughtUp)
  t.ok(calls.includes('old caught-up'))
  const { length } = seen
  update(use('new'))
  await until(() => seen.length > length)
  calls.length = 0
  await last().start('playback', { count: 1, rate: 0 })
  await until(() => last().status === 'completed')
  t.ok(calls.includes('new run.started'))
  t.same(
    calls.filter(call => call.startsWith('old')),
    [],
  )
})

t.test('useAIStream fits agents that take query, prompt or messages, and follows a new session', async t => {
  const inputs: unknown[] = []
  const taking = (name: string, input: z.ZodType) =>
    defineAgent({
      name,
      description: name,
      input,
      async *run(input) {
        inputs.push(input)
        yield { type: 'text.delta', data: { partId: 'p', delta: 'Yes.' } }
      },
    })
  const message = z.object({ role: z.string(), content: z.string() })
  const url = await stage(t, {
    agents: [
      taking('asked', z.object({ query: z.string() })),
      taking('prompted', z.object({ prompt: z.string() })),
      taking('told', z.object({ messages: z.array(message) })),
    ],
  })
  const { last, seen, update } = mount(t, () => useAIStream({ url, agent: 'asked', sessionId: 'chat' }))
  await until(() => last()?.caughtUp)
  for (const [i, agent] of ['asked', 'prompted', 'told'].entries()) {
    const { length } = seen
    update(() => useAIStream({ url, agent, sessionId: 'chat' }))
    await until(() => seen.length > length)
    await last().sendMessage(`Number ${i}?`)
    await until(() => last().runs.length === i + 1 && last().status === 'completed')
    t.equal(last().messages.at(-2)!.text, `Number ${i}?`)
  }
  t.match(inputs, [
    { query: 'Number 0?' },
    { prompt: 'Number 1?' },
    {
      messages: [{ role: 'user', content: 'Number 0?' }, {}, {}, {}, { role: 'user', content: 'Number 2?' }],
    },
  ])
  update(() => useAIStream({ url, agent: 'asked', sessionId: 'other' }))
  await until(() => last().session.id === 'other' && last().caughtUp)
  t.same(last().messages, [])
})

t.test('an expired token is renewed for commands and requests, as for streams', async t => {
  let valid = 'one'
  const url = await stage(t, {
    authorize: ({ headers }) => {
      if (headers.authorization === `Bearer ${valid}`) return { id: 'ann' }
      throw Object.assign(new TwinrailError('unauthorized', 'the token has expired'))
    },
  })
  let asked = 0
  const client = connect(t, url, {
    transport: 'sse',
    auth: () => {
      asked += 1
      return { authorization: `Bearer ${valid}` }
    },
  })
  const session = client.session('tokens')
  await session.create()
  for (const [i, call] of [
    () => session.state(),
    () => session.run('playback', { count: 1, rate: 0 }).started,
    () => client.agents(),
    () => session.publish('x.note', 1),
    () => session.page(),
  ].entries()) {
    valid = `token ${i}`
    t.ok(await call())
  }
  t.equal(asked, 6, 'once at first, and once for each call that met an expired token')
  const refused = connect(t, url, { auth: () => ({ authorization: 'Bearer none' }) })
  await t.rejects(refused.agents(), { code: 'unauthorized' })
  await t.rejects(refused.session('tokens').publish('x.note', 1), { code: 'unauthorized' })
})

t.test('a start that is refused while it is stopped shows its refusal, and retry starts it', async t => {
  const url = await stage(t, {
    authorize: (_, { action }) => (action === 'run.start' ? undefined : { id: 'ann' }),
  })
  const client = connect(t, url, { transport: 'sse', fetch: late(20) })
  const { last } = mount(t, () => useSession(client, 'stopped'))
  await until(() => last()?.caughtUp)
  const started = last().start('playback', { count: 1, rate: 0 }, { runId: 'mine' })
  await until(() => last().run)
  await last().stop()
  t.equal(await started, undefined)
  await until(() => last().error)
  t.match(last().error, { code: 'forbidden', message: /run\.start/ })
  t.equal(last().isLoading, false)
})

t.test('a session that is deleted ends its view, and is not created again by it', async t => {
  const client = connect(t, await stage(t))
  const session = client.session('gone')
  const { last, unmount } = mount(t, () => useSession(client, 'gone'))
  await until(() => last()?.caughtUp)
  await session.delete()
  await until(() => last().ended)
  t.match(last(), { ended: 'deleted', following: false, error: undefined })
  unmount()
  const again = mount(t, () => useSession(client, 'gone'))
  await until(() => again.last()?.ended)
  await t.rejects(session.state(), { code: 'session-not-found' })
})
