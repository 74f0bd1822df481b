/** One run in clients of every kind: started in `useChat`, watched everywhere, approved from AG-UI, cancelled from `useChat`. */
import { HttpAgent } from '@ag-ui/client'
import OpenAI from 'openai'
import t from 'tap'
import { closeBrowser } from '../browser/stage.ts'
import { dialectAgents } from '../fixtures/dialects.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import { eventually, logged, serve, state } from '../fixtures/wire-server.ts'
import { inChromium, inJsdom, type Version } from './clients/use-chat.ts'

t.teardown(closeBrowser)

for (const [where, client] of Object.entries({ jsdom: inJsdom, Chromium: inChromium })) {
  for (const version of [6, 7] as Version[]) {
    const chatClient = client(version)
    t.test(`useChat ${version} in ${where}`, { skip: chatClient.skip ?? false }, async t => {
      const wire = await serve(t, { agents: dialectAgents })
      const id = 'one'
      const chat = await chatClient.open(t, { url: wire.url, agent: 'working', id })
      await chat.send('work')
      t.equal((await chat.shown()).verdict, 'asks')
      const [{ runId = '' } = {}] = (await state(wire.url, id)).runs ?? []

      // All of them come while the run waits.
      const socket = await openWs(t, wire.url)
      socket.send({ id: '1', type: 'subscribe', sessionId: id, run: runId, replay: 'full' })
      const openai = new OpenAI({
        baseURL: `${wire.url}/openai/v1`,
        apiKey: 'none',
        maxRetries: 0,
        dangerouslyAllowBrowser: true,
      })
      const response = { text: '', status: '', request: '', id: `resp_${id}~${runId}~1` }
      const read = async (events: AsyncIterable<OpenAI.Responses.ResponseStreamEvent>) => {
        for await (const event of events) {
          if (event.type === 'response.output_text.delta') response.text += event.delta
          if (event.type === 'response.completed' || event.type === 'response.incomplete') {
            response.status = event.response.status ?? ''
            const asked = event.response.output.find(({ type }) => type === 'mcp_approval_request')
            response.request = asked?.id ?? ''
          }
        }
      }
      await read(await openai.responses.retrieve(response.id, { stream: true }))
      t.equal(response.text, 'I could work. ')
      const agent = new HttpAgent({ url: `${wire.url}/ag-ui/working`, threadId: id })
      let outcome: unknown
      const subscriber = {
        onRunFinishedEvent({ event }: { event: { outcome?: unknown } }) {
          outcome = event.outcome
        },
      }
      await agent.runAgent({ runId }, subscriber)
      const [interrupt] = agent.pendingInterrupts
      t.match(interrupt, { reason: 'tool_approval', toolCallId: 'call-w' })

      const approved = agent.runAgent(
        {
          resume: [{ interruptId: interrupt?.id ?? '', status: 'resolved', payload: { approved: true } }],
        },
        subscriber,
      )
      const agentText = () =>
        agent.messages.flatMap(one => (one.role === 'assistant' && one.content ? [one.content] : [])).join('')
      await eventually(t, 'the run goes on', () => agentText().includes('work work'))
      // The others go on as well: this one with its own answer, which comes too late.
      const answered = read(
        await openai.responses.create({
          model: 'working',
          stream: true,
          previous_response_id: response.id,
          input: [{ type: 'mcp_approval_response', approval_request_id: response.request, approve: false }],
        }),
      )
      const resumed = chat.resume()
      await eventually(
        t,
        'all see it',
        async () => response.text.includes('work work') && (await chat.shown()).text.includes('work work'),
      )
      await chat.cancel?.()
      await Promise.all([approved, answered, resumed])

      const events = (await logged(wire, id)).map(json => JSON.parse(json))
      const native: { type: string; data: { delta?: string } }[] = []
      for (const { message } of await socket.until('run.cancelled')) native.push(message as never)
      const said = (list: typeof native) => list.map(({ data }) => data?.delta ?? '').join('')
      const text = said(events)
      t.match(text, /^I could work\. (work )+$/)
      t.equal(said(native), text, 'the native client')
      t.equal(agentText(), text, 'HttpAgent')
      t.equal(response.text, text, 'OpenAI')
      t.equal((await chat.shown()).text, text, 'useChat')
      t.equal(events.at(-1).type, 'run.cancelled')
      t.equal((await chat.shown()).verdict, 'cancelled')
      t.same(outcome, { type: 'cancelled' })
      t.equal(response.status, 'cancelled')
      const answers = events.filter(({ type }) => type === 'input.answered')
      t.match(answers, [{ data: { value: { approved: true } } }], 'the first answer')
      t.equal(answers.length, 1)
    })
  }
}
