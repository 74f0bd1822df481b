/** The unmodified chat clients of the AI SDK, versions 6 and 7, against a server. */
import { Chat as ChatV7 } from '@ai-sdk/react'

import {
  lastAssistantMessageIsCompleteWithApprovalResponses as approvedV7,
  lastAssistantMessageIsCompleteWithToolCalls as calledV7,
  DefaultChatTransport as TransportV7,
  type UIMessage,
  WebSocketChatTransport,
} from 'ai'
import { Chat as ChatV6 } from 'ai-sdk-react-v6'
import {
  lastAssistantMessageIsCompleteWithApprovalResponses as approvedV6,
  lastAssistantMessageIsCompleteWithToolCalls as calledV6,
  DefaultChatTransport as TransportV6,
} from 'ai-v6'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { cutter } from '../fixtures/cutter.ts'
import { dialectAgents } from '../fixtures/dialects.ts'
import { connections, eventually, serve, state, typesOf, type Wire } from '../fixtures/wire-server.ts'
import { workflow } from './clients/chat-sdk.ts'

type AnyChat = ChatV7<UIMessage>
interface Version {
  name: string
  Chat: typeof ChatV7
  Transport: typeof TransportV7
  approved: typeof approvedV7
  called: typeof calledV7
}

const versions: Version[] = [
  { name: '7', Chat: ChatV7, Transport: TransportV7, approved: approvedV7, called: calledV7 },
  {
    name: '6',
    Chat: ChatV6 as unknown as typeof ChatV7,
    Transport: TransportV6 as unknown as typeof TransportV7,
    approved: approvedV6 as unknown as typeof approvedV7,
    called: calledV6 as unknown as typeof calledV7,
  },
]

const start = (t: Test) => serve(t, { agents: dialectAgents })

const textOf = ({ messages }: Pick<AnyChat, 'messages'>) =>
  (messages.findLast(({ role }) => role === 'assistant')?.parts ?? [])
    .flatMap(part => (part.type === 'text' ? [part.text] : []))
    .join('')

const partOf = ({ messages }: Pick<AnyChat, 'messages'>, type: string) =>
  messages.at(-1)?.parts.find(part => part.type === type) as Record<string, unknown> | undefined

for (const { name, Chat, Transport, approved, called } of versions) {
  const chatWith = ({ url }: Wire, agent: string, id: string, more: object = {}) =>
    new Chat({ id, transport: new Transport({ api: `${url}/ai-sdk/${agent}` }), ...more }) as AnyChat

  t.test(
    `AI SDK ${name}: answers, two prompts in a row, and a reload that finds nothing to resume`,
    async t => {
      const wire = await start(t)
      const chat = chatWith(wire, 'echo', 'c1')
      await chat.sendMessage({ text: 'hello there' })
      t.equal(chat.status, 'ready')
      t.equal(textOf(chat), 'hello there ')
      t.match(partOf(chat, 'reasoning'), { text: 'thinking', state: 'done' })
      t.match(partOf(chat, 'source-url'), { url: 'https://example.com/', title: 'A source' })
      t.match(chat.messages[1]?.metadata, {
        sessionId: 'c1',
        usage: { inputTokens: 1 },
        result: { words: 2 },
      })
      await chat.sendMessage({ text: 'again' })
      t.equal(chat.messages.length, 4)
      t.equal(textOf(chat), 'again ')
      t.equal((await fetch(`${wire.url}/ai-sdk/echo/c1/stream`)).status, 204)
      t.equal((await fetch(`${wire.url}/ai-sdk/echo/nothing/stream`)).status, 204)
    },
  )

  t.test(`AI SDK ${name}: a chat whose id is no session id`, async t => {
    const wire = await start(t)
    const chat = chatWith(wire, 'echo', 'Ümläut / of any kind?')
    await chat.sendMessage({ text: 'hello' })
    t.equal(textOf(chat), 'hello ')
    t.match((chat.messages[1]?.metadata as { sessionId?: string } | undefined)?.sessionId, /^h-[0-9a-f]{40}$/)
  })

  t.test(`AI SDK ${name}: approval, then a tool that the client runs`, async t => {
    const wire = await start(t)
    let chat: AnyChat
    chat = chatWith(wire, 'careful', 'c2', {
      sendAutomaticallyWhen: (options: { messages: UIMessage[] }) => approved(options) || called(options),
      onToolCall({ toolCall }: { toolCall: { toolName: string; toolCallId: string } }) {
        if (toolCall.toolName !== 'getLocation') return
        void chat.addToolOutput({
          tool: 'getLocation',
          toolCallId: toolCall.toolCallId,
          output: { city: 'Bern' },
        } as never)
      },
    })
    await chat.sendMessage({ text: 'delete at my location' })
    t.match(partOf(chat, 'tool-deleteFile'), { state: 'approval-requested', input: { path: 'a' } })
    const { approval } = partOf(chat, 'tool-deleteFile') as { approval: { id: string } }
    await chat.addToolApprovalResponse({ id: approval.id, approved: true })
    await eventually(t, 'the run goes on to its end', () => textOf(chat).endsWith('Done.'))
    t.match(partOf(chat, 'tool-deleteFile'), { state: 'output-available', output: { deleted: 'a' } })
    t.match(partOf(chat, 'tool-getLocation'), { state: 'output-available', output: { city: 'Bern' } })
    t.equal(textOf(chat), 'I will delete it. Done.')
    t.equal(chat.messages.length, 2, 'one message')
    t.equal((await typesOf(wire, 'c2')).filter(type => type === 'run.started').length, 1, 'of one run')
    const replayed = chatWith(wire, 'careful', 'c2')
    const place = (await fetch(`${wire.url}/ai-sdk/careful/c2~${chat.messages[1]?.id}~1/stream`)).text()
    t.match(await place, /"I will delete it. "[\s\S]*Done\./, 'the whole of it can be had again')
    t.equal(replayed.messages.length, 0)
  })

  t.test(`AI SDK ${name}: a chat that sends results by itself sends each one once`, async t => {
    const wire = await start(t)
    const sendAutomaticallyWhen = (options: { messages: UIMessage[] }) => approved(options) || called(options)
    const looking = chatWith(wire, 'looking', 'c12', { sendAutomaticallyWhen })
    await looking.sendMessage({ text: 'the time' })
    let chat: AnyChat
    chat = chatWith(wire, 'locating', 'c13', {
      sendAutomaticallyWhen,
      onToolCall({ toolCall: { toolCallId } }: { toolCall: { toolCallId: string } }) {
        void chat.addToolOutput({ tool: 'getLocation', toolCallId, output: { city: 'Bern' } } as never)
      },
    })
    await chat.sendMessage({ text: 'where' })
    await eventually(t, 'the run ends', async () => (await typesOf(wire, 'c13')).includes('run.completed'))
    for (const one of [looking, chat]) {
      await eventually(t, 'the chat is ready', () => one.status === 'ready')
      t.equal(called({ messages: one.messages }), false, 'nothing is left to send')
    }
    t.match(partOf(looking, 'tool-getTime'), { state: 'output-available', output: { time: 'noon' } })
    t.match(partOf(chat, 'tool-getLocation'), { state: 'output-available', output: { city: 'Bern' } })
  })

  t.test(`AI SDK ${name}: a denied tool`, async t => {
    const wire = await start(t)
    const chat = chatWith(wire, 'careful', 'c3', { sendAutomaticallyWhen: approved })
    await chat.sendMessage({ text: 'delete' })
    const { approval } = partOf(chat, 'tool-deleteFile') as { approval: { id: string } }
    await chat.addToolApprovalResponse({ id: approval.id, approved: false })
    await eventually(t, 'the run goes on to its end', () => textOf(chat).endsWith('Left alone.'))
    t.equal(partOf(chat, 'tool-deleteFile')?.['state'], 'output-denied')
  })

  t.test(`AI SDK ${name}: a reload while the run waits for approval`, async t => {
    const wire = await start(t)
    const first = chatWith(wire, 'careful', 'c4')
    await first.sendMessage({ text: 'delete' })
    const second = chatWith(wire, 'careful', 'c4', { sendAutomaticallyWhen: approved })
    await second.resumeStream()
    t.equal(second.status, 'ready')
    const { approval } = partOf(second, 'tool-deleteFile') as { approval: { id: string } }
    await second.addToolApprovalResponse({ id: approval.id, approved: true })
    await eventually(t, 'the run goes on to its end', () => textOf(second).endsWith('Done.'))
    t.equal(textOf(second), 'I will delete it. Done.')
  })

  t.test(`AI SDK ${name}: a failed run`, async t => {
    const wire = await start(t)
    const chat = chatWith(wire, 'failing', 'c5')
    await chat.sendMessage({ text: 'hello' })
    t.equal(chat.status, 'error')
    t.equal(chat.error?.message, 'the oven is too hot')
    t.equal(textOf(chat), 'I begin')
    const other = chatWith(wire, 'nobody', 'c6')
    await other.sendMessage({ text: 'hello' })
    t.match(other.error?.message, 'no agent of this name')
  })

  t.test(`AI SDK ${name}: stop by the route, from another tab`, async t => {
    const wire = await start(t)
    const chat = chatWith(wire, 'ticking', 'c7')
    const sent = chat.sendMessage({ text: 'go' })
    await eventually(t, 'text comes', () => textOf(chat) !== '')
    const tab = chatWith(wire, 'ticking', 'c7')
    const resumed = tab.resumeStream()
    await eventually(t, 'the other tab has it, too', () => textOf(tab) !== '')
    const busy = await fetch(`${wire.url}/ai-sdk/ticking`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        id: 'c7',
        messages: [{ id: 'x', role: 'user', parts: [{ type: 'text', text: 'more' }] }],
      }),
    })
    t.equal(busy.status, 409)
    t.match(await busy.text(), /^a run of this chat is active/)
    await fetch(`${wire.url}/ai-sdk/ticking/c7/stop`, { method: 'POST' })
    await Promise.all([sent, resumed])
    for (const one of [chat, tab]) {
      t.equal(one.status, 'ready')
      t.match(partOf(one, 'data-run'), { data: { status: 'cancelled' } })
    }
    t.equal(textOf(chat), textOf(tab))
  })

  t.test(`AI SDK ${name}: stop() closes the connection; the run ends if it was told to`, async t => {
    const wire = await start(t)
    const chat = chatWith(wire, 'ticking', 'c8')
    const sent = chat.sendMessage({ text: 'go' }, { body: { onNoViewers: { cancelAfterMs: 0 } } })
    await eventually(t, 'text comes', () => textOf(chat) !== '')
    await chat.stop()
    await sent
    await eventually(t, 'the run is cancelled', async () =>
      (await typesOf(wire, 'c8')).includes('run.cancelled'),
    )
    await eventually(t, 'no connection is left', async () => (await connections(wire.url)) === 0)
  })

  t.test(`AI SDK ${name}: a repeated request attaches, and regenerate starts anew`, async t => {
    const wire = await start(t)
    const body = JSON.stringify({
      id: 'c9',
      messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'hi' }] }],
    })
    const send = async () =>
      (
        await fetch(`${wire.url}/ai-sdk/echo`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        })
      ).text()
    t.equal(await send(), await send())
    const chat = chatWith(wire, 'echo', 'c10')
    await chat.sendMessage({ text: 'hi' })
    const { id } = chat.messages[1] as UIMessage
    await chat.regenerate()
    t.equal(chat.messages.length, 2)
    t.not(chat.messages[1]?.id, id)
    await chat.regenerate({ messageId: chat.messages[1]?.id as string })
    t.equal(textOf(chat), 'hi ')
    for (const [session, runs] of [
      ['c9', 1],
      ['c10', 3],
    ] as const) {
      t.equal((await state(wire.url, session)).runs?.length, runs)
    }
  })

  t.test(
    `AI SDK ${name}: the network is cut in the middle; a full replay leaves nothing out and doubles nothing`,
    async t => {
      const wire = await start(t)
      const proxy = await cutter(t, wire.url)
      const text = `slowly ${Array.from({ length: 40 }, (_, i) => i).join(' ')}`
      const chat = chatWith({ ...wire, url: proxy.url }, 'echo', 'c11')
      const sent = chat.sendMessage({ text })
      await eventually(t, 'text comes', () => textOf(chat).length > 10)
      proxy.cutAll()
      await sent
      t.equal(chat.status, 'error')
      const reloaded = chatWith(wire, 'echo', 'c11', { messages: chat.messages.slice(0, 1) })
      await reloaded.resumeStream()
      t.equal(textOf(reloaded), `${text} `)
      t.equal(reloaded.messages.length, 2)
      await chat.resumeStream()
      t.equal(chat.status, 'ready')
      t.equal(textOf(chat), `${text} `)
    },
  )
}

t.test('WebSocketChatTransport: answer, two at once, approval, resume after a cut, stop', async t => {
  const wire = await start(t)
  const url = wire.url.replace('http', 'ws')
  const transport = (agent: string) =>
    new WebSocketChatTransport({ url: `${url}/ai-sdk/${agent}/ws`, webSocket: WebSocket as never } as never)
  const shared = transport('echo')
  const chats = ['w1', 'w2'].map(id => new ChatV7({ id, transport: shared as never }))
  await Promise.all(chats.map((chat, i) => chat.sendMessage({ text: `hello ${i}` })))
  t.same(chats.map(textOf), ['hello 0 ', 'hello 1 '])
  const asked = new ChatV7({
    id: 'w3',
    transport: transport('careful') as never,
    sendAutomaticallyWhen: approvedV7,
  })
  await asked.sendMessage({ text: 'delete' })
  const { approval } = partOf(asked, 'tool-deleteFile') as { approval: { id: string } }
  await asked.addToolApprovalResponse({ id: approval.id, approved: true })
  await eventually(t, 'the run goes on to its end', () => textOf(asked).endsWith('Done.'))
  const failed = new ChatV7({ id: 'w4', transport: transport('nobody') as never })
  await failed.sendMessage({ text: 'hello' })
  t.match(failed.error?.message, 'no agent of this name')

  const ticking = new ChatV7({ id: 'w5', transport: transport('ticking') as never })
  void ticking.sendMessage({ text: 'go' })
  await eventually(t, 'text comes', () => textOf(ticking) !== '')
  const other = new ChatV7({ id: 'w5', transport: transport('ticking') as never })
  const resumed = other.resumeStream()
  await eventually(t, 'the other has it, too', () => textOf(other) !== '')
  await ticking.stop()
  t.notOk(
    (await typesOf(wire, 'w5')).includes('run.cancelled'),
    'an aborted response does not cancel the run',
  )
  await fetch(`${wire.url}/ai-sdk/ticking/w5/stop`, { method: 'POST' })
  await resumed
  t.match(partOf(other, 'data-run'), { data: { status: 'cancelled' } })
  const idle = new ChatV7({ id: 'w6', transport: transport('ticking') as never })
  await idle.resumeStream()
  t.equal(idle.status, 'ready')
})

const skip = workflow === undefined && 'no @ai-sdk/workflow: .ci/run installs it'

t.test('WorkflowChatTransport: answer, and resume by the number of chunks after a cut', { skip }, async t => {
  const wire = await start(t)
  const WorkflowChatTransport = await workflowTransport()
  t.capture(console, 'error', () => {})
  const proxy = await cutter(t, wire.url)
  const text = `slowly ${Array.from({ length: 40 }, (_, i) => i).join(' ')}`
  const chat = new ChatV7({
    id: 'f1',
    transport: new WorkflowChatTransport({
      api: `${proxy.url}/ai-sdk/echo`,
      prepareSendMessagesRequest: ({ id, messages }) => ({ body: { id, messages } }),
    }) as never,
  })
  const sent = chat.sendMessage({ text })
  for (let i = 1; i <= 3; i++) {
    await eventually(t, 'text comes', () => textOf(chat).length > 15 * i)
    proxy.cutAll()
  }
  await sent
  t.equal(chat.status, 'ready')
  t.equal(textOf(chat), `${text} `)
  const bare = new ChatV7({
    id: 'f2',
    transport: new WorkflowChatTransport({ api: `${wire.url}/ai-sdk/echo` }) as never,
  })
  await bare.sendMessage({ text: 'hello' })
  t.equal(textOf(bare), 'hello ', 'without the chat’s id, and as text/plain')
})

async function workflowTransport() {
  const { WorkflowChatTransport } = await import(workflow ?? '')
  return WorkflowChatTransport as new (options: {
    api: string
    prepareSendMessagesRequest?: (options: { id: string; messages: unknown }) => { body: object }
  }) => object
}
