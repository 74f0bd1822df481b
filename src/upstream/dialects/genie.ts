/** JD Genie's services: `/AutoAgent`, in both forms, and the tool service's `/v1/tool/deepsearch`. */
import { decode, newDecodeState } from '../../dialects/genie/decode.ts'
import type { EventBody } from '../../protocol/index.ts'
import type { SourceFrame } from '../frames.ts'
import type { ValidEvents } from '../valid-events.ts'
import {
  bodyOf,
  type Decoder,
  Ending,
  type Fields,
  fieldsOf,
  objectIn,
  otherFields,
  reported,
  textOf,
  type UpstreamDialect,
} from './dialect.ts'

export const genie: UpstreamDialect = {
  name: 'genie',
  framing: 'sse',
  endsWithConnection: false,
  body({ runId, sessionId, input, messages }) {
    const query = messages.findLast(({ role }) => role === 'user')?.content ?? ''
    return { query, ...otherFields(input), requestId: runId, request_id: runId, sessionId, stream: true }
  },
  decoder: () => new GenieDecoder(),
}

class GenieDecoder implements Decoder {
  readonly questions = []
  readonly #state = newDecodeState()
  readonly #ending = new Ending()
  #sources = 0

  get result() {
    return this.#ending.result
  }

  decode(frame: SourceFrame, events: ValidEvents): EventBody[] {
    if (frame.data === '[DONE]') {
      this.#ending.result ??= {}
      return []
    }
    if (frame.data.trim() === 'heartbeat') return []
    if (frame.event === 'error') throw reported('upstream-error', frame.data)
    const message = unwrapped(objectIn(frame, 'genie'))
    const bodies = this.#ending.without(this.#bodies(message))
    return bodies.flatMap(one => events.of(one))
  }

  #bodies(message: Fields): EventBody[] {
    const type = textOf(message['messageType'])
    if (message['resultMap'] !== undefined && type !== '')
      return decode(this.#state, { ...message, resultMap: fieldsOf(message['resultMap']) } as never)
    const isLast = message['isFinal'] === true
    const end = isLast ? [bodyOf('run.completed', {})] : []
    switch (type) {
      case 'planning': {
        const list = Array.isArray(message['planList']) ? message['planList'] : []
        return [
          bodyOf('plan.updated', { steps: list.map(title => ({ title: String(title), status: 'pending' })) }),
        ]
      }
      case 'agent_stream':
        return [
          bodyOf('text.delta', {
            partId: textOf(message['messageId']) || 'text',
            delta: textOf(message['result']),
          }),
        ]
      case 'status':
        return [
          bodyOf('run.status', {
            status: textOf(message['status']) || 'working',
            message: textOf(message['message']),
          }),
        ]
      case 'extend':
      case 'search':
        return this.#found(fieldsOf(message['searchResult']))
      default: {
        const said = textOf(message['answer']) || textOf(message['data'])
        return [...(said === '' ? [] : [bodyOf('text.delta', { partId: 'answer', delta: said })]), ...end]
      }
    }
  }

  #found({ docs }: Fields): EventBody[] {
    const found = (Array.isArray(docs) ? docs.flat() : []).map(fieldsOf)
    return found.map(({ title, link, content }) =>
      bodyOf('source.added', {
        sourceId: `source-${++this.#sources}`,
        title: textOf(title) || textOf(link) || 'Source',
        ...(textOf(link) !== '' && { url: textOf(link) }),
        ...(textOf(content) !== '' && { excerpt: textOf(content) }),
      }),
    )
  }
}

/** The page's gateway wraps the message of an agent. */
function unwrapped(message: Fields): Fields {
  const inner = fieldsOf(fieldsOf(message['resultMap'])['eventData'])
  return inner['resultMap'] === undefined ? message : fieldsOf(inner['resultMap'])
}
