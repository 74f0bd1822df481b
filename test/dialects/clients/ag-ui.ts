/** The clients of AG-UI: `HttpAgent`, and TanStack AI's `ChatClient`. */
import { HttpAgent } from '@ag-ui/client'
import { ChatClient, fetchServerSentEvents } from '@tanstack/ai-client'
import type { ForeignClient, Shown, Tab } from './client.ts'

let ids = 0

interface SavedAgent {
  runId: string | undefined
  messages: HttpAgent['messages']
}

export const httpAgent: ForeignClient = {
  lacks: { cancel: 'the native command' },
  open(_t, { url, agent: name, id }, saved): Tab {
    const { runId: lastRun, messages } = (saved ?? { runId: undefined, messages: [] }) as SavedAgent
    const agent = new HttpAgent({
      url: `${url}/ag-ui/${name}`,
      threadId: id,
      initialMessages: structuredClone(messages),
    })
    let runId = lastRun
    let verdict: Shown['verdict']
    let error: string | undefined
    const tools: Record<string, unknown> = {}
    const run = async (parameters: Parameters<HttpAgent['runAgent']>[0] & { runId: string }) => {
      runId = parameters.runId
      verdict = undefined
      error = undefined
      const failed = (message: string) => {
        error = message
      }
      await agent
        .runAgent(parameters, {
          onRunFinishedEvent({ event }) {
            const { type } = event.outcome ?? { type: 'success' }
            const isPending = (event.outcome as { pendingToolCallIds?: unknown } | undefined)
              ?.pendingToolCallIds
            if (type === 'cancelled') verdict = 'cancelled'
            else verdict = type === 'interrupt' || isPending ? 'asks' : 'completed'
          },
          onRunErrorEvent({ event }) {
            // What the client says itself of a lost connection has no code of a run.
            if (event.code && event.code !== 'abort') verdict = 'failed'
            failed(event.message)
          },
          onToolCallEndEvent({ toolCallName }) {
            tools[toolCallName] ??= undefined
          },
        })
        .catch((reason: Error) => failed(reason.message))
    }
    return {
      async send(text) {
        agent.addMessage({ id: `u${++ids}`, role: 'user', content: text })
        await run({ runId: `R${++ids}` })
      },
      resume: () => run({ runId: runId ?? '' }),
      shown() {
        const last = agent.messages.slice(agent.messages.findLastIndex(({ role }) => role === 'user') + 1)
        const text = last.flatMap(one => (one.role === 'assistant' ? [one.content ?? ''] : [])).join('')
        const called = last.flatMap(one => (one.role === 'assistant' ? (one.toolCalls ?? []) : []))
        const results = new Map(
          last.flatMap(one => (one.role === 'tool' ? [[one.toolCallId, one.content]] : [])),
        )
        const known = called.map(({ id, function: { name } }) => {
          const content = results.get(id)
          return [name, typeof content === 'string' ? jsonOf(content) : content]
        })
        return { text, verdict, error, tools: Object.fromEntries(known) }
      },
      async approve() {
        const resume = agent.pendingInterrupts.map(({ id }) => ({
          interruptId: id,
          status: 'resolved' as const,
          payload: { approved: true },
        }))
        await run({ resume, runId: `R${++ids}` })
      },
      async giveResult(output) {
        const call = agent.messages.findLast(
          one => one.role === 'assistant' && one.toolCalls !== undefined,
        ) as { toolCalls?: { id: string }[] }
        const toolCallId = call.toolCalls?.at(-1)?.id ?? ''
        agent.addMessage({ id: `u${++ids}`, role: 'tool', toolCallId, content: JSON.stringify(output) })
        await run({ runId: `R${++ids}` })
      },
      saved: (): SavedAgent => ({ runId, messages: structuredClone(agent.messages) }),
      leave: () => agent.abortRun(),
    }
  },
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const tanstack: ForeignClient = {
  lacks: { cancel: 'the native command' },
  open(t, { url, agent, id }, saved): Tab {
    let verdict: Shown['verdict']
    let error: string | undefined
    const client = new ChatClient({
      connection: fetchServerSentEvents(`${url}/ag-ui/${agent}`),
      threadId: id,
      // The server's history, and the run that is under way.
      persistence: true,
      onChunk(chunk) {
        if (chunk.type === 'RUN_STARTED') verdict = undefined
        if (chunk.type === 'RUN_ERROR') {
          // What the client says itself of a lost connection has no code.
          if (chunk.code) verdict = 'failed'
          error = chunk.message
        }
        if (chunk.type !== 'RUN_FINISHED') return
        const { type, pendingToolCallIds } = (chunk.outcome ?? {}) as {
          type?: string
          pendingToolCallIds?: unknown
        }
        if (type === 'cancelled') verdict = 'cancelled'
        else verdict = type === 'interrupt' || pendingToolCallIds ? 'asks' : 'completed'
      },
    })
    t.teardown(() => client.dispose())
    // The client gives up a run whose first event is late, and attaches again only after it was detached.
    let wasBusy = false
    const idle = async () => {
      for (let quiet = 0; quiet < 3; ) {
        await new Promise(resolve => setTimeout(resolve, 10))
        const isBusy = client.getIsLoading() || client.getSessionGenerating()
        wasBusy ||= isBusy
        quiet = isBusy ? 0 : quiet + 1
      }
    }
    const parts = () => {
      const messages = client.getMessages()
      return messages
        .slice(messages.findLastIndex(({ role }) => role === 'user') + 1)
        .flatMap(({ parts }) => parts) as {
        type: string
        id?: string
        content?: string
        name?: string
        output?: unknown
      }[]
    }
    return {
      async send(text) {
        verdict = undefined
        await client.sendMessage(text)
        await idle()
      },
      async resume() {
        if (saved === undefined || wasBusy) client.detach()
        wasBusy = false
        client.attach()
        await idle()
      },
      shown: () => ({
        text: parts()
          .flatMap(part => (part.type === 'text' ? [part.content] : []))
          .join(''),
        verdict,
        error: error ?? client.getError()?.message,
        tools: Object.fromEntries(
          parts().flatMap(part => (part.type === 'tool-call' ? [[part.name, part.output]] : [])),
        ),
      }),
      async approve() {
        const resume = client.getInterrupts().map(({ id }) => ({
          interruptId: id,
          status: 'resolved' as const,
          payload: { approved: true },
        }))
        await client.resumeInterruptsUnsafe(resume)
        await idle()
      },
      async giveResult(output) {
        const { id: toolCallId = '', name: tool = '' } =
          parts().findLast(({ type }) => type === 'tool-call') ?? {}
        await client.addToolResult({ toolCallId, tool, output })
        await idle()
      },
      saved: () => null,
      leave: () => client.dispose(),
    }
  },
}
