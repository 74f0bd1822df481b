/** Results of the AI SDK's own `streamText`, written into a session and watched by a client of another kind. */

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import OpenAI from 'openai'
import t from 'tap'
import { pipeTextStream, pipeUIMessageStream } from '../../src/dialects/ai-sdk/pipe.ts'
import { dialectAgents } from '../fixtures/dialects.ts'
import { logged, serve } from '../fixtures/wire-server.ts'

t.test('a result of streamText becomes a run', async t => {
  const wire = await serve(t, { agents: dialectAgents })
  // The model is an agent of the same server, by the dialect of OpenAI.
  const provider = createOpenAICompatible({ name: 'twinrail', baseURL: `${wire.url}/openai/v1` })
  const resultOf = (prompt: string, model = 'echo') =>
    streamText({ model: provider(model) as never, prompt, maxRetries: 0, onError: () => {} })
  const said = async (sessionId: string) => {
    const events = (await logged(wire, sessionId)).map(json => JSON.parse(json))
    const text = events.filter(({ type }) => type === 'text.delta').map(({ data }) => data.delta)
    return { types: events.map(({ type }) => type), text: text.join(''), last: events.at(-1) }
  }
  for (const [pipe, sessionId] of [
    [pipeUIMessageStream, 'ui'],
    [pipeTextStream, 'text'],
  ] as const) {
    const session = { url: wire.url, sessionId }
    const { runId } = await pipe(session, resultOf('hello there'), { input: { query: 'hello there' } })
    const { text, last, types } = await said(sessionId)
    t.equal(text, 'hello there ')
    t.match(last, { type: 'run.completed', runId })
    t.equal(types[0], 'run.started')
    t.equal(types.filter(type => type.startsWith('run.')).length, 2)
    const client = new OpenAI({ baseURL: `${wire.url}/openai/v1`, apiKey: 'none' })
    const watched = await client.responses.retrieve(`resp_${sessionId}~${runId}~1`)
    t.equal(watched.output_text, 'hello there ')
  }
  await pipeUIMessageStream({ url: wire.url, sessionId: 'failed' }, resultOf('x', 'nobody'))
  t.match((await said('failed')).last, { type: 'run.failed' })
  await t.rejects(pipeTextStream({ url: wire.url, sessionId: 'not an id' }, resultOf('x')), /400/)
})
