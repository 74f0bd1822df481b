import t from 'tap'
import { z } from 'zod'
import { limits } from '../../src/protocol/index.ts'
import { agentOver, generations, seed } from '../fixtures/ai-generations.ts'
import { calls, type Reply, says, stops, thinks } from '../fixtures/openai-server.ts'
import { type FakeRun, fakeRun, flaws, inShort, play, textOf } from '../fixtures/run-context.ts'

t.comment(`SEED=${seed}`)

const oslo: Reply = {
  chunks: [...calls(0, 'call_1', 'weather', '{"ci', 'ty":"Os', 'lo"}'), ...stops('tool_calls')],
}
const sunny: Reply = { chunks: [...says('Sunny', '.'), ...stops()] }
const weather = {
  description: 'The weather in a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }: { city: string }) => ({ city, sky: 'clear' }),
}
const guarded = { ...weather, needsApproval: true }
const { execute: _, ...forClients } = weather

/** What a run says of one step that calls the tool for Oslo. */
const callsOslo = [
  'step.started',
  'tool.started',
  'tool.delta:{"ci',
  'tool.delta:ty":"Os',
  'tool.delta:lo"}',
  'tool.called:{"city":"Oslo"}',
]
const saysSunny = [
  'step.started',
  'text.start',
  'text.delta:Sunny',
  'text.delta:.',
  'text.end',
  'step.finished',
]
const clear = '{"city":"Oslo","sky":"clear"}'

/** Says something into the run at its first event of a type. */
function sayAt(run: FakeRun, type: string, text: string) {
  let done = false
  return (event: { type: string }) => {
    if (done || event.type !== type) return
    done = true
    run.said.push(text)
  }
}

for (const generation of generations) {
  t.test(generation.name, async t => {
    t.test('streams reasoning and text as parts, and counts tokens', async t => {
      const { agent, server } = await agentOver(
        t,
        generation,
        [{ chunks: [...thinks('Well', ', well'), ...says('', 'Hi ', '', 'Ann 👋'), ...stops()] }],
        { system: 'Be kind.', settings: { temperature: 0.5 } },
      )
      const { events, result } = await play(agent, { prompt: 'Hello' }, fakeRun())
      t.same(inShort(events), [
        'step.started',
        'reasoning.start',
        'reasoning.delta:Well',
        'reasoning.delta:, well',
        'reasoning.end',
        'text.start',
        'text.delta:Hi ',
        'text.delta:Ann 👋',
        'text.end',
        'step.finished',
      ])
      t.same(flaws(events), [])
      t.match(result, { finishReason: 'stop', usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15 } })
      t.match(server.requests[0]?.body, {
        model: 'm',
        temperature: 0.5,
        messages: [
          { role: 'system', content: 'Be kind.' },
          { role: 'user', content: 'Hello' },
        ],
      })
      t.notOk(server.requests[0]?.body['tools'])
    })

    t.test('gives the same text for any split of the bytes', async t => {
      const texts = ['Grüße ', '👩‍👩‍👧 ', 'line\nbreak ', 'data: {"no":1}\n\n', '日本語']
      const reply = { chunks: [...says(...texts), ...stops()] }
      for (let times = 0; times < 5; times++) {
        const { agent } = await agentOver(t, generation, [reply])
        const { events } = await play(agent, { prompt: 'Hello' }, fakeRun())
        t.equal(textOf(events), texts.join(''))
        t.same(flaws(events), [])
      }
    })

    t.test('runs a tool and calls the model again with its result', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], { tools: { weather } })
      const { events, result } = await play(agent, { prompt: 'Oslo?' }, fakeRun())
      t.same(inShort(events), [...callsOslo, `tool.finished:${clear}`, 'step.finished', ...saysSunny])
      t.same(flaws(events), [])
      t.match(
        events.filter(event => event.type.startsWith('tool.')),
        [...Array(6)].map(() => ({ data: { toolCallId: 'call_1' } })),
      )
      t.match(result, { finishReason: 'stop', usage: { inputTokens: 20, outputTokens: 10, totalTokens: 30 } })
      t.match(server.requests[1]?.body.messages, [
        { role: 'user' },
        { role: 'assistant', tool_calls: [{ id: 'call_1' }] },
        { role: 'tool', tool_call_id: 'call_1', content: clear },
      ])
    })

    t.test('distinguishes calls when the server restarts their numbers in each response', async t => {
      const { agent } = await agentOver(t, generation, [oslo, oslo, sunny], { tools: { weather } })
      const { events } = await play(agent, { prompt: 'Oslo?' }, fakeRun())
      t.equal(events.filter(event => event.type === 'tool.finished').length, 2)
      t.same(flaws(events), [])
    })

    t.test(
      'ends with finish reason length when the output limit is reached in the middle of a tool call',
      async t => {
        const cut: Reply = { chunks: [...calls(0, 'c', 'weather', '{"ci'), ...stops('length')] }
        const { agent, server } = await agentOver(t, generation, Array(20).fill(cut), { tools: { weather } })
        const { events, result } = await play(agent, { prompt: 'Oslo?' }, fakeRun())
        t.equal(server.requests.length, 1)
        t.equal(result?.finishReason, 'length')
        t.match(
          events.find(({ type }) => type === 'tool.finished'),
          { data: { isError: true } },
        )
        t.same(flaws(events), [])
      },
    )

    t.test('splits a chunk of the model that is larger than an event may be', async t => {
      const text = '\u0001👋'.repeat(250_000)
      const { agent } = await agentOver(t, generation, [
        { chunks: [...thinks(text), ...says(text), ...stops()], whole: true },
      ])
      const { events, result, error } = await play(agent, { prompt: 'Hello' }, fakeRun())
      t.equal(error, undefined)
      t.equal(result?.finishReason, 'stop')
      t.ok(textOf(events) === text, 'the text is whole')
      for (const event of events) t.ok(Buffer.byteLength(JSON.stringify(event)) < limits.eventBytes)
      t.same(flaws(events), [])
    })

    t.test('joins a character that the model sends in two halves, and never logs half of one', async t => {
      const halves = ['a\ud83d', '\udc4bb', '\udc4b', 'c\ud83d']
      const input = ['{"city":"\ud83d', '\udc4b"}']
      const { agent, server } = await agentOver(
        t,
        generation,
        [
          { chunks: [...says(...halves), ...calls(0, 'c', 'weather', ...input), ...stops('tool_calls')] },
          sunny,
        ],
        { tools: { weather } },
      )
      const { events } = await play(agent, { prompt: 'Hello' }, fakeRun())
      t.equal(textOf(events), 'a👋b\ufffdc\ufffdSunny.')
      const deltas = events.flatMap(event => (event.type === 'tool.delta' ? [event.data.delta] : []))
      t.equal(deltas.join(''), '{"city":"👋"}')
      for (const event of events) t.notMatch(JSON.stringify(event), /\\ud[89a-f]/)
      t.notMatch(JSON.stringify(server.requests[1]?.body), /\\ud[89a-f]/)
      t.same(flaws(events), [])
    })

    t.test('logs a tool that throws as an error, and the model continues', async t => {
      const failing = { ...weather, execute: () => Promise.reject(new Error('no such city')) }
      const { agent } = await agentOver(t, generation, [oslo, sunny], { tools: { weather: failing } })
      const { events } = await play(agent, { prompt: 'Oslo?' }, fakeRun())
      t.match(
        events.find(event => event.type === 'tool.finished'),
        { data: { toolCallId: 'call_1', output: 'no such city', isError: true } },
      )
      t.equal(textOf(events), 'Sunny.')
      t.same(flaws(events), [])
    })

    t.test('tells the model when it calls a tool that does not exist', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], { tools: { other: weather } })
      const { events } = await play(agent, { prompt: 'Oslo?' }, fakeRun())
      t.match(
        events.find(event => event.type === 'tool.finished'),
        { data: { output: /weather/, isError: true } },
      )
      t.equal(server.requests.length, 2)
      t.same(flaws(events), [])
    })

    t.test('asks before a tool that needs approval, then runs it in the same run', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], { tools: { weather: guarded } })
      const run = fakeRun({ answer: () => ({ approved: true }) })
      const { events, result } = await play(agent, { prompt: 'Oslo?' }, run)
      t.match(run.asked, [
        {
          kind: 'approval',
          toolCallId: 'call_1',
          message: 'Allow weather?',
          schema: { type: 'object', required: ['approved'] },
        },
      ])
      t.same(inShort(events), [...callsOslo, 'step.finished', `tool.finished:${clear}`, ...saysSunny])
      t.same(flaws(events), [])
      t.equal(result?.finishReason, 'stop')
      t.match(server.requests[1]?.body.messages.at(-1), { role: 'tool', content: clear })
    })

    t.test('continues without a tool that was denied, and gives the reason', async t => {
      let runs = 0
      const counted = { ...guarded, execute: async () => ++runs }
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], { tools: { weather: counted } })
      const run = fakeRun({ answer: () => ({ approved: false, reason: 'too far' }) })
      const { events } = await play(agent, { prompt: 'Oslo?' }, run)
      t.match(
        events.find(event => event.type === 'tool.finished'),
        { data: { toolCallId: 'call_1', output: 'Denied: too far', isError: true } },
      )
      t.equal(runs, 0)
      t.equal(textOf(events), 'Sunny.')
      t.same(flaws(events), [])
      t.match(server.requests[1]?.body.messages.at(-1), { role: 'tool', content: /too far/ })
    })

    t.test('asks for all calls of a step at once, while tools without approval run', async t => {
      const three = [
        ...calls(0, 'a', 'send', '{"city":"A"}'),
        ...calls(1, 'b', 'weather', '{"city":"B"}'),
        ...calls(2, 'c', 'send', '{"city":"C"}'),
      ]
      const { agent, server } = await agentOver(
        t,
        generation,
        [{ chunks: [...three, ...stops('tool_calls')] }, sunny],
        { tools: { send: guarded, weather } },
      )
      let allAsked = () => {}
      const all = new Promise<void>(resolve => {
        allAsked = resolve
      })
      const run = fakeRun({
        answer: async ({ toolCallId }) => {
          if (run.asked.length === 2) allAsked()
          await all
          return { approved: toolCallId === 'c' }
        },
      })
      const { events } = await play(agent, { prompt: 'Go' }, run)
      t.same(
        run.asked.map(({ toolCallId }) => toolCallId),
        ['a', 'c'],
      )
      const finished = events.flatMap(event => (event.type === 'tool.finished' ? [event.data] : []))
      t.match(Object.fromEntries(finished.map(({ toolCallId, isError }) => [toolCallId, isError ?? false])), {
        a: true,
        b: false,
        c: false,
      })
      t.same(flaws(events), [])
      t.equal(server.requests[1]?.body.messages.filter(({ role }) => role === 'tool').length, 3)
    })

    t.test('has clients run a tool without execute', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], {
        tools: { weather: forClients },
      })
      const run = fakeRun({ answer: () => ({ sky: 'grey' }) })
      const { events } = await play(agent, { prompt: 'Oslo?' }, run)
      t.match(run.asked, [{ kind: 'tool', toolCallId: 'call_1' }])
      t.same(inShort(events), [...callsOslo, 'step.finished', 'tool.finished:{"sky":"grey"}', ...saysSunny])
      t.match(server.requests[1]?.body.messages.at(-1), { role: 'tool', content: '{"sky":"grey"}' })
    })

    t.test('has clients run a tool that needs approval too', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], {
        tools: { weather: { ...forClients, needsApproval: true } },
      })
      const run = fakeRun({ answer: ({ kind }) => (kind === 'tool' ? 'rain' : { approved: true }) })
      const { events } = await play(agent, { prompt: 'Oslo?' }, run)
      t.same(
        run.asked.map(({ kind }) => kind),
        ['approval', 'tool'],
      )
      t.same(flaws(events), [])
      t.match(server.requests[1]?.body.messages.at(-1), { role: 'tool', content: '"rain"' })
    })

    t.test('gives the model the users’ messages after the results of tools', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], { tools: { weather } })
      const run = fakeRun()
      await play(agent, { prompt: 'Oslo?' }, run, sayAt(run, 'tool.called', 'In Celsius'))
      t.match(server.requests[1]?.body.messages.slice(1), [
        { role: 'assistant' },
        { role: 'tool' },
        { role: 'user', content: 'In Celsius' },
      ])
      t.equal(server.requests.length, 2)
    })

    t.test(
      'gives the model messages that were sent during an approval after the result of the tool',
      async t => {
        const more = { chunks: [...says('Done'), ...stops()] }
        const { agent, server } = await agentOver(t, generation, [oslo, oslo, sunny, more], {
          tools: { weather: guarded },
        })
        const run = fakeRun({
          answer: () => {
            run.said.push('In Celsius')
            return { approved: true }
          },
        })
        const { events } = await play(agent, { prompt: 'Oslo?' }, run)
        t.same(flaws(events), [])
        const roles = ['user', 'assistant', 'tool', 'user', 'assistant', 'tool', 'user']
        t.same(
          server.requests[2]?.body.messages.map(({ role }) => role),
          roles,
        )
      },
    )

    t.test('takes another turn when users send a message during the last one', async t => {
      const { agent, server } = await agentOver(t, generation, [
        sunny,
        { chunks: [...says('Bye'), ...stops()] },
      ])
      const run = fakeRun()
      const { events, result } = await play(agent, { prompt: 'Oslo?' }, run, sayAt(run, 'text.end', 'Thanks'))
      t.match(server.requests[1]?.body.messages, [
        { role: 'user', content: 'Oslo?' },
        { role: 'assistant', content: 'Sunny.' },
        { role: 'user', content: 'Thanks' },
      ])
      t.equal(textOf(events), 'Sunny.Bye')
      t.equal(result?.finishReason, 'stop')
      t.same(flaws(events), [])
    })

    t.test('stops after maxSteps model calls with all parts, tools and steps ended', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, oslo, oslo], {
        tools: { weather },
        maxSteps: 2,
        settings: { stopWhen: () => false },
      })
      const { events, result } = await play(agent, { prompt: 'Oslo?' }, fakeRun())
      t.equal(server.requests.length, 2)
      t.equal(result?.finishReason, 'tool-calls')
      t.same(flaws(events), [])
    })

    t.test('ends a tool call whose question is closed', async t => {
      const { agent, server } = await agentOver(t, generation, [oslo], {
        tools: { weather: guarded },
        maxSteps: 1,
      })
      const run = fakeRun()
      const { events } = await play(agent, { prompt: 'Oslo?' }, run)
      t.same(run.asked, [])
      t.equal(server.requests.length, 1)
      t.match(events.at(-1), { type: 'tool.finished', data: { isError: true } })
      t.same(flaws(events), [])
    })

    t.test('keeps ids within the protocol in a run with the longest id', async t => {
      const odd = { chunks: [...calls(0, '☃ odd id', 'weather', '{"city":"Oslo"}'), ...stops('tool_calls')] }
      const { agent } = await agentOver(t, generation, [odd, sunny], { tools: { weather } })
      const { events, error } = await play(agent, { prompt: 'Oslo?' }, fakeRun({ runId: 'r'.repeat(128) }))
      t.notOk(error)
      t.same(flaws(events), [])
      t.equal(textOf(events), 'Sunny.')
    })
  })
}

t.test('ai 7 alone: the developer’s own rule of approval', async t => {
  const generation = generations[1]!

  t.test('gives its reason to the users that it asks', async t => {
    const toolApproval = { weather: { type: 'user-approval', reason: 'It costs money' } }
    const { agent } = await agentOver(t, generation, [oslo, sunny], {
      tools: { weather },
      settings: { toolApproval },
    })
    const run = fakeRun({ answer: () => ({ approved: true }) })
    const { events } = await play(agent, { prompt: 'Oslo?' }, run)
    t.match(run.asked, [{ message: 'It costs money' }])
    t.equal(textOf(events), 'Sunny.')
  })

  for (const rule of ['approved', 'denied']) {
    t.test(`asks no user where the call is ${rule}`, async t => {
      const { agent, server } = await agentOver(t, generation, [oslo, sunny], {
        tools: { weather },
        settings: { toolApproval: { weather: rule } },
      })
      const run = fakeRun()
      const { events, result } = await play(agent, { prompt: 'Oslo?' }, run)
      t.same(run.asked, [])
      t.match(
        events.filter(event => event.type === 'tool.finished'),
        [{ data: { output: rule === 'denied' ? 'Denied.' : { sky: 'clear' } } }],
      )
      t.equal(textOf(events), 'Sunny.')
      t.equal(result?.finishReason, 'stop')
      t.same(flaws(events), [])
      t.equal(server.requests[1]?.body.messages.filter(({ role }) => role === 'tool').length, 1)
    })
  }
})
