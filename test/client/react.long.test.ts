import t from 'tap'
import { useAIStream, useRun, useSession } from '../../client/react/index.ts'
import { mount } from './page.ts'
import { connect, stage, until } from './stage.ts'

t.test('a session: messages, status and connection', async t => {
  const client = connect(t, await stage(t))
  const { last, seen } = mount(t, () => useSession(client, 'room'))
  await until(() => last()?.caughtUp)
  t.match(last(), { status: 'idle', isLoading: false, messages: [], following: true })
  const runId = await last().start('asking', { query: 'it' })
  await until(() => last().questions.length === 1)
  t.match(last(), {
    status: 'running',
    isLoading: true,
    run: { runId, parts: [{ steps: [{ title: 'it' }] }, {}] },
  })
  await last().answer(last().questions[0]!.requestId, true)
  await until(() => last().status === 'completed')
  t.match(last(), {
    isLoading: false,
    questions: [],
    messages: [
      { role: 'user', text: 'it', runId },
      { role: 'assistant', text: 'Done.', state: 'completed' },
    ],
  })
  t.equal(last().connection.state, 'open')
  const [first] = seen as [ReturnType<typeof useSession>]
  for (const name of [
    'start',
    'stop',
    'answer',
    'steer',
    'retry',
    'loadOlder',
    'connect',
    'disconnect',
  ] as const) {
    t.equal(last()[name], seen[2]![name], `${name} keeps its identity`)
    t.type(first[name], 'function')
  }
})

t.test('StrictMode mounts twice and follows once, starts once', async t => {
  const url = await stage(t)
  const streams: string[] = []
  const client = connect(t, url, {
    transport: 'sse',
    fetch: (input, init) => {
      if (String(input).includes('/events')) streams.push(String(input))
      return fetch(input, init)
    },
  })
  const { last } = mount(t, () => useSession(client, 'strict'))
  await until(() => last()?.caughtUp)
  await last().start('playback', { count: 5, rate: 0 })
  await until(() => last().status === 'completed')
  t.equal(streams.length, 1)
  t.equal(last().runs.length, 1)
})

t.test('tokens are drawn once per frame, and unchanged messages keep their identity', async t => {
  const client = connect(t, await stage(t), { transport: 'websocket' })
  const { last, seen } = mount(t, () => useSession(client, 'frames'))
  await until(() => last()?.caughtUp)
  const before = seen.length
  await last().start('playback', { count: 3000, rate: 6000 })
  await until(() => last().status === 'completed')
  t.comment(`${seen.length - before} renders of 3000 tokens`)
  t.ok(seen.length - before < 300, `${seen.length - before} renders`)
  t.equal(last().messages.length, 2)
  t.equal(last().run!.parts.length, 1)
})

t.test('leaving the page leaves the run alone, disconnect and connect resume it', async t => {
  const client = connect(t, await stage(t))
  const view = mount(t, () => useSession(client, 'leave'))
  await until(() => view.last()?.caughtUp)
  await view.last().start('echoing', { query: 'one' })
  await until(() => view.last().messages[1]?.text === 'one ')
  view.last().disconnect()
  await until(() => !view.last().following)
  await client.session('leave').steer(view.last().run!.runId, 'two')
  t.match(view.last(), { status: 'running', following: false }, 'the run goes on, the connection does not')
  view.last().connect()
  await until(() => view.last().messages[1]?.text === 'one two ')
  view.unmount()
  await until(() => client.quality.current.state === 'idle')
  t.match(await client.session('leave').state(), { runs: [{ status: 'running' }] })
})

t.test('a refusal is shown, not thrown; the next command clears it', async t => {
  const client = connect(t, await stage(t))
  const { last } = mount(t, () => useSession(client, 'refused'))
  await until(() => last()?.caughtUp)
  t.equal(await last().start('nobody', {}), undefined)
  await until(() => last().error)
  t.match(last().error, { code: 'agent-not-found' })
  t.equal(last().isLoading, false)
  await last().start('playback', { count: 1, rate: 0 })
  await until(() => last().status === 'completed')
  t.equal(last().error, undefined)
})

t.test('useRun follows one run to its end', async t => {
  const client = connect(t, await stage(t))
  const run = client.session('one').run('playback', { count: 20, rate: 0 })
  await run.done
  await client.session('one').run('playback', { count: 20, rate: 0, seed: 2 }).done
  const { last } = mount(t, () => useRun(client, 'one', run.runId))
  await until(() => last()?.status === 'completed')
  t.ok(last().text.length > 20)
  t.equal(last().run!.runId, run.runId)
})

t.test('useAIStream: a chat with one agent', async t => {
  const url = await stage(t)
  const { last } = mount(t, () => useAIStream({ url, agent: 'echoing' }))
  await until(() => last()?.caughtUp)
  await last().sendMessage('hello')
  await until(() => last().messages[1]?.text === 'hello ')
  t.match(last(), { isLoading: true, connectionState: 'open' })
  await last().steer('end')
  await until(() => !last().isLoading)
  t.equal(last().status, 'completed')
})
