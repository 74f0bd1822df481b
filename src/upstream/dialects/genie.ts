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

/** Sources of one answer; further ones are left out. */
const MAX_SOURCES = 1000

/** UTF-16 units of an answer that are compared with its last message; a longer one is taken as it comes. */
const WHOLE_ANSWER = 1024 * 1024

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
  /** The sources that were told; some services send all of them with each piece of the answer. */
  readonly #sources = new Set<string>()
  /** What `search` messages have said of the answer, which the last one repeats. */
  #answer = ''

  get result() {
    return this.#ending.result
  }

  decode(frame: SourceFrame, events: ValidEvents): EventBody[] {
    if (this.#ending.isReached(frame)) return []
    if (frame.data.trim() === 'heartbeat') return []
    if (frame.event === 'error') throw reported('upstream-error', frame.data)
    const message = unwrapped(objectIn(frame, 'genie'))
    const bodies = this.#ending.without(this.#bodies(message, frame.event === 'data'))
    return bodies.flatMap(one => events.of(one))
  }

  /** @param isPrinted whether it has the frames of the teaching text: there a final `search` ends the answer */
  #bodies(message: Fields, isPrinted: boolean): EventBody[] {
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
        return [status(message)]
      case 'extend':
        return this.#found(fieldsOf(message['searchResult']))
      case 'search': {
        const found = this.#found(fieldsOf(message['searchResult']))
        const said = this.#more(textOf(message['answer']), isLast)
        return [...found, ...answer(said), ...(isPrinted ? end : [])]
      }
      default: {
        if (type === '' && textOf(message['status']) !== '' && message['packageType'] === undefined)
          return [status(message)]
        return [...answer(textOf(message['answer']) || textOf(message['data'])), ...end]
      }
    }
  }

  /** What a `search` message adds to the answer: the last one has all of it. */
  #more(said: string, isLast: boolean): string {
    const more = isLast && said.startsWith(this.#answer) ? said.slice(this.#answer.length) : said
    if (this.#answer.length + more.length <= WHOLE_ANSWER) this.#answer += more
    return more
  }

  #found({ docs }: Fields): EventBody[] {
    const found = (Array.isArray(docs) ? docs.flat() : []).map(fieldsOf)
    return found.flatMap(({ title, link, content }) => {
      const source = `${textOf(link)} ${textOf(title)}`
      if (this.#sources.has(source) || this.#sources.size >= MAX_SOURCES) return []
      this.#sources.add(source)
      return [
        bodyOf('source.added', {
          sourceId: `source-${this.#sources.size}`,
          title: textOf(title) || textOf(link) || 'Source',
          ...(textOf(link) !== '' && { url: textOf(link) }),
          ...(textOf(content) !== '' && { excerpt: textOf(content) }),
        }),
      ]
    })
  }
}

function status(message: Fields): EventBody {
  return bodyOf('run.status', {
    status: textOf(message['status']) || 'working',
    message: textOf(message['message']),
  })
}

const answer = (delta: string): EventBody[] =>
  delta === '' ? [] : [bodyOf('text.delta', { partId: 'answer', delta })]

/** The page's gateway wraps the message of an agent. */
function unwrapped(message: Fields): Fields {
  const inner = fieldsOf(fieldsOf(message['resultMap'])['eventData'])
  return inner['resultMap'] === undefined ? message : fieldsOf(inner['resultMap'])
}
