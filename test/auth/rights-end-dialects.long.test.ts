/** Rights that end while the response of a dialect is open: on every route that streams, on another node. */
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { defineAgent } from '../../src/agents/agent.ts'
import type { Authorize } from '../../src/auth/authorize.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { command, eventually } from '../fixtures/wire-server.ts'
import { nodes } from './stage.ts'

/** Says `first`, and then what it is told. */
const saying = defineAgent({
  name: 'saying',
  description: 'Says what it is told',
  input: z.object({ query: z.string() }),
  async *run(_, { steering }) {
    yield { type: 'text.delta', data: { partId: 'p', delta: 'first' } }
    for await (const { text } of steering) yield { type: 'text.delta', data: { partId: 'p', delta: text } }
  },
})

const ann = { 'x-user': 'ann' }
const bob = { 'x-user': 'bob' }

/** A response that is open. */
interface Open {
  /** What has arrived. */
  text(): string
  /** Resolves when it is over. */
  readonly over: Promise<unknown>
}

function streamOf(t: Test, response: Response): Open {
  let text = ''
  const decoder = new TextDecoder()
  const read = async () => {
    for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>)
      text += decoder.decode(bytes)
  }
  const over = read().catch(() => {})
  t.equal(response.status, 200)
  return { text: () => text, over }
}

/** How each route is asked for the run of a session of this id. */
type Ask = (t: Test, url: string, id: string) => Promise<Open>

const posts =
  (path: string, body: (id: string) => object): Ask =>
  async (t, url, id) =>
    streamOf(
      t,
      await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { ...ann, 'content-type': 'application/json' },
        body: JSON.stringify(body(id)),
      }),
    )

const chat = (id: string) => ({
  id,
  messages: [{ id: `m-${id}`, role: 'user', parts: [{ type: 'text', text: 'go' }] }],
})

/** Asks for the run once, leaves, and comes back by a GET. */
const resumes =
  (first: Ask, path: (id: string) => string): Ask =>
  async (t, url, id) => {
    const opened = await first(t, url, id)
    await eventually(t, 'the run has begun', () => opened.text().includes('first'))
    return streamOf(t, await fetch(`${url}${path(id)}`, { headers: ann }))
  }

const aiSdk = posts('/ai-sdk/saying', chat)
const agUi = posts('/ag-ui/saying', id => ({
  threadId: id,
  runId: `r-${id}`,
  messages: [{ id: 'm', role: 'user', content: 'go' }],
}))
const response = (stream: boolean) => (id: string) => ({
  model: 'saying',
  input: 'go',
  stream,
  conversation: id,
})

const asks: Record<string, Ask> = {
  'ai-sdk': aiSdk,
  'ai-sdk, resumed': resumes(aiSdk, id => `/ai-sdk/saying/${id}/stream`),
  'ai-sdk, WebSocket': async (t, url, id) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ai-sdk/saying/ws`, { headers: ann })
    t.teardown(() => socket.terminate())
    let text = ''
    const over = new Promise(resolve => {
      socket.on('message', data => {
        text += data
        if (String(data).includes('"type":"end"')) resolve(undefined)
      })
      // Without valid credentials the whole connection is closed, and its reason says why.
      socket.once('close', (_code, reason) => {
        text += reason
        resolve(undefined)
      })
    })
    await new Promise(resolve => socket.once('open', resolve))
    socket.send(JSON.stringify({ type: 'send', requestId: '1', id, body: chat(id) }))
    return { text: () => text, over }
  },
  'ag-ui': agUi,
  'ag-ui, joined': resumes(agUi, id => `/ag-ui/saying?runId=r-${id}`),
  'openai response': posts('/openai/v1/responses', response(true)),
  'openai completion': posts('/openai/v1/chat/completions', id => ({
    model: 'saying',
    messages: [{ role: 'user', content: 'go' }],
    stream: true,
    metadata: { session: id, sessionId: id },
  })),
  'genie page': posts('/web/api/v1/gpt/queryAgentStreamIncr', id => ({
    sessionId: id,
    requestId: `r-${id}`,
    query: 'go',
    agent: 'saying',
  })),
  'genie gateway': posts('/AutoAgent', id => ({
    sessionId: id,
    requestId: `r-${id}`,
    query: 'go',
    agent: 'saying',
  })),
  'genie gateway, as printed': posts('/AutoAgent', id => ({
    sessionId: id,
    requestId: `r-${id}`,
    query: 'go',
    agent: 'saying',
    agentType: 'deep',
  })),
  'genie tool': posts('/v1/tool/deepsearch', id => ({ request_id: id, query: 'go', agent: 'saying' })),
}

/** Rights by the header x-user; those of `ann` end. */
function ending() {
  const rights = {
    lost: undefined as 'forbidden' | 'unauthorized' | undefined,
    expiresAt: undefined as number | undefined,
  }
  const authorize: Authorize = ({ headers }, { group }) => {
    const id = String(headers['x-user'])
    if (id !== 'ann') return { id }
    const isExpired = rights.expiresAt !== undefined && rights.expiresAt <= Date.now()
    if (rights.lost === 'unauthorized' || isExpired) throw new TwinrailError('unauthorized', 'signed out')
    if (rights.lost === 'forbidden' && group !== 'any') return undefined
    return { id, ...(rights.expiresAt !== undefined && { expiresAt: rights.expiresAt }) }
  }
  return { rights, authorize }
}

/** Opens every response, lets the right end, and checks that each is over and nothing more was delivered. */
async function allEnd(
  t: Test,
  options: object,
  end: (reauthorize: () => Promise<void>) => Promise<void>,
  hook: ReturnType<typeof ending>,
) {
  const [one, two] = await nodes(t, { agents: [saying] as never, authorize: hook.authorize, ...options })
  const opened: [string, Open][] = []
  for (const [i, [name, ask]] of Object.entries(asks).entries())
    opened.push([name, await ask(t, two.url, `c${i}`)])
  for (const [name, open] of opened) {
    await eventually(t, `${name}: it is open`, () => open.text().includes('first'))
  }
  const runs = await Promise.all(
    (await two.server.sessions.list(undefined, 100)).map(async ({ sessionId }) => ({
      sessionId,
      runId: (await two.server.sessions.describe(sessionId)).runs[0]?.runId,
    })),
  )
  t.equal(runs.length, opened.length)
  await end(() => one.server.reauthorize({ principal: 'ann' }))
  await Promise.all(opened.map(([, { over }]) => over))
  for (const { sessionId, runId } of runs) {
    const { status } = await command(one.url, sessionId, { type: 'input.steer', runId, text: 'secret' }, bob)
    t.equal(status, 200, 'the run goes on')
    await eventually(t, 'it has said it', async () => (await one.server.journal.session(sessionId)).head >= 5)
  }
  for (const [name, open] of opened) {
    t.notMatch(open.text(), /secret/, `${name}: nothing follows`)
    t.match(open.text(), /signed out|not allowed|forbidden|unauthorized/, `${name}: it says why`)
  }
}

t.test('a right that is lost ends every response on the other node', async t => {
  const hook = ending()
  await allEnd(
    t,
    {},
    async reauthorize => {
      hook.rights.lost = 'forbidden'
      await reauthorize()
    },
    hook,
  )
})

t.test('they are authorized again at intervals', async t => {
  const hook = ending()
  const end = async () => {
    hook.rights.lost = 'unauthorized'
  }
  await allEnd(t, { recheckMs: 100 }, end, hook)
})

t.test('they end when the principal expires', async t => {
  const hook = ending()
  hook.rights.expiresAt = Date.now() + 20_000
  const end = async () => {
    // Whoever asks next is told the new time, and the streams learn it by being authorized again.
    hook.rights.expiresAt = Date.now() + 200
  }
  await allEnd(
    t,
    {},
    async reauthorize => {
      await end()
      await reauthorize()
    },
    hook,
  )
})

t.test('an answer of OpenAI that is not streamed is refused when the right was lost meanwhile', async t => {
  const hook = ending()
  const [one, two] = await nodes(t, { agents: [saying] as never, authorize: hook.authorize })
  const answers = [
    ['/openai/v1/responses', response(false)('s')],
    ['/openai/v1/chat/completions', { model: 'saying', messages: [{ role: 'user', content: 'go' }] }],
  ] as const
  const waiting = answers.map(([path, body]) =>
    fetch(`${two.url}${path}`, {
      method: 'POST',
      headers: { ...ann, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  )
  await eventually(
    t,
    'both have begun',
    async () => (await one.server.sessions.list(undefined, 10)).length === 2,
  )
  hook.rights.lost = 'forbidden'
  await one.server.reauthorize({ principal: 'ann' })
  for (const answer of await Promise.all(waiting)) {
    t.equal(answer.status, 403)
    t.notMatch(await answer.text(), /first/)
  }
})
