/** AI SDK servers: `toUIMessageStreamResponse()`. */
import { v6Types } from '../../dialects/ai-sdk/chunks.ts'
import { decode, newDecodeState } from '../../dialects/ai-sdk/decode.ts'
import type { EventBody } from '../../protocol/index.ts'
import type { SourceFrame } from '../frames.ts'
import type { ValidEvents } from '../valid-events.ts'
import {
  type Answered,
  type Decoder,
  Ending,
  type Fields,
  fieldsOf,
  objectIn,
  otherFields,
  type Question,
  reported,
  type Turn,
  textOf,
  type UpstreamDialect,
} from './dialect.ts'

/** Chunks that say nothing to a session. */
const SILENT = new Set(['start', 'finish', 'message-metadata', 'tool-approval-request'])

export const aiSdk: UpstreamDialect = {
  name: 'ai-sdk',
  framing: 'sse',
  endsWithConnection: false,
  body: turn => body(turn, messagesOf(turn)),
  decoder: () => new AiSdkDecoder(),
}

function body({ sessionId, input }: Turn, messages: readonly unknown[]): unknown {
  return { ...otherFields(input), id: sessionId, messages, trigger: 'submit-message' }
}

function messagesOf({ messages, runId }: Turn): Fields[] {
  return messages.map(({ role, content }, i) => ({
    id: `${runId}-${i}`,
    role,
    parts: [{ type: 'text', text: content }],
  }))
}

class AiSdkDecoder implements Decoder {
  readonly questions: Question[] = []
  readonly #state = newDecodeState()
  readonly #ending = new Ending()
  /** The assistant's message so far, as the next request repeats it. */
  readonly #parts: Fields[] = []

  get result() {
    return this.#ending.result
  }

  decode(frame: SourceFrame, events: ValidEvents): EventBody[] {
    if (this.#ending.isReached(frame)) return []
    const chunk = objectIn(frame, 'ai-sdk')
    const type = textOf(chunk['type'])
    if (type === 'error') throw reported('upstream-error', textOf(chunk['errorText']))
    if (type === 'tool-approval-request') this.#ask(chunk)
    else this.#keep(type, chunk)
    const bodies = this.#ending.without(decode(this.#state, { ...chunk, type }))
    if (bodies.length > 0) return bodies.flatMap(one => events.of(one))
    const isKnown = v6Types.has(type) || type.startsWith('data-') || SILENT.has(type)
    return isKnown ? [] : events.unknown(type, chunk)
  }

  next(turn: Turn, answers: readonly Answered[]): unknown {
    for (const { question, value } of answers) {
      const part = this.#parts.find(({ approval }) => fieldsOf(approval)['id'] === question.id)
      if (!part) continue
      const { approved, reason } = fieldsOf(value)
      part['state'] = 'approval-responded'
      part['approval'] = {
        id: question.id,
        approved: approved === true,
        ...(typeof reason === 'string' && { reason }),
      }
    }
    const message = { id: `${turn.runId}-answer`, role: 'assistant', parts: this.#parts }
    return body(turn, [...messagesOf(turn), message])
  }

  #ask({ approvalId, toolCallId }: Fields): void {
    const part = this.#tool(textOf(toolCallId))
    if (part) Object.assign(part, { state: 'approval-requested', approval: { id: approvalId } })
    const toolName = textOf(part?.['type']).slice('tool-'.length) || 'a tool'
    this.questions.push({
      id: textOf(approvalId),
      kind: 'approval',
      message: `May ${toolName} run?`,
      schema: {
        type: 'object',
        properties: { approved: { type: 'boolean' }, reason: { type: 'string' } },
        required: ['approved'],
      },
      ...(textOf(toolCallId) !== '' && { toolCallId: textOf(toolCallId) }),
    })
  }

  #tool(toolCallId: string): Fields | undefined {
    return this.#parts.findLast(part => part['toolCallId'] === toolCallId)
  }

  /** Adds what a chunk says to the assistant's message. */
  #keep(type: string, chunk: Fields): void {
    const last = this.#parts.at(-1)
    if (type === 'text-start') this.#parts.push({ type: 'text', text: '' })
    else if (type === 'text-delta' && last?.['type'] === 'text') {
      last['text'] = `${textOf(last['text'])}${textOf(chunk['delta'])}`
    } else if (type === 'start-step') this.#parts.push({ type: 'step-start' })
    else if (type === 'tool-input-available') {
      const { toolCallId, toolName, input } = chunk
      this.#parts.push({ type: `tool-${textOf(toolName)}`, toolCallId, state: 'input-available', input })
    } else if (type === 'tool-output-available' || type === 'tool-output-error') {
      const part = this.#tool(textOf(chunk['toolCallId']))
      const { output, errorText } = chunk
      if (type === 'tool-output-error') Object.assign(part ?? {}, { state: 'output-error', errorText })
      else Object.assign(part ?? {}, { state: 'output-available', output })
    }
  }
}
