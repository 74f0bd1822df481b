/** One run in clients of every kind at once, slow and lost readers, and a server that stops. */
import { connect } from 'node:net'
import { HttpAgent } from '@ag-ui/client'
import { Chat } from '@ai-sdk/react'
import { DefaultChatTransport, type UIMessage } from 'ai'
import OpenAI from 'openai'
import t from 'tap'
import { dialectAgents } from '../fixtures/dialects.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import {
  command,
  eventually,
  metric,
  serve,
  state,
  terminalOf,
  typesOf,
  type Wire,
} from '../fixtures/wire-server.ts'

const chatWith = ({ url }: Wire, agent: string, id: string) =>
  new Chat({ id, transport: new DefaultChatTransport({ api: `${url}/ai-sdk/${agent}` }) })

const textOf = ({ messages }: { messages: UIMessage[] }) =>
  (messages.findLast(({ role }) => role === 'assistant')?.parts ?? [])
    .flatMap(part => (part.type === 'text' ? [part.text] : []))
    .join('')

const agUiText = ({ messages }: HttpAgent) =>
  messages.flatMap(({ role, content }) => (role === 'assistant' && content ? [content] : [])).join('')

/** The text of a run as its log has it. */
const logText = async ({ server }: Wire, sessionId: string) => {
  let text = ''
  for await (const { event } of server.journal.events(sessionId, 0)) {
    if (event.type === 'text.delta') text += event.data.delta
  }
  return text
}

t.test(
  'a run that useChat started is watched by every kind of client, and all see how it is cancelled',
  async t => {
    const wire = await serve(t, { agents: dialectAgents })
    const chat = chatWith(wire, 'ticking', 'x1')
    const sent = chat.sendMessage({ text: 'go' })
    await eventually(t, 'text comes', () => textOf(chat) !== '')
    const [run] = (await state(wire.url, 'x1')).runs ?? []
    const runId = run?.runId as string
    const agent = new HttpAgent({ url: `${wire.url}/ag-ui/ticking`, threadId: 'x1' })
    let outcome: unknown
    const watched = agent.runAgent(
      { runId },
      {
        onRunFinishedEvent: ({ event }) => {
          outcome = event.outcome
        },
      },
    )
    const openai = new OpenAI({ baseURL: `${wire.url}/openai/v1`, apiKey: 'none', maxRetries: 0 })
    const events = await openai.responses.retrieve(`resp_x1~${runId}~1`, { stream: true })
    let said = ''
    let verdict: string | undefined
    const read = (async () => {
      for await (const event of events) {
        if (event.type === 'response.output_text.delta') said += event.delta
        if (event.type === 'response.incomplete') verdict = event.response.status
      }
    })()
    const socket = await openWs(t, wire.url)
    socket.send({ id: '1', type: 'subscribe', sessionId: 'x1', run: runId })
    await eventually(t, 'all have text', () => agUiText(agent) !== '' && said !== '')
    t.equal(await metric(wire, 'twinrail_connections{transport="ai-sdk"}'), 1)
    t.equal(await metric(wire, 'twinrail_connections{transport="ag-ui"}'), 1)
    t.equal(await metric(wire, 'twinrail_connections{transport="openai"}'), 1)
    await fetch(`${wire.url}/ai-sdk/ticking/x1/stop`, { method: 'POST' })
    await Promise.all([sent, watched, read])
    const text = await logText(wire, 'x1')
    t.equal(textOf(chat), text)
    t.equal(agUiText(agent), text)
    t.equal(said, text)
    t.same(outcome, { type: 'cancelled' })
    t.equal(verdict, 'cancelled')
    t.match(
      chat.messages.at(-1)?.parts.find(({ type }) => type === 'data-run'),
      { data: { status: 'cancelled' } },
    )
    t.equal((await terminalOf(wire.url, 'x1', runId)).type, 'run.cancelled')
    await eventually(
      t,
      'nothing is left open',
      async () => (await metric(wire, 'twinrail_followed_sessions')) === 0,
    )
  },
)

t.test('a run that useChat started is approved from AG-UI, and its end is the same everywhere', async t => {
  const wire = await serve(t, { agents: dialectAgents })
  const chat = chatWith(wire, 'careful', 'x2')
  await chat.sendMessage({ text: 'delete' })
  const [run] = (await state(wire.url, 'x2')).runs ?? []
  const agent = new HttpAgent({ url: `${wire.url}/ag-ui/careful`, threadId: 'x2' })
  await agent.runAgent({ runId: run?.runId as string })
  const [interrupt] = agent.pendingInterrupts
  const resume = [
    { interruptId: interrupt?.id as string, status: 'resolved' as const, payload: { approved: true } },
  ]
  await agent.runAgent({ resume })
  await chat.resumeStream()
  t.equal(textOf(chat), 'I will delete it. Done.')
  t.equal(agUiText(agent), 'I will delete it. Done.')
  const openai = new OpenAI({ baseURL: `${wire.url}/openai/v1`, apiKey: 'none' })
  const last = (await typesOf(wire, 'x2')).indexOf('input.answered') + 1
  t.equal((await openai.responses.retrieve(`resp_x2~${run?.runId}~${last}`)).output_text, 'Done.')
})

t.test('a reader that does not read is cut off, costs little memory, and slows nobody', async t => {
  const wire = await serve(t, { agents: dialectAgents, stallMs: 500, heartbeatMs: 100 })
  const { hostname, port } = new URL(wire.url)
  const body = JSON.stringify({
    id: 'x3',
    messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'x' }] }],
    input: { count: 40_000, rate: 0, bytes: 1000 },
  })
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(
    `POST /ai-sdk/playback HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  await new Promise(resolve => socket.once('readable', resolve))
  socket.pause()
  let buffered = 0
  await eventually(t, 'the run ends all the same', async () => {
    const bytes = (await metric(wire, 'twinrail_buffered_bytes{transport="ai-sdk"}')) ?? 0
    buffered = Math.max(buffered, bytes)
    return (await state(wire.url, 'x3')).runs?.[0]?.status === 'completed'
  })
  t.ok(buffered > 0 && buffered < 1024 * 1024, `at most ${buffered} bytes were buffered`)
  await eventually(
    t,
    'it is cut off',
    async () =>
      (await metric(wire, 'twinrail_lost_connections_total{transport="ai-sdk",reason="stalled"}')) === 1,
  )
  await eventually(
    t,
    'nothing is left',
    async () => (await metric(wire, 'twinrail_connections{transport="ai-sdk"}')) === 0,
  )
})

t.test('a server that stops cuts the streams of clients that would take an end for an answer', async t => {
  const wire = await serve(t, { agents: dialectAgents })
  const chat = chatWith(wire, 'ticking', 'x4')
  // A run that goes on is cut off only once its time to end is over.
  const started = chat.sendMessage({ text: 'go' })
  await eventually(t, 'text comes', () => textOf(chat) !== '')
  await wire.server.close({ graceMs: 0 })
  await started
  t.equal(chat.status, 'error')
})

t.test('authorization and bad input', async t => {
  const wire = await serve(t, {
    agents: dialectAgents,
    authorize: (request, { action }) =>
      request.headers['x-user'] && action !== 'run.cancel' ? { id: 'u' } : undefined,
  })
  const post = (path: string, body: unknown, headers = {}) =>
    fetch(wire.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
  const messages = [{ id: 'm', role: 'user', content: 'hi', parts: [{ type: 'text', text: 'hi' }] }]
  const requests: [string, object][] = [
    ['/ai-sdk/echo', { id: 'c', messages }],
    ['/ag-ui/echo', { threadId: 'c', runId: 'r', messages }],
    ['/openai/v1/responses', { model: 'echo', input: 'hi' }],
    ['/openai/v1/chat/completions', { model: 'echo', messages: [{ role: 'user', content: 'hi' }] }],
    ['/AutoAgent', { requestId: 'g', query: 'hi', agent: 'echo', agentType: 5 }],
    ['/v1/tool/deepsearch', { request_id: 'h', query: 'hi', agent: 'echo' }],
    ['/web/api/v1/gpt/queryAgentStreamIncr', { sessionId: 's', requestId: 'i', query: 'hi', agent: 'echo' }],
  ]
  for (const [path, body] of requests) {
    t.equal((await post(path, body)).status, 403, `${path} is refused without a user`)
    t.equal(
      (await post(path, { nothing: 1 }, { 'x-user': 'u' })).status,
      400,
      `${path} refuses another shape`,
    )
    const answered = await post(path, body, { 'x-user': 'u' })
    t.equal(answered.status, 200, path)
    t.match(await answered.text(), /hi/)
  }
  t.equal((await post('/ai-sdk/echo/c/stop', {}, { 'x-user': 'u' })).status, 403)
  t.equal((await command(wire.url, 'c', { type: 'run.cancel', runId: 'none' })).status, 403)
})
