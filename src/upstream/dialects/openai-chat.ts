/** Servers with OpenAI's chat completions. */
import type { EventBody } from '../../protocol/index.ts'
import type { SourceFrame } from '../frames.ts'
import type { ValidEvents } from '../valid-events.ts'
import {
  type Answered,
  bodyOf,
  type Decoder,
  Ending,
  type Fields,
  fieldsOf,
  jsonOrText,
  objectIn,
  otherFields,
  type Question,
  reported,
  type Turn,
  textOf,
  type UpstreamDialect,
} from './dialect.ts'

export const openAiChat: UpstreamDialect = {
  name: 'openai',
  framing: 'sse',
  endsWithConnection: false,
  body: turn => body(turn, turn.messages),
  decoder: () => new ChatDecoder(),
}

function body({ input }: Turn, messages: readonly unknown[]): unknown {
  return { ...otherFields(input), messages, stream: true, stream_options: { include_usage: true } }
}

interface Call {
  readonly id: string
  readonly name: string
  args: string
}

class ChatDecoder implements Decoder {
  readonly questions: Question[] = []
  readonly #ending = new Ending()
  readonly #calls = new Map<number, Call>()
  #finishReason: string | undefined
  #usage: Fields | undefined
  #text = ''

  /** Usage may follow the reason, so the answer is complete at `[DONE]` or at the end of the connection. */
  get result() {
    if (this.#finishReason === undefined) return this.#ending.result
    return { finishReason: this.#finishReason, ...(this.#usage && { usage: this.#usage }) }
  }

  decode(frame: SourceFrame, events: ValidEvents): EventBody[] {
    if (this.#ending.isReached(frame)) return []
    const chunk = objectIn(frame, 'openai')
    if (chunk['error'] !== undefined && chunk['error'] !== null) {
      const { code, message } = fieldsOf(chunk['error'])
      throw reported(textOf(code), textOf(message) || textOf(chunk['error']))
    }
    if (typeof chunk['usage'] === 'object' && chunk['usage'] !== null) this.#usage = fieldsOf(chunk['usage'])
    const choice = fieldsOf(Array.isArray(chunk['choices']) ? chunk['choices'][0] : undefined)
    const delta = fieldsOf(choice['delta'] ?? choice['message'])
    const bodies: EventBody[] = []
    const say = (kind: 'text' | 'reasoning', said: unknown) => {
      if (typeof said === 'string' && said !== '')
        bodies.push(bodyOf(`${kind}.delta`, { partId: kind, delta: said }))
    }
    say('reasoning', delta['reasoning_content'] ?? delta['reasoning'])
    say('text', delta['content'])
    this.#text += textOf(delta['content'])
    const calls = Array.isArray(delta['tool_calls']) ? delta['tool_calls'].map(fieldsOf) : []
    for (const call of calls) bodies.push(...this.#call(call))
    const reason = choice['finish_reason']
    if (typeof reason === 'string') {
      this.#finishReason = reason.replace('_', '-')
      bodies.push(...this.#end())
    }
    return bodies.flatMap(one => events.of(one))
  }

  next(turn: Turn, answers: readonly Answered[]): unknown {
    const tool_calls = [...this.#calls.values()].map(({ id, name, args }) => ({
      id,
      type: 'function',
      function: { name, arguments: args },
    }))
    const results = answers.map(({ question, value }) => ({
      role: 'tool',
      tool_call_id: question.id,
      content: typeof value === 'string' ? value : JSON.stringify(value),
    }))
    return body(turn, [...turn.messages, { role: 'assistant', content: this.#text, tool_calls }, ...results])
  }

  #call(call: Fields): EventBody[] {
    const index = typeof call['index'] === 'number' ? call['index'] : this.#calls.size
    const { name, arguments: args } = fieldsOf(call['function'])
    const known = this.#calls.get(index)
    const current = known ?? {
      id: textOf(call['id']) || `call-${index}`,
      name: textOf(name) || 'tool',
      args: '',
    }
    this.#calls.set(index, current)
    current.args += textOf(args)
    const { id: toolCallId, name: toolName } = current
    return [
      ...(known ? [] : [bodyOf('tool.started', { toolCallId, toolName })]),
      ...(textOf(args) === '' ? [] : [bodyOf('tool.delta', { toolCallId, delta: textOf(args) })]),
    ]
  }

  /** The model's tool calls are for the client to run: the session's clients are asked. */
  #end(): EventBody[] {
    if (this.#finishReason !== 'tool-calls') return []
    return [...this.#calls.values()].map(({ id, name, args }) => {
      this.questions.push({ id, kind: 'tool', message: `Run ${name} and send its result.`, toolCallId: id })
      return bodyOf('tool.called', { toolCallId: id, toolName: name, input: jsonOrText(args) })
    })
  }
}
