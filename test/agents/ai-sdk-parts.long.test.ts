import type * as ai7 from 'ai'
import type * as ai6 from 'ai-v6'
import t from 'tap'
import {
  ChatInput,
  type ChatMessage,
  conversation,
  historyBounds,
} from '../../src/agents/ai-sdk/conversation.ts'
import { modelError } from '../../src/agents/ai-sdk/errors.ts'
import { ModelEvents } from '../../src/agents/ai-sdk/events.ts'
import { openAiAgentFromEnv } from '../../src/agents/ai-sdk/openai.ts'
import type { StreamPart } from '../../src/agents/ai-sdk/sdk.ts'
import { type AiSdk, aiSdkAgent, type Model, type Tools } from '../../src/agents/ai-sdk.ts'
import { safeId } from '../../src/agents/ids.ts'
import {
  type EventBody,
  ProviderId,
  parseEventBody,
  TwinrailError,
  type TwinrailEvent,
} from '../../src/protocol/index.ts'
import { generations, seed } from '../fixtures/ai-generations.ts'
import { openAiServer, says, stops } from '../fixtures/openai-server.ts'
import { fakeRun, flaws, inShort, play, textOf } from '../fixtures/run-context.ts'

t.comment(`SEED=${seed}`)

// For the compiler: what agents take and read is what both generations give.
type Read = { type: StreamPart['type'] }
export const fits = {
  models: (model: ai6.LanguageModel | ai7.LanguageModel): Model => model,
  tools: (tools: ai6.ToolSet | ai7.ToolSet): Tools => tools,
  parts6: (part: Extract<ai6.TextStreamPart<ai6.ToolSet>, Read>): StreamPart => part,
  parts7: (part: Extract<ai7.TextStreamPart<ai7.ToolSet>, Read>): StreamPart => part,
}

function eventsOf(parts: StreamPart[], runId = 'r'): EventBody[] {
  const events = new ModelEvents(runId)
  const all = [...parts.flatMap(part => events.of(part)), ...events.close()]
  return all.map(event => parseEventBody(event))
}

t.test('events', async t => {
  t.test('adds a source once', async t => {
    const events = eventsOf([
      { type: 'source', id: 's1', url: 'https://a.example/', title: 'A' },
      { type: 'source', id: 's1', url: 'https://a.example/', title: 'A' },
      { type: 'source', id: 's 2', title: undefined },
    ])
    t.same(events, [
      { type: 'source.added', data: { sourceId: 's1', title: 'A', url: 'https://a.example/' } },
      { type: 'source.added', data: { sourceId: safeId('s 2'), title: 's 2' } },
    ])
  })

  t.test('ignores parts of other types', async t => {
    const unknown = { type: 'custom', kind: 'x.y' } as unknown as StreamPart
    t.same(
      eventsOf([
        unknown,
        { type: 'text-delta', id: '0', text: 'outside of a part' },
        { type: 'tool-input-delta', id: '0', delta: '{' },
        { type: 'tool-result', toolCallId: '0', output: 1 },
      ]),
      [],
    )
  })

  t.test('ends the open parts of a step with the step, and open tools with the run', async t => {
    const events = eventsOf([
      { type: 'start-step' },
      { type: 'text-start', id: '0' },
      { type: 'reasoning-start', id: '0' },
      { type: 'tool-input-start', id: 'c', toolName: '' },
      { type: 'finish-step', finishReason: 'other', usage: {} },
      { type: 'start-step' },
      { type: 'text-start', id: '0' },
      { type: 'text-start', id: '0' },
    ])
    t.same(flaws(events), [])
    t.equal(events.filter(event => event.type === 'text.start').length, 3)
    t.match(
      events.find(event => event.type === 'tool.finished'),
      { data: { toolCallId: 'c', isError: true } },
    )
  })

  t.test('ends a tool call once and not with preliminary results', async t => {
    const events = eventsOf([
      { type: 'tool-call', toolCallId: 'c', toolName: 'n'.repeat(300), input: undefined },
      { type: 'tool-result', toolCallId: 'c', output: 'half', preliminary: true },
      { type: 'tool-result', toolCallId: 'c', output: 'whole' },
      { type: 'tool-error', toolCallId: 'c', error: new Error('late') },
    ])
    t.same(inShort(events), ['tool.started', 'tool.called:null', 'tool.finished:whole'])
  })

  t.test('keeps values out of the log that it cannot store', async t => {
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    const outputs = [undefined, 10n, circular, 'x'.repeat(2_000_000), new Date(0)]
    const events = eventsOf(
      outputs.flatMap((output, index): StreamPart[] => [
        { type: 'tool-call', toolCallId: `c${index}`, toolName: 'n', input: {} },
        { type: 'tool-result', toolCallId: `c${index}`, output },
      ]),
    )
    const logged = events.flatMap(event => (event.type === 'tool.finished' ? [event.data.output] : []))
    t.same(JSON.parse(JSON.stringify(logged)), [
      null,
      '10',
      '[object Object]',
      { omitted: '2000002 bytes of JSON' },
      '1970-01-01T00:00:00.000Z',
    ])
  })

  t.test('makes an id of any text, the same for the same text', async t => {
    for (const text of ['', 'call_1', '\n', 'r'.repeat(256), 'r'.repeat(257)]) {
      t.ok(ProviderId.safeParse(safeId(text)).success, text.slice(0, 10))
      t.equal(safeId(text), safeId(text))
    }
    const kept = ['functions.get_weather:0', 'call_abc|fc_1', 'https://example.com/a?b', 'Step 1', '☃']
    for (const text of kept) t.equal(safeId(text), text, 'an id that the protocol takes is kept')
    t.not(safeId(`${'r'.repeat(256)}:1`), safeId(`${'r'.repeat(256)}:2`))
  })
})

/** The events of a log, newest first. */
function log(...bodies: EventBody[]): () => AsyncGenerator<TwinrailEvent> {
  return async function* () {
    for (const [index, body] of [...bodies.entries()].reverse()) {
      yield { offset: `1-${index + 1}`, sessionId: 's', time: 0, ...body } as TwinrailEvent
    }
  }
}

/** An earlier run: what was asked, and what the agent said, in deltas. */
function earlier(runId: string, input: unknown, ...deltas: string[]): EventBody[] {
  const text: EventBody[] = deltas.map(delta => ({
    type: 'text.delta',
    runId,
    data: { partId: runId, delta },
  }))
  return [
    { type: 'run.started', runId, data: { agent: 'chat', input } },
    { type: 'text.start', runId, data: { partId: runId } },
    ...text,
    { type: 'text.end', runId, data: { partId: runId } },
    { type: 'run.completed', runId, data: {} },
  ]
}

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })

t.test('conversation', async t => {
  t.test('is the session’s earlier runs, then the prompt', async t => {
    const history = log(
      ...earlier('r1', { prompt: 'Hi' }, 'Hel', 'lo'),
      ...earlier('r2', { query: 'trains' }, 'They run.'),
      ...earlier('r3', { prompt: 'failed' }),
    )
    t.same(await conversation({ prompt: 'So?' }, history), [
      user('Hi'),
      assistant('Hello'),
      user('{"query":"trains"}'),
      assistant('They run.'),
      user('failed\n\nSo?'),
    ])
  })

  t.test('has the users’ messages to earlier runs, at the place where the agent read them', async t => {
    const [started, start, delta, end, completed] = earlier('r1', { prompt: 'Hi' }, 'One.')
    const more = earlier('p2', {}, 'Two.').slice(1, 4)
    const history = log(
      started!,
      start!,
      { type: 'input.steered', runId: 'r1', data: { inputId: 'i1', text: 'Go on' } },
      { type: 'input.steered', runId: 'r1', data: { inputId: 'i2', text: 'never taken up' } },
      delta!,
      end!,
      { type: 'input.applied', runId: 'r1', data: { inputId: 'i1' } },
      ...more,
      completed!,
    )
    t.same(await conversation({ prompt: 'So?' }, history), [
      user('Hi'),
      assistant('One.'),
      user('Go on'),
      assistant('Two.'),
      user('So?'),
    ])
  })

  t.test('starts a new conversation when the caller gave all messages', async t => {
    const whole = { messages: [user('A'), assistant('B'), user('C')] }
    const history = log(...earlier('r1', { prompt: 'old' }, 'old'), ...earlier('r2', whole, 'D'))
    t.same(await conversation({ prompt: 'E' }, history), [
      user('A'),
      assistant('B'),
      user('C'),
      assistant('D'),
      user('E'),
    ])
    const never = () => {
      throw new Error('the log is not read')
    }
    t.same(await conversation(ChatInput.parse(whole), never), whole.messages)
  })

  t.test('is bounded: the newest messages, beginning with the user', async t => {
    const runs = Array.from({ length: 80 }, (_, index) =>
      earlier(`r${index}`, { prompt: `q${index}` }, `a${index}`),
    )
    const messages = await conversation({ prompt: 'So?' }, log(...runs.flat()))
    t.equal(messages.length, historyBounds.messages + 1)
    t.same([messages[0], messages.at(-2)], [user('q30'), assistant('a79')])

    const long = 'x'.repeat(40_000)
    const wordy = Array.from({ length: 6 }, (_, index) =>
      earlier(`r${index}`, { prompt: `q${index}` }, long, long),
    )
    const few = await conversation({ prompt: 'So?' }, log(...wordy.flat()))
    t.same(
      few.map(({ content }) => (content as string).length),
      [2, 50_000, 2, 50_000, 2, 50_000, 3],
    )
  })

  t.test('keeps overlapping runs apart that use the same ids', async t => {
    const part = (runId: string, delta: string): EventBody => ({
      type: 'text.delta',
      runId,
      data: { partId: 'p', delta },
    })
    const start = (runId: string): EventBody => ({ type: 'text.start', runId, data: { partId: 'p' } })
    const ask = (runId: string, prompt: string): EventBody => ({
      type: 'run.started',
      runId,
      data: { agent: 'chat', input: { prompt } },
    })
    const steer = (runId: string, text: string): EventBody => ({
      type: 'input.steered',
      runId,
      data: { inputId: 'i', text },
    })
    const apply = (runId: string): EventBody => ({ type: 'input.applied', runId, data: { inputId: 'i' } })
    const history = log(
      ...[ask('r1', 'one?'), start('r1'), part('r1', 'On'), ask('r2', 'two?'), start('r2'), part('r2', 'Tw')],
      ...[
        part('r1', 'e.'),
        part('r2', 'o.'),
        steer('r1', 'left'),
        steer('r2', 'right'),
        apply('r1'),
        apply('r2'),
      ],
    )
    t.same(await conversation({ prompt: 'So?' }, history), [
      user('one?'),
      assistant('One.'),
      user('two?'),
      assistant('Two.'),
      user('left\n\nright\n\nSo?'),
    ])
  })

  t.test('gives a repeated prompt once when its first run failed without text', async t => {
    const failed = (runId: string): EventBody[] => [
      { type: 'run.started', runId, data: { agent: 'chat', input: { prompt: 'Hi' } } },
      { type: 'run.failed', runId, data: { code: 'model-error', message: 'failed', retryable: true } },
    ]
    t.same(await conversation({ prompt: 'Hi' }, log(...failed('r1'), ...failed('r2'))), [user('Hi')])
    t.same(await conversation({ prompt: 'Hello?' }, log(...failed('r1'), ...failed('r2'))), [
      user('Hi\n\nHello?'),
    ])
  })

  t.test('has earlier calls of the agent’s tools with their results, and those of no others', async t => {
    const call = (runId: string, toolName: string, output?: unknown, isError = false): EventBody[] => [
      { type: 'tool.started', runId, data: { toolCallId: 'c', toolName } },
      { type: 'tool.called', runId, data: { toolCallId: 'c', toolName, input: { city: runId } } },
      ...(output === undefined
        ? []
        : [
            {
              type: 'tool.finished',
              runId,
              data: { toolCallId: 'c', output, ...(isError && { isError }) },
            } as const,
          ]),
    ]
    const [started, start, delta, end] = earlier('Oslo', { prompt: 'Oslo?' }, 'Sunny.')
    const history = log(
      ...[started!, ...call('Oslo', 'weather', { sky: 'clear' }), start!, delta!, end!],
      ...earlier('Rome', { prompt: 'Rome?' }).slice(0, 1),
      ...[
        ...call('Rome', 'weather', 'away', true),
        ...call('Rome', 'search_corpus', 1),
        ...call('Bonn', 'weather'),
      ],
    )
    const called = (city: string) => ({
      type: 'tool-call',
      toolCallId: 'c',
      toolName: 'weather',
      input: { city },
    })
    const result = (output: object) => ({ type: 'tool-result', toolCallId: 'c', toolName: 'weather', output })
    t.same(await conversation({ prompt: 'So?' }, history, new Set(['weather'])), [
      user('Oslo?'),
      { role: 'assistant', content: [called('Oslo')] },
      { role: 'tool', content: [result({ type: 'text', value: '{"sky":"clear"}' })] },
      assistant('Sunny.'),
      user('Rome?'),
      { role: 'assistant', content: [called('Rome')] },
      { role: 'tool', content: [result({ type: 'error-text', value: 'away' })] },
      user('So?'),
    ])
  })

  t.test('stops reading when its bounds are full, and gives the end of a long text', async t => {
    let read = 0
    async function* endless(): AsyncGenerator<TwinrailEvent> {
      for (;;) {
        read++
        const data = { partId: 'p', delta: '👋x' }
        yield {
          offset: `1-${read}`,
          sessionId: 's',
          runId: 'r',
          time: 0,
          type: 'text.delta',
          data,
        } as TwinrailEvent
      }
    }
    const messages = await conversation({ prompt: 'So?' }, endless)
    t.equal(read, historyBounds.events)
    t.same(messages, [user('So?')], 'begins with the user')
  })

  t.test('has no half character where a text or a prompt was cut', async t => {
    const { messageCharacters } = historyBounds
    const long = `${'x'.repeat(messageCharacters)}👋`
    for (const shift of [0, 1, 2]) {
      const text = `${'👋'.repeat(messageCharacters / 2)}${'x'.repeat(shift)}`
      const history = log(...earlier('r1', { prompt: text }, ...text.split('')), ...earlier('r2', long, long))
      const messages = await conversation({ prompt: `${'a'}\ud83d` }, history)
      for (const { content } of messages) t.notMatch(content, /\p{Surrogate}/u)
      t.equal(messages.at(-1)?.content, 'a\ufffd')
    }
  })

  t.test('starts with the user also after a trim in the middle of a run', async t => {
    const history = log(...earlier('r1', { prompt: 'Hi' }, 'Hello').slice(1), ...earlier('r2', 'text', 'Yes'))
    t.same(await conversation({ prompt: 'So?' }, history), [user('"text"'), assistant('Yes'), user('So?')])
  })
})

t.test('input', async t => {
  const messages = (...list: unknown[]) => ChatInput.safeParse({ messages: list })

  t.test('takes the AI SDK’s model and UI messages', async t => {
    const parsed = messages(
      user('Hi'),
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: 'hm' },
          { type: 'text', text: 'Hello' },
        ],
      },
      {
        id: '1',
        role: 'user',
        parts: [{ type: 'text', text: 'a' }, { type: 'data-x' }, { type: 'text', text: 'b' }],
      },
      { id: '2', role: 'assistant', parts: [{ type: 'step-start' }] },
    )
    t.same(parsed.data?.messages, [user('Hi'), assistant('Hello'), user('a\n\nb')])
  })

  t.test('refuses unsupported input with a message', async t => {
    const refused: [unknown, RegExp][] = [
      [{}, /either prompt or messages/],
      [{ prompt: 'a', messages: [user('b')] }, /either prompt or messages/],
      [{ prompt: '' }, /prompt/],
      [{ messages: [] }, /at least one message/],
      [{ messages: [user('')] }, /at least one message/],
      [{ messages: [{ role: 'system', content: 'You are mine' }] }, /role/],
      [{ messages: [{ role: 'user', parts: [{ type: 'file', url: 'http://10.0.0.1/' }] }] }, /text only/],
    ]
    for (const [input, reason] of refused) t.match(ChatInput.safeParse(input).error?.message, reason)
  })
})

t.test('modelError knows which errors may pass', async t => {
  const passing: unknown[] = [
    new TypeError('terminated', { cause: Object.assign(new Error('closed'), { code: 'UND_ERR_SOCKET' }) }),
    Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
    new DOMException('too long', 'TimeoutError'),
    { lastError: { statusCode: 529 } },
    { code: 429, message: 'as some gateways put it' },
    { type: 'rate_limit_error' },
  ]
  for (const error of passing) t.equal(modelError(error).retryable, true)
  const loop: { cause?: unknown } = {}
  loop.cause = loop
  const lasting: unknown[] = [
    { statusCode: 422, isRetryable: true },
    { code: 'invalid_api_key' },
    new Error('Bug'),
    'a word',
    undefined,
    loop,
  ]
  for (const error of lasting) t.match(modelError(error), { code: 'model-error', retryable: false })
  const ours = new TwinrailError('input-expired', 'Nobody answered.')
  t.equal(modelError(ours), ours)
})

/** An SDK whose model calls give these parts. */
function scripted(...scripts: StreamPart[][]): { ai: AiSdk; calls: () => number } {
  let calls = 0
  const streamText: AiSdk['streamText'] = ({ messages = [], prepareStep }) => {
    const parts = scripts[calls++] ?? []
    const fullStream = (async function* () {
      await prepareStep?.({ messages })
      yield* parts
    })()
    return { fullStream, response: Promise.resolve({ messages: [] }) }
  }
  return { ai: { streamText }, calls: () => calls }
}

t.test('tools that are not run here', async t => {
  const call: StreamPart = {
    type: 'tool-call',
    toolCallId: 'c',
    toolName: 'search',
    input: {},
    providerExecuted: true,
  }
  const result: StreamPart = { type: 'tool-result', toolCallId: 'c', output: 'found' }
  const end = (finishReason: string): StreamPart => ({ type: 'finish-step', finishReason, usage: {} })
  const search = { type: 'provider' }
  const cases: [string, object, StreamPart[][], unknown][] = [
    ['a provider’s tool with its result in the same call', search, [[call, result, end('stop')]], 'found'],
    [
      'a provider’s tool whose result comes with a later call',
      { ...search, supportsDeferredResults: true },
      [
        [call, end('tool-calls')],
        [result, end('stop')],
      ],
      'found',
    ],
    ['a provider’s tool that never gives a result', search, [[call, end('stop')]], /ended before/],
    [
      'a tool that the SDK did not run since the answer was cut off',
      { execute: () => t.fail('run') },
      [[{ ...call, providerExecuted: false }, end('length')]],
      /ended before/,
    ],
    [
      'a name that every object has',
      {},
      [[{ ...call, providerExecuted: false, toolName: 'constructor' }, end('stop')]],
      /ended before/,
    ],
  ]
  for (const [what, tool, scripts, output] of cases) {
    t.test(what, async t => {
      const { ai, calls } = scripted(...scripts)
      const run = fakeRun()
      const agent = aiSdkAgent({ model: 'any/model', ai, tools: { search: tool } })
      const { events, error } = await play(agent, { prompt: 'Hi' }, run)
      t.notOk(error)
      t.equal(calls(), scripts.length)
      t.same(run.asked, [])
      t.match(
        events.filter(event => event.type === 'tool.finished'),
        [{ data: { output } }],
      )
      t.same(flaws(events), [])
    })
  }
})

t.test('openAiAgentFromEnv', async t => {
  t.test('makes no agent unless something is set', async t => {
    t.equal(openAiAgentFromEnv({}), undefined)
    t.equal(openAiAgentFromEnv({ OPENAI_MODEL: 'm', OPENAI_API_KEY: '' }), undefined)
  })

  t.test('names the missing setting', async t => {
    t.throws(() => openAiAgentFromEnv({ OPENAI_API_KEY: 'sk-1' }), /OPENAI_API_KEY is set.*OPENAI_MODEL/)
    t.throws(
      () => openAiAgentFromEnv({ OPENAI_BASE_URL: 'http://x/v1', OPENAI_MODEL: '' }),
      /OPENAI_BASE_URL is set/,
    )
  })

  const defaults = { name: 'the packages that are installed' }
  for (const { name, ...modules } of [...generations, defaults]) {
    t.test(`chats with the server that is set, over ${name}`, async t => {
      const replies = [says('Hello'), says('Again')].map(words => ({ chunks: [...words, ...stops()] }))
      const server = await openAiServer(replies, seed)
      t.teardown(() => server.close())
      const env = { OPENAI_BASE_URL: server.baseURL, OPENAI_MODEL: 'tiny' }
      const keyless = openAiAgentFromEnv(env, modules)!
      t.match(keyless, { name: 'chat', description: 'Chats with tiny.' })
      const { events, result } = await play(keyless, { prompt: 'Hi' }, fakeRun())
      t.equal(textOf(events), 'Hello')
      t.match(result, { usage: { totalTokens: 15 } })
      t.match(server.requests[0]?.body, {
        model: 'tiny',
        stream: true,
        stream_options: { include_usage: true },
      })
      t.notOk(server.requests[0]?.headers.authorization)

      const keyed = openAiAgentFromEnv({ ...env, OPENAI_API_KEY: 'sk-1' }, { ...modules, name: 'gpt' })!
      t.equal(keyed.name, 'gpt')
      await play(keyed, { prompt: 'Hi' }, fakeRun())
      t.equal(server.requests[1]?.headers.authorization, 'Bearer sk-1')
    })
  }
})
