/** AG-UI: events there and back, and the unmodified `HttpAgent` and TanStack AI client against a server. */
import assert from 'node:assert/strict'
import { HttpAgent } from '@ag-ui/client'
import { EventSchema } from '@ag-ui/core/schemas'
import { fetchServerSentEvents } from '@tanstack/ai-client'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { decode, newDecodeState } from '../../src/dialects/ag-ui/decode.ts'
import { encode, newEncodeState } from '../../src/dialects/ag-ui/encode.ts'
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import { cutter } from '../fixtures/cutter.ts'
import { dialectAgents, saying, someRun } from '../fixtures/dialects.ts'
import { eventually, serve, state, typesOf, type Wire } from '../fixtures/wire-server.ts'

const encoded = (events: readonly TwinrailEvent[]) => {
  const state = newEncodeState('t', 'r')
  return events.map(event => encode(state, event))
}

t.test('what is decoded says the same as the log, and every event is a valid one', async t => {
  fc.assert(
    fc.property(someRun, fc.nat(), (run, n) => {
      const state = newDecodeState()
      const all = encoded(run)
      const bodies = all.flat().flatMap(event => decode(state, JSON.parse(JSON.stringify(event))))
      assert.deepEqual(saying(bodies), saying(run))
      for (const event of all.flat()) assert.ok(EventSchema.safeParse(event).success, JSON.stringify(event))
      const cut = n % run.length
      const resumed = newEncodeState('t', 'r')
      for (const event of run.slice(0, cut)) encode(resumed, event)
      assert.deepEqual(
        run.slice(cut).map(event => encode(resumed, event)),
        all.slice(cut),
      )
    }),
    { numRuns: 200 },
  )
  t.pass('for every run that was tried')
})

const start = (t: Test) => serve(t, { agents: dialectAgents })

let ids = 0
function agentFor({ url }: Pick<Wire, 'url'>, agent: string, threadId: string, text?: string) {
  const initialMessages =
    text === undefined ? [] : [{ id: `u${++ids}`, role: 'user' as const, content: text }]
  return new HttpAgent({ url: `${url}/ag-ui/${agent}`, threadId, initialMessages })
}

const textOf = ({ messages }: HttpAgent) =>
  messages.flatMap(({ role, content }) => (role === 'assistant' && content ? [content] : [])).join('')

t.test('HttpAgent: answers, and two prompts in a row', async t => {
  const wire = await start(t)
  const agent = agentFor(wire, 'echo', 'a1', 'hello there')
  const { result } = await agent.runAgent()
  t.same(result, { words: 2 })
  t.equal(textOf(agent), 'hello there ')
  agent.addMessage({ id: 'u-next', role: 'user', content: 'again' })
  await agent.runAgent()
  t.equal(textOf(agent), 'hello there again ')
  t.equal((await state(wire.url, 'a1')).runs?.length, 2)
})

t.test('HttpAgent: approval by resume, approved and denied', async t => {
  const wire = await start(t)
  for (const approved of [true, false]) {
    const agent = agentFor(wire, 'careful', `a2-${approved}`, 'delete')
    await agent.runAgent()
    const [interrupt] = agent.pendingInterrupts
    t.match(interrupt, { reason: 'tool_approval', toolCallId: 'call-1', message: 'Delete?' })
    const resume = [
      { interruptId: interrupt?.id as string, status: 'resolved' as const, payload: { approved } },
    ]
    const runId = `continuation-${approved}`
    await agent.runAgent({ resume, runId })
    const text = `I will delete it. ${approved ? 'Done.' : 'Left alone.'}`
    t.equal(textOf(agent), text)
    t.equal((await state(wire.url, `a2-${approved}`)).runs?.length, 1, 'one run')
    await agent.runAgent({ runId })
    t.equal(textOf(agent), text, 'the same once more when it comes back')
  }
})

t.test('HttpAgent: a tool that the client runs', async t => {
  const wire = await start(t)
  const agent = agentFor(wire, 'careful', 'a3', 'delete at my location')
  await agent.runAgent()
  const [interrupt] = agent.pendingInterrupts
  await agent.runAgent({
    resume: [{ interruptId: interrupt?.id as string, status: 'resolved', payload: { approved: true } }],
  })
  t.ok(
    agent.messages.some(
      message => message.role === 'assistant' && message.toolCalls?.some(({ id }) => id === 'call-2'),
    ),
  )
  agent.addMessage({ id: 'tool-result', role: 'tool', toolCallId: 'call-2', content: '{"city":"Bern"}' })
  await agent.runAgent()
  t.match(textOf(agent), /Done\.$/)
  t.match(
    (await typesOf(wire, 'a3')).filter(type => type.startsWith('run.')),
    ['run.started', 'run.completed'],
  )
})

t.test('HttpAgent: a failed run, an unknown agent, and a cancelled run', async t => {
  const wire = await start(t)
  await t.rejects(agentFor(wire, 'nobody', 'a4', 'x').runAgent(), /404/)
  const failing = agentFor(wire, 'failing', 'a5', 'x')
  let error: unknown
  await failing
    .runAgent(
      {},
      {
        onRunErrorEvent: ({ event }) => {
          error = event
        },
      },
    )
    .catch(() => {})
  t.match(error, { message: 'the oven is too hot', code: 'too-hot' })
  const ticking = agentFor(wire, 'ticking', 'a6', 'x')
  let outcome: unknown
  const done = ticking.runAgent(
    { runId: 'R' },
    {
      onRunFinishedEvent: ({ event }) => {
        outcome = event.outcome
      },
    },
  )
  await eventually(t, 'text comes', () => textOf(ticking) !== '')
  await fetch(`${wire.url}/v1/sessions/a6/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: '1', type: 'run.cancel', runId: 'R' }),
  })
  await done
  t.same(outcome, { type: 'cancelled' })
})

t.test('HttpAgent: comes back over a stale partial, from another agent object and after the end', async t => {
  const wire = await start(t)
  const text = `slowly ${Array.from({ length: 20 }, (_, i) => i).join(' ')}`
  const first = agentFor(wire, 'echo', 'a7', text)
  const runId = 'R7'
  void first.runAgent({ runId })
  await eventually(t, 'text comes', () => textOf(first).length > 10)
  const { messages } = first
  const second = new HttpAgent({
    url: `${wire.url}/ag-ui/echo`,
    threadId: 'a7',
    initialMessages: structuredClone(messages),
  })
  first.abortRun()
  await second.runAgent({ runId })
  t.equal(textOf(second), `${text} `)
  await second.runAgent({ runId })
  t.equal(textOf(second), `${text} `)
  t.equal((await state(wire.url, 'a7')).runs?.length, 1)
})

t.test('a stopping server ends the stream with RUN_ERROR', async t => {
  const wire = await start(t)
  const agent = agentFor(wire, 'ticking', 'a8', 'x')
  let error: { code?: string | undefined } = {}
  const done = agent
    .runAgent(
      {},
      {
        onRunErrorEvent: ({ event }) => {
          error = event
        },
      },
    )
    .catch(() => {})
  await eventually(t, 'text comes', () => textOf(agent) !== '')
  await wire.server.close({ graceMs: 0 })
  await done
  t.match(error.code, /^(server_restarting|restart)$/)
})

t.test('TanStack AI: answer, resume after cuts, join, and hydration', async t => {
  const wire = await start(t)
  const proxy = await cutter(t, wire.url)
  const text = `slowly ${Array.from({ length: 30 }, (_, i) => i).join(' ')}`
  const connection = fetchServerSentEvents(`${proxy.url}/ag-ui/echo`)
  const messages = [{ id: 'u1', role: 'user' as const, parts: [{ type: 'text' as const, content: text }] }]
  const run = { threadId: 't1', runId: 'T1' }
  let said = ''
  let cuts = 0
  const types: string[] = []
  for await (const chunk of connection.connect(messages as never, undefined, undefined, run as never)) {
    types.push(chunk.type)
    if (chunk.type !== 'TEXT_MESSAGE_CONTENT') continue
    said += chunk.delta
    if (said.length > 20 * (cuts + 1) && cuts < 3) {
      cuts++
      proxy.cutAll()
    }
  }
  t.equal(said, `${text} `)
  t.equal(cuts, 3)
  t.equal(types.filter(type => type === 'RUN_STARTED').length, 1)
  t.equal(types.at(-1), 'RUN_FINISHED')
  let joined = ''
  for await (const chunk of connection.joinRun('T1')) {
    if (chunk.type === 'TEXT_MESSAGE_CONTENT') joined += chunk.delta
  }
  t.equal(joined, `${text} `)
  const hydrated = await (await fetch(`${wire.url}/ag-ui/echo?threadId=t1`)).json()
  t.match(hydrated, { activeRun: null, interrupts: null })
  t.same(
    (hydrated as { messages: { parts: { content: string }[] }[] }).messages.map(
      ({ parts }) => parts[0]?.content,
    ),
    [text, `${text} `],
  )
})
