/** JD Genie and the teaching text about it: the bytes on the wire, and their clients. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { JSDOM } from 'jsdom'
import t, { type Test } from 'tap'
import { z } from 'zod'
import { defineAgent } from '../../src/agents/agent.ts'
import { decode, newDecodeState } from '../../src/dialects/genie/decode.ts'
import { type AgentResponse, encode, newEncodeState } from '../../src/dialects/genie/encode.ts'
import type { EventBody, TwinrailEvent } from '../../src/protocol/index.ts'
import { dialectAgents, someRun } from '../fixtures/dialects.ts'
import { post, serve, typesOf, type Wire } from '../fixtures/wire-server.ts'

/** What Genie can say of a run: texts, thoughts, results of tools, and how it ended. */
const gist = (events: readonly (EventBody | TwinrailEvent)[]) => {
  const texts = (noun: string) =>
    events
      .flatMap(({ type, data }) => (type === `${noun}.delta` ? [(data as { delta: string }).delta] : []))
      .join('')
  const outputs = events.flatMap(({ type, data }) => {
    if (type !== 'tool.finished') return []
    const { output = null } = data as { output?: unknown }
    return [typeof output === 'string' ? output : JSON.stringify(output)]
  })
  const plans = events.flatMap(({ type, data }) => (type === 'plan.updated' ? [JSON.stringify(data)] : []))
  const end = events.findLast(({ type }) => type.startsWith('run.'))
  return { text: texts('text'), outputs, plans, end: end?.type }
}

t.test('what is decoded says the same as the log, as far as the messages can', async t => {
  fc.assert(
    fc.property(someRun, fc.nat(), (all, n) => {
      // An artifact is a text there, and a file that is written.
      const run = all.filter(({ type }) => !type.startsWith('artifact.'))
      const state = newEncodeState('r', 3, 'q')
      const messages = run.map(event => JSON.parse(JSON.stringify(encode(state, event))) as AgentResponse[])
      const back = newDecodeState()
      assert.deepEqual(gist(messages.flat().flatMap(message => decode(back, message))), gist(run))
      const cut = n % run.length
      const resumed = newEncodeState('r', 3, 'q')
      for (const event of run.slice(0, cut)) encode(resumed, event)
      const rest = run
        .slice(cut)
        .map(event => JSON.parse(JSON.stringify(encode(resumed, event))) as AgentResponse[])
      assert.deepEqual(rest, messages.slice(cut), 'the same ids, too')
      assert.equal(messages.flat().filter(({ finish }) => finish).length, 1)
      for (const message of messages.flat()) assert.equal(typeof message['messageTime'], 'string')
    }),
    { numRuns: 200 },
  )
  t.pass('for every run that was tried')
})

/** Searches like `deepsearch`, and always says the same. */
const searcher = defineAgent({
  name: 'deepsearch',
  description: 'Searches',
  input: z.object({ query: z.string() }),
  async *run({ query }) {
    yield { type: 'run.status', data: { status: 'query_decomposition', message: 'Splitting' } }
    yield { type: 'run.status', data: { status: 'searching', message: 'Searching' } }
    yield { type: 'source.added', data: { sourceId: 's', title: 'T', url: 'https://e.com/', excerpt: 'so' } }
    yield { type: 'run.status', data: { status: 'generating', message: 'Writing' } }
    if (query === 'fail') throw new Error('secret')
    yield { type: 'plan.updated', data: { title: 'P', steps: [{ title: 'one', status: 'done' }] } }
    yield { type: 'text.delta', data: { partId: 't', delta: 'Hello ' } }
    yield { type: 'text.delta', data: { partId: 't', delta: 'you' } }
    yield { type: 'text.end', data: { partId: 't' } }
  },
})

const start = (t: Test) => serve(t, { agents: [...dialectAgents, searcher] as never })

const raw = async (wire: Wire, path: string, body: object) => {
  const response = await fetch(wire.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify(body),
  })
  return { type: response.headers.get('content-type'), text: await response.text() }
}

const page = { sessionId: 'session-1-2', requestId: '3-4', query: 'hi', deepThink: 0 }

t.test('the page: envelopes without a blank after data:, and the last one ends it', async t => {
  const wire = await start(t)
  t.equal(await (await fetch(`${wire.url}/web/health`)).text(), 'ok')
  const { type, text } = await raw(wire, '/web/api/v1/gpt/queryAgentStreamIncr', page)
  t.equal(type, 'text/event-stream;charset=UTF-8')
  t.match(text, /^(data:\{.*\}\n\n)+$/)
  const envelopes = text
    .trim()
    .split('\n\n')
    .map(frame => JSON.parse(frame.slice('data:'.length)))
  t.same(Object.keys(envelopes[0]), [
    'status',
    'response',
    'responseAll',
    'finished',
    'useTimes',
    'useTokens',
    'resultMap',
    'responseType',
    'traceId',
    'reqId',
    'encrypted',
    'query',
    'messages',
    'packageType',
    'errorMsg',
  ])
  t.equal(envelopes[0].reqId, 'geniesession-1-2:3-4')
  const types = envelopes.map(one => one.resultMap.eventData.resultMap.messageType ?? 'plan')
  t.same(types, [
    'tool_thought',
    'tool_thought',
    'tool_thought',
    'plan',
    'deep_search',
    'markdown',
    'markdown',
    'markdown',
    'result',
  ])
  t.match(envelopes[3].resultMap.eventData, {
    messageType: 'plan',
    resultMap: { title: 'P', stepStatus: ['completed'] },
  })
  t.match(envelopes.at(-1), {
    finished: true,
    status: 'success',
    response: 'Hello you',
    resultMap: { agentType: '5' },
  })
  t.equal(
    (await raw(wire, '/web/api/v1/gpt/queryAgentStreamIncr', page)).text,
    text,
    'repeated, byte for byte',
  )
  t.equal((await typesOf(wire, 'session-1-2')).filter(type => type === 'run.started').length, 1)
  const deep = await raw(wire, '/web/api/v1/gpt/queryAgentStreamIncr', {
    ...page,
    requestId: '5',
    deepThink: 1,
  })
  t.match(deep.text, /^data:.*"messageType":"task","messageTime"/, 'the deep mode begins with a task')
  const failed = await raw(wire, '/web/api/v1/gpt/queryAgentStreamIncr', {
    ...page,
    requestId: '6',
    query: 'fail',
  })
  t.match(failed.text, /"finished":true/, 'a failure has an end, too')
  t.notMatch(failed.text, 'secret')
})

t.test('/AutoAgent: the real form and the printed one', async t => {
  const wire = await start(t)
  const real = await raw(wire, '/AutoAgent', {
    requestId: 'a',
    query: 'hi',
    agentType: 5,
    erp: 'genie',
    isStream: true,
  })
  const messages = real.text
    .trim()
    .split('\n\n')
    .map(frame => JSON.parse(frame.slice('data:'.length)))
  t.match(messages.at(-1), {
    messageType: 'result',
    finish: true,
    isFinal: true,
    resultMap: { taskSummary: 'Hello you', agentType: 5 },
  })
  const printed = await raw(wire, '/AutoAgent', { requestId: 'b', query: 'hi', agentType: 'react' })
  const frames = printed.text
    .trim()
    .split('\n\n')
    .map(frame => JSON.parse(frame.slice('data:'.length)))
  t.match(frames, [
    { messageType: 'planning', planList: ['one'], isFinal: false },
    { messageType: 'agent_stream', result: 'Hello ', isFinal: false },
    { messageType: 'agent_stream', result: 'you', isFinal: false },
    { messageType: 'result', resultMap: { agentType: 'react', taskSummary: 'Hello you' }, isFinal: true },
  ])
})

t.test('/v1/tool/deepsearch: the real form and the printed one', async t => {
  const wire = await start(t)
  const body = { request_id: 'a', query: 'hi', stream: true }
  const real = await raw(wire, '/v1/tool/deepsearch', { ...body, streamMode: { mode: 'general' } })
  t.match(real.text, /^(data: .*\r\n\r\n)+$/)
  const frames = real.text
    .trim()
    .split('\r\n\r\n')
    .map(frame => frame.slice('data: '.length))
  t.equal(frames.pop(), '[DONE]')
  t.match(
    frames.map(frame => JSON.parse(frame)),
    [
      { messageType: 'extend', searchResult: { query: ['hi'] } },
      { messageType: 'search', searchResult: { docs: [[{ title: 'T', link: 'https://e.com/' }]] } },
      { messageType: 'report', answer: 'Hello ', isFinal: false },
      { messageType: 'report', answer: 'you', isFinal: false },
      { messageType: 'report', answer: '', isFinal: true },
    ],
  )
  const printed = await raw(wire, '/v1/tool/deepsearch', { ...body, request_id: 'b' })
  t.match(printed.text, /^(id: b\r\nevent: data\r\ndata: .*\r\n\r\n)+$/)
  const said = [...printed.text.matchAll(/^data: (.*)\r$/gm)].map(([, json = '']) => JSON.parse(json))
  t.match(said, [
    { status: 'query_decomposition' },
    { status: 'searching' },
    { status: 'generating' },
    { messageType: 'search', searchResult: { docs: [[{ title: 'T' }]] } },
    { messageType: 'search', answer: 'Hello ' },
    { messageType: 'search', answer: 'you', isFinal: false },
    { messageType: 'search', isFinal: true },
  ])
  const failed = await raw(wire, '/v1/tool/deepsearch', { ...body, request_id: 'c', query: 'fail' })
  t.match(failed.text, /id: c\r\nevent: error\r\ndata: .*\r\n\r\n$/)
  t.notMatch(failed.text, 'secret')
})

t.test('the client of the teaching text, over @microsoft/fetch-event-source', async t => {
  const wire = await start(t)
  const { window } = new JSDOM('', { url: wire.url })
  t.intercept(globalThis, 'window', { value: window, configurable: true })
  t.intercept(globalThis, 'document', { value: window.document, configurable: true })
  const { fetchEventSource } = await import('@microsoft/fetch-event-source')
  for (const [path, body] of [
    ['/AutoAgent', { requestId: 'ms', query: 'hi', agentType: 'react' }],
    ['/v1/tool/deepsearch', { request_id: 'ms2', query: 'hi' }],
    ['/web/api/v1/gpt/queryAgentStreamIncr', { ...page, requestId: 'ms3' }],
  ] as const) {
    const got: Record<string, unknown>[] = []
    let closes = 0
    await fetchEventSource(wire.url + path, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Accept: 'text/event-stream',
        'Cache-Control': 'no-cache',
      },
      body: JSON.stringify(body),
      openWhenHidden: true,
      fetch: globalThis.fetch,
      // As it is printed there: without a guard against events that are no JSON.
      onmessage: event => void got.push(JSON.parse(event.data)),
      onclose: () => void closes++,
      onerror(error) {
        throw error
      },
    })
    t.equal(closes, 1)
    t.ok(got.length >= 4, path)
    t.ok(got.at(-1)?.['isFinal'] ?? got.at(-1)?.['finished'], `${path} ends with its last message`)
  }
})

t.test('requests of the wrong shape are refused', async t => {
  const { url } = await start(t)
  for (const path of ['/web/api/v1/gpt/queryAgentStreamIncr', '/AutoAgent', '/v1/tool/deepsearch']) {
    t.equal((await post(url + path, { query: 1 })).status, 400)
  }
  t.match(await post(`${url}/AutoAgent`, { requestId: 'x', query: 'q', agent: 'nobody' }), { status: 404 })
})
