/** Streams of no known dialect: any SSE, lines of JSON, or text. */
import { type EventBody, isTerminal } from '../../protocol/index.ts'
import type { Framing, SourceFrame } from '../frames.ts'
import type { ValidEvents } from '../valid-events.ts'
import {
  bodyOf,
  type Decoder,
  Ending,
  fieldsOf,
  jsonOrText,
  type Turn,
  textOf,
  type UpstreamDialect,
} from './dialect.ts'

/** Makes event bodies of a frame; `undefined` for what is usual. */
export type MapFrame = (frame: SourceFrame) => readonly EventBody[] | undefined

/** Fields of a JSON object that are likely to hold the next piece of text, the most likely first. */
const TEXT_FIELDS = [
  'delta',
  'content',
  'text',
  'token',
  'answer',
  'data',
  'result',
  'message',
  'output',
] as const

/** @param map overrides what frames become */
export function plain(name: 'sse' | 'ndjson' | 'text', map?: MapFrame): UpstreamDialect {
  const framing: Framing = name
  return {
    name,
    framing,
    endsWithConnection: true,
    body: plainBody,
    decoder: () => new PlainDecoder(name, map),
  }
}

function plainBody({ input, messages, sessionId, runId }: Turn): unknown {
  return { ...input, ...(messages.length > 0 && { messages }), sessionId, runId, stream: true }
}

class PlainDecoder implements Decoder {
  readonly questions = []
  readonly #name: string
  readonly #map: MapFrame | undefined
  readonly #ending = new Ending()

  constructor(name: string, map: MapFrame | undefined) {
    this.#name = name
    this.#map = map
  }

  get result() {
    return this.#ending.result
  }

  decode(frame: SourceFrame, events: ValidEvents): EventBody[] {
    const bodies = this.#map?.(frame) ?? this.#usual(frame, events)
    return this.#ending.without(bodies).flatMap(one => (isOurs(one.type) ? events.of(one) : []))
  }

  #usual(frame: SourceFrame, events: ValidEvents): EventBody[] {
    if (this.#ending.isReached(frame)) return []
    const text = (delta: string) => (delta === '' ? [] : [bodyOf('text.delta', { partId: 'text', delta })])
    if (this.#name === 'text') return text(frame.data)
    const value = jsonOrText(frame.data)
    if (typeof value === 'string') return text(value)
    const object = fieldsOf(value)
    const type = textOf(object['type'])
    if (isOurs(type) && 'data' in object) return [bodyOf(type, object['data'])]
    if (frame.event === 'error' || typeof object['error'] === 'string') {
      return [
        bodyOf('run.failed', { code: 'upstream-error', message: textOf(object['error']) || frame.data }),
      ]
    }
    const field = TEXT_FIELDS.find(name => typeof object[name] === 'string')
    if (field !== undefined) return text(object[field] as string)
    return events.unknown(frame.event ?? (type || 'event'), value)
  }
}

/** Whether a type is one of the protocol's events that an agent may send, or ends its run. */
function isOurs(type: string): boolean {
  return (
    isTerminal(type) ||
    /^(run\.status|plan\.updated|step\.|text\.|reasoning\.|tool\.|source\.added|artifact\.|x\.)/.test(type)
  )
}
