/** Foreign clients start an agent by the fields that it declares, be it inside the server or in a worker. */
import t from 'tap'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { createWorker, defineAgent } from '../../client/worker/index.ts'
import { logged, parse, serve, type Wire } from '../fixtures/wire-server.ts'
import { work } from './stage.ts'

const asking = (name: string) =>
  defineAgent({
    name,
    description: 'Takes a text, beside other fields.',
    input: z.object({ topic: z.string(), depth: z.int().default(1), tone: z.string().default('plain') }),
    chat: { text: 'topic' },
    async *run() {},
  })

const remembering = (name: string) =>
  defineAgent({
    name,
    description: 'Takes a conversation and its last text.',
    input: z.object({
      history: z.array(z.object({ role: z.string(), content: z.string() })),
      last: z.string(),
    }),
    chat: { messages: 'history', text: 'last' },
    async *run() {},
  })

const message = (role: string, text: string) => ({ id: text, role, parts: [{ type: 'text', text }] })

const send = ({ url }: Wire, agent: string, id: string, messages: object[]) =>
  fetch(`${url}/ai-sdk/${agent}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id, messages }),
  })

/** Sends a chat as `useChat` does; gives the data of `run.started`. */
async function chat(wire: Wire, agent: string, texts: string[]) {
  const messages = texts.map((text, i) => message(i % 2 ? 'assistant' : 'user', text))
  const response = await send(wire, agent, agent, messages)
  const { status } = response
  await response.text()
  const [started] = status === 200 ? (await logged(wire, agent)).map(parse) : []
  return { status, data: started?.data }
}

t.test('the last text, or the conversation, goes into the declared fields', async t => {
  const wire = await serve(t, { agents: [asking('inside-text'), remembering('inside-messages')] as never })
  await work(t, wire.url, { agents: [asking('worker-text'), remembering('worker-messages')], slots: 5 })
  for (const place of ['inside', 'worker']) {
    t.match(
      await chat(wire, `${place}-text`, ['one', 'two', 'three']),
      { status: 200, data: { input: { topic: 'three' }, inputText: 'three' } },
      place,
    )
    const history = [
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'two' },
      { role: 'user', content: 'three' },
    ]
    t.match(
      await chat(wire, `${place}-messages`, ['one', 'two', 'three']),
      { status: 200, data: { input: { history, last: 'three' }, inputText: 'three' } },
      place,
    )
  }
})

t.test('a chat without a text of the user is refused by the schema of the input', async t => {
  const wire = await serve(t)
  await work(t, wire.url, { agents: [asking('worker-text')] })
  const { status } = await send(wire, 'worker-text', 'c', [message('user', '')])
  t.equal(status, 400)
})

t.test('a function that would have to be sent is refused', async t => {
  const options = { url: 'http://127.0.0.1:1', WebSocket }
  const agent = { ...asking('a'), fromMessages: () => ({ topic: 'x' }) }
  const { chat: _, ...undeclared } = agent
  t.throws(() => createWorker({ ...options, agents: [undeclared] }), {
    name: 'TypeError',
    message: /agent a: inputText and fromMessages are functions.*chat: \{ text: 'query' \}/,
  })
  const worker = createWorker({ ...options, agents: [agent], onError: () => {} })
  await worker.stop({ graceMs: 0 })
})
