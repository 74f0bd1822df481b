/** A run in the forms of JD Genie, and in those of the teaching text about it. */
import type { TwinrailEvent } from '../../protocol/index.ts'
import type { Frame, StreamEncoder } from '../dialect.ts'
import { jsonForm } from '../json-form.ts'
import { type AgentResponse, encode, envelope, isPart, newEncodeState, newEnvelopeState } from './encode.ts'

const frameOf = (value: unknown): Frame => ({ data: JSON.stringify(value) })

/** None of these clients answers questions: a run that asks waits for somebody else. */
abstract class GenieEncoder implements StreamEncoder {
  readonly isWaiting = false
  protected last: TwinrailEvent | undefined

  abstract messages(event: TwinrailEvent): Frame[]

  event(event: TwinrailEvent): Frame[] {
    this.last = event
    return this.messages(event)
  }

  skip(event: TwinrailEvent): void {
    this.event(event)
  }

  suspend(): Frame[] {
    return []
  }

  /** There is always a terminal message: without one the page turns its spinner for ever. */
  farewell(code: string, message: string): Frame[] {
    const { offset = '', sessionId = '', runId, time = 0 } = this.last ?? {}
    const data = { code, message, retryable: true }
    return this.messages({ offset, sessionId, runId, time, type: 'run.failed', data } as TwinrailEvent)
  }
}

/** The form of the messages of one kind: of the last one, since the parts of a text follow each other. */
class Forms<V extends readonly unknown[]> {
  #of: string | undefined
  #json: (...values: V) => string = () => ''

  of(kind: string, make: (...values: V) => object): (...values: V) => string {
    if (this.#of !== kind) {
      this.#of = kind
      this.#json = jsonForm(make)
    }
    return this.#json
  }
}

/** What every form is told. */
export interface GenieRequest {
  requestId: string
  query: string
  agentType: number
  runId: string
}

/** `/AutoAgent` of the real system: one `AgentResponse` per event. */
export class AgentResponseEncoder extends GenieEncoder {
  readonly #state: ReturnType<typeof newEncodeState>
  readonly #parts = new Forms<[messageTime: unknown, data: unknown]>()

  constructor({ requestId, agentType, query }: GenieRequest) {
    super()
    this.#state = newEncodeState(requestId, agentType, query)
  }

  messages(event: TwinrailEvent): Frame[] {
    return this.responses(event).map(message => {
      if (!isPart(message)) return frameOf(message)
      const { messageType, messageId, messageTime, resultMap } = message
      const part = this.#parts.of(`${messageType} ${messageId}`, (messageTime, data) => ({
        ...message,
        messageTime,
        resultMap: { ...resultMap, data },
      }))
      return { data: part(messageTime, resultMap['data']) }
    })
  }

  protected responses(event: TwinrailEvent): AgentResponse[] {
    return encode(this.#state, event)
  }
}

/** What the page reads: each `AgentResponse` in an envelope. */
export class EnvelopeEncoder extends AgentResponseEncoder {
  readonly #envelopes: ReturnType<typeof newEnvelopeState>
  readonly #envelopedParts = new Forms<
    [messageOrder: unknown, taskOrder: unknown, messageTime: unknown, data: unknown]
  >()

  constructor(request: GenieRequest) {
    super(request)
    this.#envelopes = newEnvelopeState(request.agentType, request.requestId, request.runId)
  }

  override messages(event: TwinrailEvent): Frame[] {
    return this.responses(event).map(message => {
      const state = this.#envelopes
      if (!isPart(message)) return frameOf(envelope(state, message))
      const { messageType, messageId, messageTime, resultMap } = message
      const { task } = state
      const part = this.#envelopedParts.of(
        `${messageType} ${messageId} ${task.id}`,
        (messageOrder, taskOrder, messageTime, data) => {
          const sample = { ...message, messageTime, resultMap: { ...resultMap, data } }
          const enveloped = envelope({ ...state, task: { ...task } }, sample)
          Object.assign(enveloped.resultMap.eventData, { messageOrder, taskOrder })
          return enveloped
        },
      )
      return { data: part(state.order++, task.order++, messageTime, resultMap['data']) }
    })
  }
}

/** `/AutoAgent` as the teaching text prints it: `planning`, `agent_stream`, `result`. */
export class PrinterEncoder extends GenieEncoder {
  readonly #request: GenieRequest
  readonly #agentType: string
  readonly #parts = new Forms<[result: unknown]>()
  #text = ''

  constructor(request: GenieRequest, agentType: string) {
    super()
    this.#request = request
    this.#agentType = agentType
  }

  messages(event: TwinrailEvent): Frame[] {
    const { requestId, runId } = this.#request
    const message = (messageType: string, messageId: string, fields: object, isFinal: boolean) => ({
      requestId,
      messageId,
      messageType,
      ...fields,
      isFinal,
    })
    const result = (text: string, error?: string) => {
      const resultMap = {
        agentType: this.#agentType,
        taskSummary: text,
        fileList: [],
        ...(error && { error }),
      }
      return [frameOf(message('result', `${runId}:result`, { result: text, resultMap }, true))]
    }
    switch (event.type) {
      case 'plan.updated': {
        const planList = event.data.steps.map(({ title }) => title)
        return [frameOf(message('planning', `${runId}:plan`, { planList }, false))]
      }
      case 'text.delta': {
        if (this.#text.length < 1024 * 1024) this.#text += event.data.delta
        const messageId = `${runId}:${event.data.partId}`
        const part = this.#parts.of(messageId, result =>
          message('agent_stream', messageId, { result }, false),
        )
        return [{ data: part(event.data.delta) }]
      }
      case 'run.completed': {
        const { result: own } = event.data
        return result(
          this.#text || (own === undefined ? '' : typeof own === 'string' ? own : JSON.stringify(own)),
        )
      }
      case 'run.failed':
        return result(`The run failed: ${event.data.message || event.data.code}`, event.data.code)
      case 'run.cancelled':
        return result(`The run was cancelled: ${event.data.reason}`, 'cancelled')
      default:
        return []
    }
  }
}

interface Doc {
  doc_type: string
  content: string
  title: string
  link: string
}

/** The sources of a run, sent once, before the answer. */
class Sources {
  #docs: Doc[] = []
  #isSent = false

  add({ data }: Extract<TwinrailEvent, { type: 'source.added' }>): void {
    const { title, url = '', excerpt = '' } = data
    this.#docs.push({ doc_type: 'web_page', content: excerpt, title, link: url })
  }

  /** All of them, the first time. */
  take(query: string): { query: string[]; docs: Doc[][] } | undefined {
    if (this.#isSent) return undefined
    this.#isSent = true
    const docs = [this.#docs]
    this.#docs = []
    return { query: [query], docs }
  }
}

/** The real tool service: `extend`, `search`, then `report` piece by piece, `[DONE]`. */
export class ToolServiceEncoder extends GenieEncoder {
  readonly #request: GenieRequest
  readonly #sources = new Sources()
  readonly #report: (answer: unknown) => string

  constructor(request: GenieRequest) {
    super()
    this.#request = request
    this.#report = jsonForm(answer => this.#message('report', { answer, searchFinish: true }))
  }

  #message(messageType: string, fields: object): object {
    const { requestId, query } = this.#request
    const searchResult = { query: [], docs: [] }
    const none = { searchResult, answer: '', isFinal: false, searchFinish: false }
    return { requestId, query, messageType, ...none, ...fields }
  }

  messages(event: TwinrailEvent): Frame[] {
    const { query } = this.#request
    const message = (messageType: string, fields: object) => frameOf(this.#message(messageType, fields))
    const found = () => {
      const searchResult = this.#sources.take(query)
      return searchResult ? [message('search', { searchResult, searchFinish: true })] : []
    }
    switch (event.type) {
      case 'run.started':
        return [message('extend', { searchResult: { query: [query], docs: [] } })]
      case 'source.added':
        this.#sources.add(event)
        return []
      case 'text.delta':
        return [...found(), { data: this.#report(event.data.delta) }]
      // The client appends: the last message has only what is left, which is nothing.
      case 'run.completed':
        return [...found(), message('report', { isFinal: true, searchFinish: true })]
      case 'run.failed':
        return [
          message('report', {
            answer: `\n\nThe search failed: ${event.data.message}`,
            isFinal: true,
            searchFinish: true,
          }),
        ]
      case 'run.cancelled':
        return [
          message('report', { answer: '\n\nThe search was cancelled.', isFinal: true, searchFinish: true }),
        ]
      default:
        return []
    }
  }
}

/** The tool service as the teaching text prints it: statuses, then `search` messages; `event: error` on failure. */
export class SearchEncoder extends GenieEncoder {
  readonly #request: GenieRequest
  readonly #sources = new Sources()
  readonly #answer: (answer: unknown) => string

  constructor(request: GenieRequest) {
    super()
    this.#request = request
    const { requestId, query } = request
    this.#answer = jsonForm(answer => ({ requestId, messageType: 'search', query, answer, isFinal: false }))
  }

  messages(event: TwinrailEvent): Frame[] {
    const { requestId, query } = this.#request
    const frame = (data: string): Frame => ({ id: requestId, event: 'data', data })
    const message = (fields: object) => frame(JSON.stringify({ requestId, ...fields }))
    const search = (fields: object) => message({ messageType: 'search', query, ...fields })
    const found = () => {
      const searchResult = this.#sources.take(query)
      return searchResult ? [search({ searchResult, isFinal: false })] : []
    }
    const failed = (code: string, text: string): Frame[] => [
      { id: requestId, event: 'error', data: JSON.stringify({ requestId, error: text, code }) },
    ]
    switch (event.type) {
      case 'run.status':
        return [message({ status: event.data.status, message: event.data.message ?? '' })]
      case 'source.added':
        this.#sources.add(event)
        return []
      case 'text.delta':
        return [...found(), frame(this.#answer(event.data.delta))]
      case 'run.completed':
        return [...found(), search({ answer: '', isFinal: true })]
      case 'run.failed':
        return failed(event.data.code, event.data.message || event.data.code)
      case 'run.cancelled':
        return failed('cancelled', event.data.reason)
      default:
        return []
    }
  }
}
