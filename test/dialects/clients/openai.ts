/** OpenAI's client for Node: the Responses API, and Chat Completions. */
import OpenAI from 'openai'
import type { ForeignClient, Shown, Tab } from './client.ts'

// Other clients in this process have given it a page.
const clientOf = (url: string) =>
  new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: 'none', maxRetries: 0, dangerouslyAllowBrowser: true })

/** What a program must keep of a response to go on with it. */
export interface SavedResponse {
  id: string
  last: number
  text: string
}

export const responses: ForeignClient = {
  lacks: {},
  open(_t, { url, agent: model, id: conversation }, saved): Tab {
    const client = clientOf(url)
    const stopped = new AbortController()
    let kept: SavedResponse = { ...((saved as SavedResponse | undefined) ?? { id: '', last: -1, text: '' }) }
    let verdict: Shown['verdict']
    let error: string | undefined
    let output: OpenAI.Responses.ResponseOutputItem[] = []
    const tools: Record<string, unknown> = {}
    const read = async (events: AsyncIterable<OpenAI.Responses.ResponseStreamEvent>) => {
      for await (const event of events) {
        if (event.sequence_number <= kept.last) throw new Error(`${event.sequence_number} came twice`)
        kept.last = event.sequence_number
        if (event.type === 'response.created') kept.id = event.response.id
        if (event.type === 'response.output_text.delta') kept.text += event.delta
        if (event.type === 'response.output_item.done' && event.item.type === 'mcp_call') {
          tools[event.item.name] = JSON.parse(event.item.output ?? 'null')
        }
        if (event.type === 'response.completed') {
          output = event.response.output
          verdict = output.some(({ type }) => /^(mcp_approval_request|function_call)$/.test(type))
            ? 'asks'
            : 'completed'
        }
        if (event.type === 'response.failed') {
          verdict = 'failed'
          error = event.response.error?.message
        }
        if (event.type === 'response.incomplete' && String(event.response.status) === 'cancelled') {
          verdict = 'cancelled'
        }
      }
    }
    const stream = async (body: object, text = '') => {
      kept = { ...kept, last: -1, text }
      verdict = undefined
      try {
        const stream = await client.responses.create(
          { model, stream: true, ...body },
          { signal: stopped.signal },
        )
        await read(stream)
      } catch (reason) {
        error = String(reason)
      }
    }
    const answer = (item: OpenAI.Responses.ResponseInputItem) =>
      // The answer to a question is a response of its own.
      stream({ previous_response_id: kept.id, input: [item] }, kept.text)
    return {
      send: input => stream({ conversation, input }),
      async resume() {
        try {
          const { id, last } = kept
          const from = last < 0 ? {} : { starting_after: last }
          await read(
            await client.responses.retrieve(id, { stream: true, ...from }, { signal: stopped.signal }),
          )
        } catch (reason) {
          error = String(reason)
        }
      },
      shown: () => ({ text: kept.text, verdict, error, tools }),
      approve: () =>
        answer({
          type: 'mcp_approval_response',
          approval_request_id: output.find(({ type }) => type === 'mcp_approval_request')?.id ?? '',
          approve: true,
        }),
      giveResult(result) {
        const call = output.find(item => item.type === 'function_call')
        return answer({
          type: 'function_call_output',
          call_id: call?.call_id ?? '',
          output: JSON.stringify(result),
        })
      },
      async cancel() {
        await client.responses.cancel(kept.id)
      },
      saved: () => ({ ...kept }),
      leave: () => stopped.abort(),
    }
  },
}

export const completions: ForeignClient = {
  lacks: {
    'tool of the agent': 'not shown',
    approval: 'another client answers',
    cancel: 'the native command',
  },
  open(_t, { url, agent: model, id: conversation }, saved): Tab {
    const client = clientOf(url)
    const stopped = new AbortController()
    type Messages = OpenAI.ChatCompletionMessageParam[]
    const messages: Messages = [...((saved as { messages: Messages } | undefined)?.messages ?? [])]
    let text = ''
    let verdict: Shown['verdict']
    let error: string | undefined
    let call: { id: string; type: 'function'; function: { name: string; arguments: string } } | undefined
    const run = async () => {
      text = ''
      verdict = undefined
      error = undefined
      try {
        const stream = await client.chat.completions.create(
          { model, messages, stream: true, metadata: { conversation } },
          { signal: stopped.signal, headers: { 'idempotency-key': `${conversation}-${messages.length}` } },
        )
        for await (const { choices } of stream) {
          const [choice] = choices
          text += choice?.delta.content ?? ''
          const [started] = choice?.delta.tool_calls ?? []
          if (started) {
            const { name = '', arguments: args = '' } = started.function ?? {}
            call = { id: started.id ?? '', type: 'function', function: { name, arguments: args } }
          }
          if (choice?.finish_reason) verdict = choice.finish_reason === 'tool_calls' ? 'asks' : 'completed'
        }
        if (verdict === 'completed') messages.push({ role: 'assistant', content: text })
      } catch (reason) {
        error = String(reason)
        const { code } = reason as { code?: unknown }
        if (code === 'run-cancelled') verdict = 'cancelled'
        else if (typeof code === 'string' && reason instanceof OpenAI.APIError) verdict = 'failed'
      }
    }
    return {
      send(content) {
        messages.push({ role: 'user', content })
        return run()
      },
      resume: run,
      shown: () => ({ text, verdict, error }),
      async giveResult(output) {
        if (!call) throw new Error('no tool was called')
        const said = text
        messages.push({ role: 'assistant', content: said || null, tool_calls: [call] })
        messages.push({ role: 'tool', tool_call_id: call.id, content: JSON.stringify(output) })
        await run()
        text = said + text
      },
      saved: () => ({ messages: [...messages] }),
      leave: () => stopped.abort(),
    }
  },
}
