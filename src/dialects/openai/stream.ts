/** A run as the stream of a response, or of a chat completion. */
import type { TwinrailEvent } from '../../protocol/index.ts'
import type { Frame, StreamEncoder } from '../dialect.ts'
import {
  begin,
  beginAnew,
  type EncodeState,
  encode,
  newEncodeState,
  type ResponseEvent,
  type ResponseNames,
  suspend,
} from './encode.ts'

/** Encodes the events of one response. */
export class ResponseEncoder implements StreamEncoder {
  readonly state: EncodeState
  #time = Date.now()

  constructor(names: ResponseNames) {
    this.state = newEncodeState(names)
  }

  event(event: TwinrailEvent): Frame[] {
    this.#time = event.time
    return encode(this.state, event).map(frameOf)
  }

  skip(event: TwinrailEvent): void {
    this.#time = event.time
    encode(this.state, event)
  }

  /** The response goes on with a run that waited. */
  begin(): Frame[] {
    beginAnew(this.state)
    return begin(this.state, this.#time).map(frameOf)
  }

  get isWaiting(): boolean {
    return this.state.questions.size > 0
  }

  suspend(): Frame[] {
    return suspend(this.state, this.#time).map(frameOf)
  }

  /** After a restart the client may read on with `starting_after`. */
  farewell(code: string, message: string): Frame[] | 'cut' {
    // Without a number: the client reads on after the last event that it got.
    return code === 'restart' ? 'cut' : [frameOf({ type: 'error', code, message, param: null })]
  }
}

function frameOf(event: ResponseEvent): Frame {
  return { event: event.type, data: jsonOf(event) }
}

/** Most events are deltas of text. Their text is put together, which takes a fraction of the time. */
function jsonOf(event: ResponseEvent): string {
  if (event.type !== 'response.output_text.delta') return JSON.stringify(event)
  const { item_id, output_index, delta, sequence_number } = event
  return `{"type":"response.output_text.delta","item_id":${JSON.stringify(item_id)},"output_index":${output_index},"content_index":0,"delta":${JSON.stringify(delta)},"logprobs":[],"sequence_number":${sequence_number}}`
}

/** The reasons that a choice of a chat completion may end for. */
const finishReasons: Readonly<Record<string, string>> = {
  length: 'length',
  'content-filter': 'content_filter',
  'tool-calls': 'tool_calls',
}

/** What a chat completion says in the end. */
export interface Completion {
  content: string
  toolCalls: { id: string; type: 'function'; function: { name: string; arguments: string } }[]
  finishReason: string
  usage: Record<string, unknown> | undefined
  error: { message: string; code: string; type: string } | undefined
}

/** Encodes a run as chunks of a chat completion. */
export class CompletionEncoder implements StreamEncoder {
  readonly completion: Completion = {
    content: '',
    toolCalls: [],
    finishReason: 'stop',
    usage: undefined,
    error: undefined,
  }
  readonly #names: ResponseNames
  readonly #withUsage: boolean
  readonly #calls = new Map<string, { name: string; args: string }>()
  readonly #questions = new Set<string>()
  #created = 0
  /** The JSON that every chunk begins with. */
  #head: string | undefined
  #isSilent = false

  constructor(names: ResponseNames, withUsage: boolean) {
    this.#names = names
    this.#withUsage = withUsage
  }

  event(event: TwinrailEvent): Frame[] {
    this.#created ||= Math.floor(event.time / 1000)
    switch (event.type) {
      case 'run.started':
        return this.begin()
      case 'text.delta':
        if (!this.#isSilent) this.completion.content += event.data.delta
        return [this.#delta(`{"content":${JSON.stringify(event.data.delta)}}`)]
      case 'reasoning.delta':
        return [this.#delta(`{"reasoning_content":${JSON.stringify(event.data.delta)}}`)]
      case 'tool.called': {
        const { toolCallId, toolName, input } = event.data
        this.#calls.set(toolCallId, { name: toolName, args: JSON.stringify(input ?? null) })
        return []
      }
      case 'tool.finished':
        this.#calls.delete(event.data.toolCallId)
        return []
      case 'input.requested':
        return this.#ask(event.data)
      case 'input.answered':
      case 'input.expired':
        this.#questions.delete(event.data.requestId)
        return []
      case 'run.completed': {
        const { finishReason = 'stop', usage } = event.data
        this.completion.finishReason = finishReasons[finishReason] ?? 'stop'
        this.completion.usage = usage
        return this.#end()
      }
      case 'run.failed':
        return this.#fail(event.data.message || event.data.code, event.data.code)
      case 'run.cancelled':
        return this.#fail(`the run was cancelled: ${event.data.reason}`, 'run-cancelled')
      default:
        return []
    }
  }

  skip(event: TwinrailEvent): void {
    this.#isSilent = true
    this.event(event)
    this.#isSilent = false
    this.completion.toolCalls.length = 0
  }

  begin(): Frame[] {
    return [this.#delta('{"role":"assistant","content":""}')]
  }

  get isWaiting(): boolean {
    return this.#questions.size > 0
  }

  suspend(): Frame[] {
    this.completion.finishReason = 'tool_calls'
    return this.#end()
  }

  farewell(code: string, message: string): Frame[] | 'cut' {
    if (code === 'restart') return 'cut'
    const error = { message, type: 'invalid_request_error', code, param: null }
    return [{ data: JSON.stringify({ error }) }]
  }

  /** A tool of the client's. Its id says where the result belongs: the client keeps nothing else. */
  #ask({
    kind,
    requestId,
    toolCallId = '',
  }: {
    kind: string
    requestId: string
    toolCallId?: string | undefined
  }): Frame[] {
    const call = this.#calls.get(toolCallId)
    if (kind !== 'tool' || !call) return []
    this.#questions.add(requestId)
    const { sessionId, runId } = this.#names
    const index = this.completion.toolCalls.length
    const id = `${sessionId}~${runId}~${requestId}`
    const tool = { id, type: 'function' as const, function: { name: call.name, arguments: call.args } }
    this.completion.toolCalls.push(tool)
    return [this.#delta(JSON.stringify({ tool_calls: [{ index, ...tool }] }))]
  }

  #end(): Frame[] {
    const { finishReason, usage } = this.completion
    const last = this.#chunk(
      JSON.stringify([{ index: 0, delta: {}, logprobs: null, finish_reason: finishReason }]),
    )
    if (!this.#withUsage) return [last]
    return [last, this.#chunk(`[],"usage":${JSON.stringify(completionUsage(usage))}`)]
  }

  #fail(message: string, code: string): Frame[] {
    this.completion.error = { message, code, type: 'server_error' }
    return [{ data: JSON.stringify({ error: { ...this.completion.error, param: null } }) }]
  }

  /** @param delta its JSON */
  #delta(delta: string): Frame {
    return this.#chunk(`[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":null}]`)
  }

  /** @param rest the JSON of what differs between chunks: the choices, and the usage after the last */
  #chunk(rest: string): Frame {
    const { id, model } = this.#names
    const head = { id, object: 'chat.completion.chunk', created: this.#created, model }
    this.#head ??= JSON.stringify(head).slice(0, -1)
    return { data: `${this.#head},"choices":${rest}}` }
  }
}

export function completionUsage(usage: Record<string, unknown> | undefined): object {
  const count = (name: string) => (typeof usage?.[name] === 'number' ? (usage[name] as number) : 0)
  const [prompt, completion] = [count('inputTokens'), count('outputTokens')]
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion }
}
