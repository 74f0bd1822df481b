/** Servers with OpenAI's Responses API. */
import { decode, newDecodeState } from '../../dialects/openai/decode.ts'
import type { EventBody } from '../../protocol/index.ts'
import type { SourceFrame } from '../frames.ts'
import type { ValidEvents } from '../valid-events.ts'
import {
  type Answered,
  type Decoder,
  Ending,
  fieldsOf,
  objectIn,
  otherFields,
  type Question,
  reported,
  type Turn,
  textOf,
  type UpstreamDialect,
} from './dialect.ts'

export const openAiResponses: UpstreamDialect = {
  name: 'openai-responses',
  framing: 'sse',
  endsWithConnection: false,
  body: turn => body(turn, turn.messages),
  decoder: () => new ResponsesDecoder(),
}

function body({ input: given }: Turn, input: readonly unknown[], previous?: string): unknown {
  return { ...otherFields(given), input, stream: true, ...(previous && { previous_response_id: previous }) }
}

class ResponsesDecoder implements Decoder {
  readonly questions: Question[] = []
  readonly #state = newDecodeState()
  readonly #ending = new Ending()
  #responseId = ''
  position: number | undefined

  get result() {
    return this.#ending.result
  }

  decode(frame: SourceFrame, events: ValidEvents): EventBody[] {
    if (this.#ending.isReached(frame)) return []
    const event = objectIn(frame, 'openai-responses')
    const type = textOf(event['type'])
    this.#responseId ||= textOf(fieldsOf(event['response'])['id'])
    const number = event['sequence_number']
    if (typeof number === 'number') {
      if (this.position !== undefined && number <= this.position) return []
      this.position = number
    }
    if (type === 'error') throw reported(textOf(event['code']), textOf(event['message']))
    if (type === 'response.output_item.done') this.#ask(fieldsOf(event['item']))
    const bodies = this.#ending.without(decode(this.#state, { ...event, type }))
    if (bodies.length > 0) return bodies.flatMap(one => events.of(one))
    return type.startsWith('response.') ? [] : events.unknown(type, event)
  }

  next(turn: Turn, answers: readonly Answered[]): unknown {
    const outputs = answers.map(({ question, value }) =>
      question.kind === 'approval'
        ? {
            type: 'mcp_approval_response',
            approval_request_id: question.id,
            approve: fieldsOf(value)['approved'] === true,
          }
        : {
            type: 'function_call_output',
            call_id: question.id,
            output: typeof value === 'string' ? value : JSON.stringify(value),
          },
    )
    return body(turn, outputs, this.#responseId)
  }

  /** OpenAI itself keeps the events of a response only when it was made with `background: true`. */
  rest(endpoint: URL): URL | undefined {
    const rest = this.#address(endpoint)
    if (!rest || this.position === undefined) return undefined
    rest.searchParams.set('stream', 'true')
    rest.searchParams.set('starting_after', String(this.position))
    return rest
  }

  stop(endpoint: URL): URL | undefined {
    return this.#address(endpoint, '/cancel')
  }

  #address(endpoint: URL, below = ''): URL | undefined {
    if (this.#responseId === '') return undefined
    const address = new URL(endpoint)
    address.pathname = `${endpoint.pathname.replace(/\/$/, '')}/${encodeURIComponent(this.#responseId)}${below}`
    return address
  }

  #ask({ type, id, call_id: callId, name }: Record<string, unknown>): void {
    if (type === 'function_call') {
      const toolCallId = textOf(callId)
      const message = `Run ${textOf(name)} and send its result.`
      this.questions.push({ id: toolCallId, kind: 'tool', message, toolCallId })
    } else if (type === 'mcp_approval_request') {
      this.questions.push({
        id: textOf(id),
        kind: 'approval',
        message: `May ${textOf(name)} run?`,
        schema: { type: 'object', properties: { approved: { type: 'boolean' } }, required: ['approved'] },
      })
    }
  }
}
