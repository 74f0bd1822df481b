/** Endpoints of each dialect as agents: what they stream becomes the events of a run. */
import t from 'tap'
import { httpAgent, type UpstreamDialectName } from '../../src/upstream/http-agent.ts'
import { fakeRun, flaws, play, textOf } from '../fixtures/run-context.ts'
import { answers, sendEvents, upstream } from '../fixtures/upstream.ts'

const typesOf = (events: readonly { type: string }[]) => events.map(({ type }) => type)

for (const [dialect, { type, begin, end }] of Object.entries(answers)) {
  for (const given of [dialect, 'auto'] as UpstreamDialectName[]) {
    t.test(`${dialect}, given as ${given}`, async t => {
      const { url, requests } = await upstream(t, response => {
        response.writeHead(200, { 'content-type': type })
        response.write(begin.slice(0, 5))
        response.end(begin.slice(5) + end)
      })
      const agent = httpAgent({
        name: 'up',
        url,
        dialect: given,
        headers: { authorization: 'Bearer secret' },
      })
      const { events, error } = await play(agent, { prompt: 'Hi' }, fakeRun())
      t.equal(error, undefined)
      t.equal(textOf(events), 'Hello, world')
      t.same(flaws(events), [])
      const [{ headers, body } = { headers: {}, body: {} }] = requests
      t.equal(headers['authorization'], 'Bearer secret')
      t.match(JSON.stringify(body), /Hi/)
      t.notMatch(JSON.stringify(events), /secret/)
      if (given === 'auto') {
        t.match(events[0], { type: 'run.status', data: { message: `The agent's server speaks ${dialect}.` } })
      }
    })
  }
}

t.test('AI SDK: an approval is asked and answered in the next request', async t => {
  const { url, requests } = await upstream(t, (response, _, n) => {
    if (n === 0) {
      sendEvents(response, [
        { type: 'start', messageId: 'm' },
        { type: 'tool-input-available', toolCallId: 'c1', toolName: 'pay', input: { euros: 3 } },
        { type: 'tool-approval-request', approvalId: 'a1', toolCallId: 'c1' },
        { type: 'finish' },
        '[DONE]',
      ])
    } else {
      sendEvents(response, [
        { type: 'tool-output-available', toolCallId: 'c1', output: 'paid' },
        { type: 'text-start', id: '0' },
        { type: 'text-delta', id: '0', delta: 'Done.' },
        { type: 'text-end', id: '0' },
        { type: 'finish' },
      ])
    }
  })
  const run = fakeRun({ answer: () => ({ approved: true }) })
  const { events, error } = await play(
    httpAgent({ name: 'up', url, dialect: 'ai-sdk' }),
    { prompt: 'Pay' },
    run,
  )
  t.equal(error, undefined)
  t.match(run.asked, [{ kind: 'approval', message: 'May pay run?', toolCallId: 'c1' }])
  t.match(requests[1]?.body.messages.at(-1), {
    role: 'assistant',
    parts: [{ type: 'tool-pay', state: 'approval-responded', approval: { id: 'a1', approved: true } }],
  })
  t.same(
    typesOf(events).filter(type => type.startsWith('tool.')),
    ['tool.started', 'tool.called', 'tool.finished'],
    'the call is one through both requests',
  )
  t.equal(textOf(events), 'Done.')
})

t.test('AG-UI: an interrupt is asked and answered by resume', async t => {
  const { url, requests } = await upstream(t, (response, _, n) => {
    const interrupts = [{ id: 'i1', reason: 'tool_approval', message: 'Delete it?' }]
    if (n === 0) {
      sendEvents(response, [
        { type: 'RUN_STARTED', threadId: 't', runId: 'r' },
        { type: 'RUN_FINISHED', outcome: { type: 'interrupt', interrupts } },
      ])
    } else {
      sendEvents(response, [
        { type: 'TEXT_MESSAGE_CONTENT', messageId: 'm', delta: 'Gone.' },
        { type: 'RUN_FINISHED' },
      ])
    }
  })
  const run = fakeRun({ answer: () => ({ approved: true }) })
  const { events, error } = await play(
    httpAgent({ name: 'up', url, dialect: 'ag-ui' }),
    { prompt: 'Delete' },
    run,
  )
  t.equal(error, undefined)
  t.match(run.asked, [{ kind: 'approval', message: 'Delete it?' }])
  t.match(requests[1]?.body, {
    resume: [{ interruptId: 'i1', status: 'resolved', payload: { approved: true } }],
  })
  t.not(requests[1]?.body.runId, requests[0]?.body.runId, 'the segment has a run id of its own')
  t.equal(textOf(events), 'Gone.')
})

t.test('OpenAI: a tool call of the model is run by a client', async t => {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, finish_reason }],
  })
  const { url, requests } = await upstream(t, (response, _, n) => {
    if (n === 0) {
      sendEvents(response, [
        chunk({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'clock', arguments: '{"zo' } }] }),
        chunk({ tool_calls: [{ index: 0, function: { arguments: 'ne":"UTC"}' } }] }),
        chunk({}, 'tool_calls'),
        '[DONE]',
      ])
    } else sendEvents(response, [chunk({ content: 'Noon.' }), chunk({}, 'stop'), '[DONE]'])
  })
  const run = fakeRun({ answer: () => '12:00' })
  const { events, result } = await play(
    httpAgent({ name: 'up', url, dialect: 'openai' }),
    { prompt: 'Time?' },
    run,
  )
  t.match(run.asked, [{ kind: 'tool', toolCallId: 'c1' }])
  t.match(requests[1]?.body.messages.slice(-2), [
    {
      role: 'assistant',
      tool_calls: [{ id: 'c1', function: { name: 'clock', arguments: '{"zone":"UTC"}' } }],
    },
    { role: 'tool', tool_call_id: 'c1', content: '12:00' },
  ])
  t.match(
    events.find(({ type }) => type === 'tool.called'),
    { data: { toolName: 'clock', input: { zone: 'UTC' } } },
  )
  t.equal(textOf(events), 'Noon.')
  t.match(result, { finishReason: 'stop' })
})

t.test('Genie’s search tool as the teaching text prints it', async t => {
  const docs = [[{ title: 'Tides', link: 'https://example.com/', content: 'The moon.' }]]
  const search = (answer: string, isFinal = false) => ({
    requestId: 'r',
    messageType: 'search',
    ...(!isFinal && { searchResult: { query: ['Why?'], docs } }),
    answer,
    isFinal,
  })
  const messages = [
    { requestId: 'r', status: 'searching', message: 'Searching …' },
    search('The '),
    search('moon '),
    search('The moon pulls.', true),
  ]
  for (const dialect of ['genie', 'auto'] as const) {
    const { url } = await upstream(t, response => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.end(messages.map(one => `event: data\nid: r\ndata: ${JSON.stringify(one)}\n\n`).join(''))
    })
    const { events, error } = await play(
      httpAgent({ name: 'up', url, dialect }),
      { prompt: 'Why?' },
      fakeRun(),
    )
    t.equal(error, undefined, dialect)
    t.equal(textOf(events), 'The moon pulls.', 'the last message repeats the answer')
    t.same(
      events.filter(({ type }) => /^(run\.status|source)/.test(type)).map(({ data }) => data),
      [
        ...(dialect === 'auto' ? [{ status: 'connected', message: "The agent's server speaks genie." }] : []),
        { status: 'searching', message: 'Searching …' },
        { sourceId: 'source-1', title: 'Tides', url: 'https://example.com/', excerpt: 'The moon.' },
      ],
      'sources that come with each piece are told once',
    )
    t.same(flaws(events), [])
  }
})

t.test('what the protocol does not have becomes an event of the dialect', async t => {
  const { url } = await upstream(t, response =>
    sendEvents(response, [
      { type: 'brand-new', value: 1 },
      { type: 'tool-input-available', toolCallId: 'c', toolName: 'x', input: 'x'.repeat(2_000_000) },
      { type: 'text-start', id: '0' },
      { type: 'text-delta', id: '0', delta: '😀'.repeat(100_000) },
      { type: 'text-delta', id: 'never-begun', delta: '\ud83d' },
      { type: 'finish' },
    ]),
  )
  const { events, error } = await play(
    httpAgent({ name: 'up', url, dialect: 'ai-sdk' }),
    { prompt: 'x' },
    fakeRun(),
  )
  t.equal(error, undefined)
  t.match(events[0], { type: 'x.ai-sdk.brand-new', data: { value: 1 } })
  t.match(
    events.find(({ type }) => type === 'tool.called'),
    { data: { input: /^x+… \(cut\)$/ } },
  )
  t.equal(
    textOf(events),
    `${'😀'.repeat(100_000)}\ufffd`,
    'large deltas are split, half characters are replaced',
  )
  t.ok(
    events.every(({ data }) => JSON.stringify(data).length < 1_000_000),
    'each fits into an event',
  )
  t.same(flaws(events), [], 'what was left open is ended')
})

t.test('a stream that was cut off goes on after the last frame', async t => {
  const { url, requests } = await upstream(t, (response, { headers }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const from = Number(headers['last-event-id'] ?? 0)
    response.write(`id: ${from + 1}\ndata: {"delta":"${from + 1} "}\n\n`, () => {
      if (from < 4) response.destroy()
      else response.end('data: [DONE]\n\n')
    })
  })
  const agent = httpAgent({ name: 'up', url, dialect: 'sse', resume: 'last-event-id' })
  const { events, error } = await play(agent, { prompt: 'Count' }, fakeRun())
  t.equal(error, undefined)
  t.equal(textOf(events), '1 2 3 4 5 ')
  t.equal(requests.length, 5)
})

t.test('a stream that can be repeated from its beginning goes on where it was cut off', async t => {
  const words = ['a ', 'b ', 'c ', 'd ']
  const chunks = [
    { type: 'text-start', id: '0' },
    ...words.map(delta => ({ type: 'text-delta', id: '0', delta })),
    { type: 'finish' },
  ]
  const { url, requests } = await upstream(t, (response, _, n) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const shown = chunks.slice(0, n === 0 ? 3 : chunks.length)
    response.write(shown.map(chunk => `data: ${JSON.stringify(chunk)}\n\n`).join(''), () => {
      if (n === 0) response.destroy()
      else response.end()
    })
  })
  const resume = ({ sessionId }: { sessionId: string }) => `/agent/${sessionId}/stream`
  const agent = httpAgent({ name: 'up', url, dialect: 'ai-sdk', resume })
  const { events, error } = await play(agent, { prompt: 'Go' }, fakeRun())
  t.equal(error, undefined)
  t.equal(textOf(events), 'a b c d ')
  t.match(requests[1], { method: 'GET', path: '/agent/session1/stream' })
})

t.test(
  'a response of OpenAI is read on after its last event, and nothing that is sent again is doubled',
  async t => {
    const events = [
      { type: 'response.created', response: { id: 'resp 1' } },
      ...['a ', 'b ', 'c ', 'd '].map(delta => ({ type: 'response.output_text.delta', item_id: 'm', delta })),
      { type: 'response.completed', response: { id: 'resp 1', status: 'completed' } },
    ].map((event, sequence_number) => ({ ...event, sequence_number }))
    const { url, requests } = await upstream(t, (response, _, n) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      // It does not mind `starting_after`, and breaks off two events later each time.
      const shown = events.slice(0, 2 + 2 * n)
      response.write(shown.map(event => `data: ${JSON.stringify(event)}\n\n`).join(''), () => {
        if (shown.length < events.length) response.destroy()
        else response.end()
      })
    })
    const agent = httpAgent({ name: 'up', url: `${url}?api-version=1`, dialect: 'openai-responses' })
    const played = await play(agent, { prompt: 'Go' }, fakeRun())
    t.equal(played.error, undefined)
    t.equal(textOf(played.events), 'a b c d ')
    t.match(requests, [
      { method: 'POST', path: '/agent?api-version=1' },
      { method: 'GET', path: '/agent/resp%201?api-version=1&stream=true&starting_after=1' },
      { method: 'GET', path: '/agent/resp%201?api-version=1&stream=true&starting_after=3' },
    ])
  },
)

t.test('a response of OpenAI that the upstream does not keep is lost', async t => {
  const { url, requests } = await upstream(t, (response, { method }) => {
    if (method === 'GET') return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const created = { type: 'response.created', sequence_number: 0, response: { id: 'r' } }
    response.write(`data: ${JSON.stringify(created)}\n\n`, () => response.destroy())
  })
  const agent = httpAgent({ name: 'up', url, dialect: 'openai-responses' })
  const { error } = await play(agent, { prompt: 'Go' }, fakeRun())
  t.match(error, { code: 'upstream-lost', retryable: true })
  t.equal(requests.length, 2)
})

/** The fields of a request that name the session or the run, by dialect. */
const idFields: Partial<Record<UpstreamDialectName, readonly string[]>> = {
  auto: ['id', 'sessionId', 'threadId', 'runId', 'requestId', 'request_id'],
  'ai-sdk': ['id'],
  'ag-ui': ['threadId', 'runId'],
  genie: ['requestId', 'request_id', 'sessionId'],
  sse: ['sessionId', 'runId'],
  ndjson: ['sessionId', 'runId'],
  text: ['sessionId', 'runId'],
}

t.test('an input cannot name another session or run', async t => {
  for (const [dialect, names] of Object.entries(idFields) as [UpstreamDialectName, string[]][]) {
    const { url, requests } = await upstream(t, response => sendEvents(response, ['[DONE]']))
    const foreign = Object.fromEntries(names.map(name => [name, 'of-somebody-else']))
    await play(httpAgent({ name: 'up', url, dialect }), { prompt: 'Hi', ...foreign }, fakeRun())
    for (const name of names) t.match(requests[0]?.body[name], /^(session1|run1)$/, `${dialect}: ${name}`)
  }
})

t.test('the conversation of the session goes with the request', async t => {
  const { url, requests } = await upstream(t, response => sendEvents(response, ['[DONE]']))
  const event = (type: string, data: object) => ({
    offset: '1-1',
    sessionId: 's',
    runId: 'r0',
    time: 1,
    type,
    data,
  })
  const history = [
    event('run.started', { agent: 'up', input: { prompt: 'First' } }),
    event('text.start', { partId: 'p' }),
    event('text.delta', { partId: 'p', delta: 'Answer' }),
    event('text.end', { partId: 'p' }),
  ] as never
  await play(
    httpAgent({ name: 'up', url, dialect: 'openai' }),
    { prompt: 'Second', model: 'm1' },
    fakeRun({ history }),
  )
  t.match(requests[0]?.body, {
    model: 'm1',
    stream: true,
    messages: [
      { role: 'user', content: 'First' },
      { role: 'assistant', content: 'Answer' },
      { role: 'user', content: 'Second' },
    ],
  })
})
