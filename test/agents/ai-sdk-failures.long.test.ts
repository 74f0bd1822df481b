import t, { type Test } from 'tap'
import { z } from 'zod'
import { RunError } from '../../src/agents/agent.ts'
import { openAiAgentFromEnv } from '../../src/agents/ai-sdk/openai.ts'
import { aiSdkAgent, type Model } from '../../src/agents/ai-sdk.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { API_KEY, agentOver, type Generation, generations, seed } from '../fixtures/ai-generations.ts'
import { calls, openAiServer, type Reply, says, stops } from '../fixtures/openai-server.ts'
import { fakeRun, flaws, play, textOf } from '../fixtures/run-context.ts'

t.comment(`SEED=${seed}`)

const prompt = { prompt: 'Hello' }
const secret = { error: { message: `no good: ${API_KEY}`, type: 'invalid_request_error' } }
const hello: Reply = { chunks: [...says('Hel', 'lo'), ...stops()] }

const asking: Reply = { chunks: [...calls(0, 'c', 'pay', '{}'), ...stops('tool_calls')] }
const tools = { pay: { inputSchema: z.object({}), needsApproval: true, execute: async () => 'paid' } }

/** A language model over HTTP whose stream finishes with `other` when the response has no finish reason. */
class CarelessModel {
  readonly specificationVersion: string
  readonly provider = 'careless'
  readonly modelId = 'm'
  readonly supportedUrls = {}
  readonly #baseURL: string

  constructor(specificationVersion: string, baseURL: string) {
    this.specificationVersion = specificationVersion
    this.#baseURL = baseURL
  }

  async doStream() {
    const body = JSON.stringify({ messages: [] })
    const response = await fetch(`${this.#baseURL}/chat/completions`, { method: 'POST', body })
    const events = (await response.text()).split('\n\n').filter(event => /^data: \{/.test(event))
    const choices = events.flatMap(event => JSON.parse(event.slice(6)).choices)
    const texts = choices.flatMap(({ delta }) => delta.content ?? [])
    const reason = choices.find(({ finish_reason }) => finish_reason)?.finish_reason ?? 'other'
    const parts = [
      { type: 'stream-start', warnings: [] },
      ...(texts.length > 0 ? [{ type: 'text-start', id: '0' }] : []),
      ...texts.map(delta => ({ type: 'text-delta', id: '0', delta })),
      ...(texts.length > 0 ? [{ type: 'text-end', id: '0' }] : []),
      {
        type: 'finish',
        finishReason: { unified: reason, raw: reason },
        usage: { inputTokens: {}, outputTokens: {} },
      },
    ]
    return {
      stream: ReadableStream.from(parts),
      response: { headers: Object.fromEntries(response.headers) },
    }
  }
}

const failures: { what: string; reply: Reply; text?: string; message: RegExp; retryable: boolean }[] = [
  {
    what: 'the connection dies in the middle of text',
    reply: { chunks: says('Hel', 'lo'), end: 'destroyed' },
    text: 'Hello',
    message: /connection to the model broke off/,
    retryable: true,
  },
  {
    what: 'the connection dies in the middle of a tool call',
    reply: { chunks: [...says('Hm'), ...calls(0, 'c', 'weather', '{"ci')], end: 'destroyed' },
    text: 'Hm',
    message: /connection to the model broke off/,
    retryable: true,
  },
  {
    what: 'the connection dies before anything came',
    reply: { chunks: [], end: 'destroyed' },
    message: /connection to the model broke off/,
    retryable: true,
  },
  {
    what: 'the response ends cleanly but too early',
    reply: { chunks: says('Hel', 'lo'), end: 'cut' },
    text: 'Hello',
    message: /connection to the model broke off/,
    retryable: true,
  },
  {
    what: 'the provider reports overload in the middle',
    reply: {
      chunks: [...says('Hel'), { error: { message: 'busy', type: 'overloaded_error' } }],
      end: 'open',
    },
    text: 'Hel',
    message: /provider reported an error in the middle/,
    retryable: true,
  },
  {
    what: 'the provider reports an error without a word of what it is in the middle',
    reply: { chunks: [...says('Hel'), { error: { message: `no good: ${API_KEY}` } }], end: 'open' },
    text: 'Hel',
    message: /provider reported an error in the middle/,
    retryable: true,
  },
  {
    what: 'the provider reports an error with a status in the middle',
    reply: { chunks: [...says('Hel'), { error: { message: 'bad gateway', code: '502' } }], end: 'open' },
    text: 'Hel',
    message: /failed \(status 502\)/,
    retryable: true,
  },
  {
    what: 'the provider finishes with “error”',
    reply: { chunks: [...says('Hel', 'lo'), ...stops('error')] },
    text: 'Hello',
    message: /provider reported an error in the middle/,
    retryable: true,
  },
  {
    what: 'the provider reports a bad request in the middle',
    reply: { chunks: [...says('Hel'), secret], end: 'open' },
    text: 'Hel',
    message: /^The model failed\.$/,
    retryable: false,
  },
  { what: 'status 429', reply: { status: 429, chunks: [secret] }, message: /rate .*429/, retryable: true },
  { what: 'status 500', reply: { status: 500, chunks: [secret] }, message: /failed .*500/, retryable: true },
  {
    what: 'status 400',
    reply: { status: 400, chunks: [secret] },
    message: /refused .*400/,
    retryable: false,
  },
  { what: 'status 401', reply: { status: 401, chunks: [secret] }, message: /API key/, retryable: false },
  { what: 'status 404', reply: { status: 404, chunks: [secret] }, message: /model name/, retryable: false },
]

for (const generation of generations) {
  t.test(generation.name, async t => {
    for (const { what, reply, text = '', message, retryable } of failures) {
      t.test(`fails with model-error, all ended, when ${what}`, async t => {
        const { agent, server } = await agentOver(t, generation, [reply])
        const { events, error } = await play(agent, prompt, fakeRun())
        t.ok(error instanceof RunError)
        t.match(error, { code: 'model-error', message, retryable })
        t.notMatch((error as RunError).message, API_KEY)
        t.equal(textOf(events), text)
        t.same(flaws(events), [])
        // Also where the response was left open: a failed run holds no socket.
        await server.requests[0]?.closed
      })
    }

    t.test('fails as retryable when no server listens', async t => {
      const { agent, server } = await agentOver(t, generation, [])
      await server.close()
      const { events, error } = await play(agent, prompt, fakeRun())
      t.match(error, { code: 'model-error', message: /connection/, retryable: true })
      t.same(events, [])
    })

    t.test('fails retryable when a timeout that was set passes', async t => {
      const { agent } = await agentOver(t, generation, [{ chunks: says('Hel'), end: 'open' }], {
        settings: { timeout: 100 },
      })
      const { events, error } = await play(agent, prompt, fakeRun())
      t.match(error, { code: 'model-error', message: /broke off/, retryable: true })
      t.same(flaws(events), [])
    })

    t.test('repeats a call that is refused for now', async t => {
      const busy = { status: 429, headers: { 'retry-after-ms': '1' }, chunks: [secret] }
      const { agent, server } = await agentOver(t, generation, [busy, busy, hello], { maxRetries: 2 })
      const { events, result } = await play(agent, prompt, fakeRun())
      t.equal(textOf(events), 'Hello')
      t.equal(result?.finishReason, 'stop')
      t.equal(server.requests.length, 3)
    })

    t.test('fails with the error of the last attempt when all attempts are refused', async t => {
      const busy = { status: 503, headers: { 'retry-after-ms': '1' }, chunks: [secret] }
      const { agent, server } = await agentOver(t, generation, [busy, busy, busy], { maxRetries: 2 })
      const { error } = await play(agent, prompt, fakeRun())
      t.match(error, { code: 'model-error', message: /503/, retryable: true })
      t.equal(server.requests.length, 3)
    })

    t.test('never repeats a response that has begun, so no text comes twice', async t => {
      const failed = { error: { message: 'busy', type: 'server_error', code: 503 } }
      const begun: Reply[] = [
        { chunks: says('Hel'), end: 'destroyed' },
        { chunks: [...says('Hel'), failed], end: 'open' },
      ]
      for (const reply of begun) {
        const { agent, server } = await agentOver(t, generation, [reply, hello], {
          maxRetries: 2,
          settings: { streamRetries: 2 },
        })
        const { events, error } = await play(agent, prompt, fakeRun())
        t.match(error, { code: 'model-error', retryable: true })
        t.equal(textOf(events), 'Hel')
        t.equal(server.requests.length, 1)
      }
    })

    t.test('ends the request when the run is cancelled', async t => {
      const { agent, server } = await agentOver(t, generation, [{ chunks: says('Hel'), end: 'open' }])
      const run = fakeRun()
      const { error } = await play(agent, prompt, run, event => {
        if (event.type === 'text.delta') run.cancel()
      })
      t.match(error, { name: 'AbortError' })
      await server.requests[0]?.closed
    })

    t.test('ends the request when the run is not read any more', async t => {
      const { agent, server } = await agentOver(t, generation, [{ chunks: says('Hel'), end: 'open' }])
      for await (const event of agent.run({ prompt: 'Hello' }, fakeRun().context)) {
        if (event.type === 'text.delta') break
      }
      await server.requests[0]?.closed
      t.pass('closed')
    })

    t.test('makes no request for a run that was cancelled before', async t => {
      const { agent, server } = await agentOver(t, generation, [hello])
      const run = fakeRun()
      run.cancel()
      const { events, error } = await play(agent, prompt, run)
      t.match(error, { name: 'AbortError' })
      t.same(events, [])
      t.equal(server.requests.length, 0)
    })

    t.test('stops waiting for an answer when the run is cancelled', async t => {
      const { agent, server } = await agentOver(t, generation, [asking, hello], { tools })
      const run = fakeRun({
        answer: () => {
          run.cancel()
          throw run.context.signal.reason
        },
      })
      const { error } = await play(agent, prompt, run)
      t.match(error, { name: 'AbortError' })
      t.equal(server.requests.length, 1)
    })

    t.test('fails like the question when it expires, with all parts ended', async t => {
      const { agent } = await agentOver(t, generation, [asking, hello], { tools })
      const expired = new TwinrailError('input-expired', 'Nobody answered.')
      const { events, error } = await play(
        agent,
        prompt,
        fakeRun({
          answer: () => {
            throw expired
          },
        }),
      )
      t.equal(error, expired)
      t.match(events.at(-1), { type: 'tool.finished', data: { isError: true } })
      t.same(flaws(events), [])
    })

    t.test('ends also the tools that were answered when another’s question fails', async t => {
      const two = [...calls(0, 'a', 'pay', '{}'), ...calls(1, 'b', 'pay', '{}'), ...stops('tool_calls')]
      const { agent } = await agentOver(t, generation, [{ chunks: two }], { tools })
      const { events } = await play(
        agent,
        prompt,
        fakeRun({
          answer: ({ toolCallId }) => {
            if (toolCallId === 'a') return { approved: false }
            throw new TwinrailError('input-expired', 'Nobody answered.')
          },
        }),
      )
      t.same(flaws(events), [])
    })

    t.test('fails with the error of steering', async t => {
      const { agent } = await agentOver(t, generation, [hello])
      const run = fakeRun()
      const lost = new TwinrailError('unavailable', 'The log cannot be reached.')
      run.context.steering.take = () => Promise.reject(lost)
      t.equal((await play(agent, prompt, run)).error, lost)
    })
  })
}

for (const { name, ai, provider } of generations) {
  const failing = async (t: Test, reply: Reply) => {
    const server = await openAiServer([reply], seed)
    t.teardown(() => server.close())
    const env = { OPENAI_BASE_URL: server.baseURL, OPENAI_MODEL: 'm' }
    return play(openAiAgentFromEnv(env, { ai, provider, maxRetries: 0 })!, prompt, fakeRun())
  }
  /** Models of this generation by the base URL of their server. */
  const models: [string, (baseURL: string) => Model][] = [
    [
      'a model that reports a stream without an end',
      baseURL => provider.createOpenAICompatible({ name: 'scripted', baseURL, apiKey: API_KEY })('m'),
    ],
    [
      'a model that reports no fault',
      baseURL => new CarelessModel(`v${Number(name.slice(-1)) - 3}`, baseURL),
    ],
  ]
  const failingWith = async (t: Test, ofModel: (baseURL: string) => Model, reply: Reply) => {
    const server = await openAiServer([reply], seed)
    t.teardown(() => server.close())
    return play(aiSdkAgent({ model: ofModel(server.baseURL), ai, maxRetries: 0 }), prompt, fakeRun())
  }
  const responses: { what: string; type: string; body: string; message: RegExp; retryable: boolean }[] = [
    {
      what: 'a web page',
      type: 'text/html; charset=utf-8',
      body: `<html>${API_KEY}</html>`,
      message: /answered with a web page in place of a stream .* base URL/,
      retryable: false,
    },
    {
      what: 'JSON',
      type: 'application/json',
      body: '{"choices":[]}',
      message: /answered with JSON in place of a stream/,
      retryable: false,
    },
    {
      what: 'half of JSON',
      type: 'application/json',
      body: '{"choi',
      message: /answered with JSON in place of a stream/,
      retryable: false,
    },
    {
      what: 'JSON that is an error with a status',
      type: 'application/json',
      body: '{"error":{"message":"slow down","code":429}}',
      message: /limits the rate/,
      retryable: true,
    },
    {
      what: 'JSON that is an error of the request',
      type: 'application/problem+json',
      body: '{"error":{"message":"no such model","type":"invalid_request_error"}}',
      message: /^The model failed\.$/,
      retryable: false,
    },
  ]
  for (const { what, type, body, message, retryable } of responses) {
    t.test(
      `${name}: the agent from the environment names the fault when status 200 comes with ${what}`,
      async t => {
        const { events, error } = await failing(t, { chunks: [], headers: { 'content-type': type }, body })
        t.match(error, { name: 'RunError', code: 'model-error', message, retryable })
        t.notMatch((error as Error).message, API_KEY)
        t.same(flaws(events), [])
      },
    )
    const received = /html/.test(type) ? 'a web page' : 'JSON'
    for (const [model, ofModel] of models) {
      t.test(`${name}: ${model} names the fault when status 200 comes with ${what}`, async t => {
        const { events, error } = await failingWith(t, ofModel, {
          chunks: [],
          headers: { 'content-type': type },
          body,
        })
        t.match(error, {
          name: 'RunError',
          code: 'model-error',
          message: `The model provider answered with ${received} in place of a stream of events.`,
          retryable: false,
        })
        t.notMatch((error as Error).message, API_KEY)
        t.same(flaws(events), [])
      })
    }
  }

  for (const [model, ofModel] of models) {
    t.test(
      `${name}: ${model} is believed when it streams an answer with the content type of JSON`,
      async t => {
        const reply = { ...hello, headers: { 'content-type': 'application/json' } }
        const { events, result } = await failingWith(t, ofModel, reply)
        t.equal(textOf(events), 'Hello')
        t.equal(result?.finishReason, 'stop')
      },
    )
  }

  t.test(`${name}: a stream without any event fails as a connection that broke off`, async t => {
    const { agent } = await agentOver(t, { name, ai, provider }, [{ chunks: [] }])
    const { events, error } = await play(agent, prompt, fakeRun())
    t.match(error, { code: 'model-error', message: /connection to the model broke off/, retryable: true })
    t.same(flaws(events), [])
  })

  t.test(
    `${name}: an error that opens a stream fails the run at once, though the stream stays open`,
    async t => {
      const failed = { error: { message: 'busy', type: 'overloaded_error' } }
      const { agent } = await agentOver(t, { name, ai, provider }, [{ chunks: [failed], end: 'open' }])
      const { events, error } = await play(agent, prompt, fakeRun())
      t.match(error, { code: 'model-error', message: /provider reported an error/, retryable: true })
      t.same(flaws(events), [])
    },
  )
}

t.test('a model of another generation than the package ai fails with a message that says so', async t => {
  const [{ ai }, { provider }] = generations as [Generation, Generation]
  const { agent } = await agentOver(t, { name: 'ai 6 with a model for ai 7', ai, provider }, [])
  const { error } = await play(agent, prompt, fakeRun())
  t.match(error, {
    code: 'model-error',
    message: /does not fit the version of the package ai/,
    retryable: false,
  })
})
