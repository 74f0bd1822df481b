/** Two hundred cuts at random places for each client: no text is lost, none comes twice. */
import { HttpAgent } from '@ag-ui/client'
import { Chat as ChatV7 } from '@ai-sdk/react'
import { fetchServerSentEvents } from '@tanstack/ai-client'
import { DefaultChatTransport as TransportV7, type UIMessage } from 'ai'
import { Chat as ChatV6 } from 'ai-sdk-react-v6'
import { DefaultChatTransport as TransportV6 } from 'ai-v6'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { between, random, seedOf } from '../../src/log/contract/random.ts'
import { cutter } from '../fixtures/cutter.ts'
import { dialectAgents } from '../fixtures/dialects.ts'
import { each, serve } from '../fixtures/wire-server.ts'

const CUTS = Number(process.env['CUTS'] ?? 200)

const words = Array.from({ length: 25 }, (_, i) => `w${i}`).join(' ')
const input = `slowly ${words}`

/** Runs a client over a line that is cut once, at a random byte; resolves with what it has said in the end. */
type Client = (url: string, id: string) => Promise<string>

const textOf = ({ messages }: { messages: UIMessage[] }) =>
  (messages.findLast(({ role }) => role === 'assistant')?.parts ?? [])
    .flatMap(part => (part.type === 'text' ? [part.text] : []))
    .join('')

const chat =
  (Chat: typeof ChatV7, Transport: typeof TransportV7): Client =>
  async (url, id) => {
    const transport = new Transport({ api: `${url}/ai-sdk/echo` })
    const first = new Chat({ id, transport })
    await first.sendMessage({ text: input })
    if (first.status === 'ready' && first.messages.length === 2) return textOf(first)
    for (;;) {
      const reloaded = new Chat({ id, transport, messages: first.messages.slice(0, 1) })
      await reloaded.resumeStream()
      // Nothing to resume: the request itself was lost.
      if (reloaded.status === 'ready' && reloaded.messages.length === 1) await reloaded.regenerate()
      if (reloaded.status === 'ready' && reloaded.messages.length === 2) return textOf(reloaded)
    }
  }

/** Each with the length of its whole answer in bytes, head included: a line is cut within. */
const clients: Record<string, readonly [bytes: number, client: Client]> = {
  'AI SDK 7': [3000, chat(ChatV7, TransportV7)],
  'AI SDK 6': [3000, chat(ChatV6 as never, TransportV6 as never)],
  HttpAgent: [
    4800,
    async (url, threadId) => {
      const initialMessages = [{ id: 'u', role: 'user' as const, content: input }]
      let messages: HttpAgent['messages'] = initialMessages
      for (;;) {
        const agent = new HttpAgent({ url: `${url}/ag-ui/echo`, threadId, initialMessages: messages })
        let isDone = false
        const onRunFinishedEvent = () => {
          isDone = true
        }
        await agent.runAgent({ runId: 'R' }, { onRunFinishedEvent }).catch(() => {})
        messages = structuredClone(agent.messages)
        if (isDone)
          return messages.flatMap(one => (one.role === 'assistant' ? [one.content ?? ''] : [])).join('')
      }
    },
  ],
  'TanStack AI': [
    4800,
    async (url, threadId) => {
      const connection = fetchServerSentEvents(`${url}/ag-ui/echo`)
      const messages = [
        { id: 'u', role: 'user' as const, parts: [{ type: 'text' as const, content: input }] },
      ]
      for (;;) {
        let said = ''
        let isDone = false
        try {
          const run = { threadId, runId: `T-${threadId}` }
          for await (const chunk of connection.connect(
            messages as never,
            undefined,
            undefined,
            run as never,
          )) {
            if (chunk.type === 'TEXT_MESSAGE_CONTENT') said += chunk.delta
            if (chunk.type === 'RUN_FINISHED') isDone = true
          }
        } catch {
          // The first request was cut before its first event.
        }
        if (isDone) return said
      }
    },
  ],
  OpenAI: [
    10_000,
    async (url, id) => {
      const openai = new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: 'none', maxRetries: 0 })
      const key = { headers: { 'idempotency-key': id } }
      let last = -1
      let response = ''
      let said = ''
      for (;;) {
        try {
          const events =
            response === ''
              ? await openai.responses.create({ model: 'echo', input, stream: true }, key)
              : await openai.responses.retrieve(response, { stream: true, starting_after: last })
          for await (const event of events) {
            if (event.sequence_number <= last) continue
            last = event.sequence_number
            if (event.type === 'response.created') response = event.response.id
            if (event.type === 'response.output_text.delta') said += event.delta
            if (event.type === 'response.completed') return said
          }
        } catch {
          // Cut.
        }
      }
    },
  ],
}

for (const [name, [bytes, client]] of Object.entries(clients)) {
  t.test(`${name}: ${CUTS} cuts`, async (t: Test) => {
    const next = random(seedOf(t))
    const wire = await serve(t, { agents: dialectAgents })
    process.on('unhandledRejection', () => {})
    const wrong: string[] = []
    await each(CUTS, async i => {
      const proxy = await cutter(t, wire.url)
      proxy.cutAfter = between(next, 1, bytes)
      setTimeout(() => {
        proxy.cutAfter = Number.POSITIVE_INFINITY
      }, 100)
      const said = await client(proxy.url, `c${i}`)
      if (said !== `${input} `) wrong.push(`cut ${i}: ${JSON.stringify(said)}`)
    })
    t.same(wrong, [])
  })
}
