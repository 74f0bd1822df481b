/** OpenAI: events there and back, and the unmodified `openai` client against a server. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { decode, newDecodeState } from '../../src/dialects/openai/decode.ts'
import { encode, newEncodeState, type ResponseEvent } from '../../src/dialects/openai/encode.ts'
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import { cutter } from '../fixtures/cutter.ts'
import { dialectAgents, saying, someRun } from '../fixtures/dialects.ts'
import { eventually, serve, state, type Wire } from '../fixtures/wire-server.ts'

const names = { id: 'resp_1', model: 'm', sessionId: 's', runId: 'r', isExtended: true }
const copied = (events: ResponseEvent[]) => JSON.parse(JSON.stringify(events)) as ResponseEvent[]

/** A response tells of steps by their starts only, and of a call once it has its result. */
const inOrder = (said: unknown[]) => said.map(one => JSON.stringify(one)).sort()

t.test('what is decoded says the same as the log', async t => {
  fc.assert(
    fc.property(someRun, fc.nat(), (run: TwinrailEvent[], n) => {
      const state = newEncodeState(names)
      const all = run.map(event => copied(encode(state, event)))
      const back = newDecodeState()
      const bodies = all.flat().flatMap(event => decode(back, event))
      assert.deepEqual(inOrder(saying(bodies)), inOrder(saying(run)))
      assert.deepEqual(
        all.flat().map(event => event['sequence_number']),
        all.flat().map((_, i) => i),
      )
      const cut = n % run.length
      const resumed = newEncodeState(names)
      for (const event of run.slice(0, cut)) encode(resumed, event)
      assert.deepEqual(
        run.slice(cut).map(event => copied(encode(resumed, event))),
        all.slice(cut),
      )
    }),
    { numRuns: 200 },
  )
  t.pass('for every run that was tried')
})

const start = (t: Test) => serve(t, { agents: dialectAgents })
const clientOf = ({ url }: Pick<Wire, 'url'>) =>
  new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: 'none', maxRetries: 0 })

t.test('models are the agents', async t => {
  const client = clientOf(await start(t))
  const ids: string[] = []
  for await (const { id } of await client.models.list()) ids.push(id)
  t.ok(ids.includes('echo') && ids.includes('careful'))
  t.equal((await client.models.retrieve('echo')).id, 'echo')
  await t.rejects(client.models.retrieve('nobody'), { status: 404, code: 'agent-not-found' })
})

t.test('responses: whole, as a stream, and a second one after it', async t => {
  const wire = await start(t)
  const client = clientOf(wire)
  const first = await client.responses.create({ model: 'echo', input: 'hello there' })
  t.equal(first.output_text, 'hello there ')
  t.equal(first.status, 'completed')
  t.equal(first.usage?.input_tokens, 1)
  t.same(
    first.output.map(({ type }) => type),
    ['reasoning', 'message'],
  )
  const stream = client.responses.stream({ model: 'echo', input: 'again', previous_response_id: first.id })
  let text = ''
  stream.on('response.output_text.delta', ({ delta }) => {
    text += delta
  })
  t.equal((await stream.finalResponse()).output_text, 'again ')
  t.equal(text, 'again ')
  const { sessionId = '' } = first.metadata ?? {}
  t.equal((await state(wire.url, sessionId)).runs?.length, 2, 'two runs of one session')
  t.equal((await client.responses.retrieve(first.id)).output_text, 'hello there ')
  const given = await client.responses.create({ model: 'echo', metadata: { input: '{"query":"as it is"}' } })
  t.equal(given.output_text, 'as it is ')
})

t.test('responses: approval, and a tool of the client', async t => {
  const client = clientOf(await start(t))
  const first = await client.responses.create({ model: 'careful', input: 'delete at my location' })
  const request = first.output.find(({ type }) => type === 'mcp_approval_request')
  t.match(request, { name: 'deleteFile', arguments: '{"path":"a"}' })
  const second = await client.responses.create({
    model: 'careful',
    previous_response_id: first.id,
    input: [{ type: 'mcp_approval_response', approval_request_id: request?.id as string, approve: true }],
  })
  t.match(
    second.output.find(({ type }) => type === 'mcp_call'),
    { name: 'deleteFile', output: '{"deleted":"a"}' },
  )
  const call = second.output.find(({ type }) => type === 'function_call') as { call_id: string; name: string }
  t.equal(call.name, 'getLocation')
  const third = await client.responses.create({
    model: 'careful',
    previous_response_id: second.id,
    input: [{ type: 'function_call_output', call_id: call.call_id, output: '{"city":"Bern"}' }],
  })
  t.equal(third.output_text, 'Done.')
  t.equal(
    (await client.responses.retrieve(first.id)).output_text,
    'I will delete it. ',
    'each has its own part',
  )
  t.equal((await client.responses.retrieve(second.id)).output_text, '')
})

t.test('responses: failed, cancelled in the background, unknown', async t => {
  const wire = await start(t)
  const client = clientOf(wire)
  const failed = await client.responses.create({ model: 'failing', input: 'x' })
  t.match(failed, { status: 'failed', error: { message: 'the oven is too hot' }, output_text: 'I begin' })
  const background = await client.responses.create({ model: 'ticking', input: 'x', background: true })
  t.equal(background.status, 'in_progress')
  await eventually(
    t,
    'it goes on',
    async () => (await client.responses.retrieve(background.id)).output.length > 0,
  )
  t.equal((await client.responses.cancel(background.id)).status, 'cancelled')
  // Python's client sends the type of a body, and none.
  const again = await fetch(`${wire.url}/openai/v1/responses/${background.id}/cancel`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  t.equal(again.status, 200)
  await t.rejects(client.responses.create({ model: 'nobody', input: 'x' }), /404/)
  await t.rejects(client.responses.retrieve('resp_nothing'), /404/)
})

t.test('responses: resumed after cuts by starting_after', async t => {
  const wire = await start(t)
  const proxy = await cutter(t, wire.url)
  const client = clientOf(proxy)
  const input = `slowly ${Array.from({ length: 40 }, (_, i) => i).join(' ')}`
  let events = await client.responses.create({ model: 'echo', input, background: true, stream: true })
  let id = ''
  let last = -1
  let text = ''
  let cuts = 0
  for (let ended = false; !ended; ) {
    try {
      for await (const event of events) {
        t.equal(event.sequence_number, last + 1)
        last = event.sequence_number
        if (event.type === 'response.created') id = event.response.id
        if (event.type === 'response.output_text.delta') text += event.delta
        if (event.type === 'response.completed') ended = true
        if (text.length > 25 * (cuts + 1) && cuts < 3) {
          cuts++
          proxy.cutAll()
        }
      }
    } catch {
      // Cut.
    }
    if (!ended) events = await client.responses.retrieve(id, { stream: true, starting_after: last })
  }
  t.equal(text, `${input} `)
  t.equal(cuts, 3)
})

t.test('chat completions: whole, as a stream, tools, and errors', async t => {
  const client = clientOf(await start(t))
  const messages = [{ role: 'user' as const, content: 'hello there' }]
  const whole = await client.chat.completions.create({ model: 'echo', messages })
  t.match(whole.choices[0], { message: { content: 'hello there ' }, finish_reason: 'stop' })
  t.equal(whole.usage?.prompt_tokens, 1)
  let text = ''
  const stream = await client.chat.completions.create({
    model: 'echo',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  })
  let usage: unknown
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }
  t.equal(text, 'hello there ')
  t.match(usage, { prompt_tokens: 1 })
  await t.rejects(client.chat.completions.create({ model: 'failing', messages }), { code: 'too-hot' })
  await t.rejects(
    (async () => {
      for await (const _ of await client.chat.completions.create({
        model: 'failing',
        messages,
        stream: true,
      }))
        void _
    })(),
    { message: 'the oven is too hot' },
  )
})

t.test('chat completions: a tool of the client', async t => {
  const wire = await start(t)
  const client = clientOf(wire)
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'delete at my location' }]
  const asked = client.chat.completions.create({
    model: 'careful',
    messages,
    metadata: { conversation: 'cc' },
  })
  await eventually(t, 'it waits for approval', async () => {
    const { pendingInputs = [] } = await state(wire.url, 'cc')
    const [question] = pendingInputs
    if (!question) return false
    await fetch(`${wire.url}/v1/sessions/cc/commands`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        id: '1',
        type: 'input.answer',
        requestId: question.requestId,
        value: { approved: true },
      }),
    })
    return true
  })
  const message = (await asked).choices[0]?.message
  const [call] = message?.tool_calls ?? []
  t.match(call, { type: 'function', function: { name: 'getLocation' } })
  if (!message || !call) return
  messages.push(message, { role: 'tool', tool_call_id: call.id, content: '{"city":"Bern"}' })
  const last = await client.chat.completions.create({ model: 'careful', messages })
  t.equal(last.choices[0]?.message.content, 'Done.')
})
