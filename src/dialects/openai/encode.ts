/** Events as the events of OpenAI's Responses API. */
import type { TwinrailEvent } from '../../protocol/index.ts'

/** UTF-16 units of text that a response repeats at its end. What is beyond it was in the deltas only. */
const OUTPUT_TEXT = 4 * 1024 * 1024

/** An event of a response's stream. */
export interface ResponseEvent {
  type: string
  [field: string]: unknown
}

export type Item = { type: string; id: string } & Record<string, unknown>

interface ToolCall {
  readonly toolName: string
  readonly args: string
  readonly isClients: boolean
}

/** What the events of an event depend on, beside the event. */
export interface EncodeState {
  readonly isExtended: boolean
  /** The response, as its next event repeats it. */
  readonly response: { status: string; output: Item[] } & Record<string, unknown>
  /** Open texts and reasoning by kind and part. */
  readonly parts: Map<
    string,
    { kind: 'text' | 'reasoning'; index: number; item: Item; text: string; sources: object[] }
  >
  readonly calls: Map<string, ToolCall>
  /** Questions without an answer that this client answers. */
  readonly questions: Set<string>
  sequence: number
  characters: number
}

/** What a response is called, and how it is told. */
export interface ResponseNames {
  id: string
  model: string
  sessionId: string
  runId: string
  previousId?: string | undefined
  background?: boolean | undefined
  /** Also sends what has no form of its own, as `twinrail.event`. OpenAI's clients refuse types that they do not know. */
  isExtended?: boolean | undefined
}

export function newEncodeState(names: ResponseNames): EncodeState {
  const { id, model, sessionId, runId, previousId, background, isExtended } = names
  return {
    isExtended: isExtended ?? false,
    response: {
      id,
      object: 'response',
      created_at: 0,
      status: 'in_progress',
      background: background ?? false,
      error: null,
      incomplete_details: null,
      instructions: null,
      max_output_tokens: null,
      metadata: { sessionId, runId },
      model,
      output: [],
      parallel_tool_calls: true,
      previous_response_id: previousId ?? null,
      temperature: null,
      text: { format: { type: 'text' } },
      tool_choice: 'auto',
      tools: [],
      top_p: null,
      truncation: 'disabled',
      usage: null,
    },
    parts: new Map(),
    calls: new Map(),
    questions: new Set(),
    sequence: 0,
    characters: 0,
  }
}

/** The events that begin a response. */
export function begin(state: EncodeState, timeMs: number): ResponseEvent[] {
  state.response['created_at'] = Math.floor(timeMs / 1000)
  return numbered(state, [
    { type: 'response.created', response: snapshot(state) },
    { type: 'response.in_progress', response: snapshot(state) },
  ])
}

/** A response begins in the middle of a run: nothing is open, and nothing was said in it. */
export function beginAnew(state: EncodeState): void {
  state.parts.clear()
  state.response.output.length = 0
  state.sequence = 0
  state.characters = 0
}

/** The end of a response while the run waits for its user. */
export function suspend(state: EncodeState, timeMs: number): ResponseEvent[] {
  return numbered(state, [...closeParts(state), ...finish(state, 'completed', timeMs)])
}

/** The events of the next event. Changes the state. */
export function encode(state: EncodeState, event: TwinrailEvent): ResponseEvent[] {
  if (event.type === 'run.started') return begin(state, event.time)
  const events = bare(state, event)
  return numbered(state, state.isExtended ? events : events.filter(({ type }) => type !== OWN))
}

function numbered(state: EncodeState, events: ResponseEvent[]): ResponseEvent[] {
  for (const event of events) event['sequence_number'] = state.sequence++
  return events
}

function snapshot({ response }: EncodeState): object {
  return { ...response, output: [...response.output] }
}

/** The type of what has no form of its own. */
const OWN = 'twinrail.event'

function own({ type, data }: TwinrailEvent): ResponseEvent {
  return { type: OWN, event: { type, data } }
}

function bare(state: EncodeState, event: TwinrailEvent): ResponseEvent[] {
  switch (event.type) {
    case 'text.start':
    case 'reasoning.start':
      return startPart(state, event.type === 'text.start' ? 'text' : 'reasoning', event.data.partId)
    case 'text.delta':
    case 'reasoning.delta': {
      const kind = event.type === 'text.delta' ? 'text' : 'reasoning'
      const { partId, delta } = event.data
      const key = `${kind} ${partId}`
      const opened = state.parts.has(key) ? [] : startPart(state, kind, partId)
      const part = state.parts.get(key)
      if (!part) return opened
      if (state.characters + delta.length <= OUTPUT_TEXT) {
        part.text += delta
        state.characters += delta.length
      }
      const at = { item_id: part.item.id, output_index: part.index }
      return [
        ...opened,
        kind === 'text'
          ? { type: 'response.output_text.delta', ...at, content_index: 0, delta, logprobs: [] }
          : { type: 'response.reasoning_summary_text.delta', ...at, summary_index: 0, delta },
      ]
    }
    case 'text.end':
    case 'reasoning.end':
      return endPart(state, `${event.type === 'text.end' ? 'text' : 'reasoning'} ${event.data.partId}`)
    case 'tool.started':
      return []
    case 'tool.delta':
      return []
    case 'tool.called': {
      const { toolCallId, toolName, input } = event.data
      state.calls.set(toolCallId, { toolName, args: JSON.stringify(input ?? null), isClients: false })
      return []
    }
    case 'tool.finished': {
      const { toolCallId, output = null, isError } = event.data
      const call = state.calls.get(toolCallId)
      state.calls.delete(toolCallId)
      if (call?.isClients) return [own(event)]
      const text = typeof output === 'string' ? output : JSON.stringify(output)
      return wholeItem(state, {
        id: `mcp_${toolCallId}`,
        type: 'mcp_call',
        server_label: 'twinrail',
        name: call?.toolName ?? 'unknown',
        arguments: call?.args ?? 'null',
        status: isError ? 'failed' : 'completed',
        output: isError ? null : text,
        error: isError ? text : null,
        ...(typeof output !== 'string' && !isError && { twinrail: { isJson: true } }),
      })
    }
    case 'input.requested': {
      const { kind, requestId, toolCallId = '' } = event.data
      const call = state.calls.get(toolCallId)
      if (!call || kind === 'question') return [own(event)]
      state.questions.add(requestId)
      if (kind === 'approval') {
        const { toolName: name, args } = call
        return [
          own(event),
          ...wholeItem(state, {
            id: requestId,
            type: 'mcp_approval_request',
            server_label: 'twinrail',
            name,
            arguments: args,
          }),
        ]
      }
      state.calls.set(toolCallId, { ...call, isClients: true })
      return [
        own(event),
        ...wholeItem(state, {
          id: `fc_${toolCallId}`,
          type: 'function_call',
          call_id: toolCallId,
          name: call.toolName,
          arguments: call.args,
          status: 'completed',
        }),
      ]
    }
    case 'input.answered':
    case 'input.expired':
      state.questions.delete(event.data.requestId)
      return [own(event)]
    case 'source.added': {
      const { url, title } = event.data
      const part = [...state.parts.values()].findLast(({ kind }) => kind === 'text')
      if (!part || url === undefined) return [own(event)]
      const annotation = { type: 'url_citation', url, title, start_index: 0, end_index: 0 }
      part.sources.push(annotation)
      return [
        own(event),
        {
          type: 'response.output_text.annotation.added',
          item_id: part.item.id,
          output_index: part.index,
          content_index: 0,
          annotation_index: part.sources.length - 1,
          annotation,
        },
      ]
    }
    case 'run.completed': {
      const { usage, finishReason } = event.data
      state.response['usage'] = usageOf(usage)
      const isCut = finishReason === 'length' || finishReason === 'content-filter'
      if (isCut) {
        const reason = finishReason === 'length' ? 'max_output_tokens' : 'content_filter'
        state.response['incomplete_details'] = { reason }
      }
      const status = isCut ? 'incomplete' : 'completed'
      return [...closeParts(state), own(event), ...finish(state, status, event.time)]
    }
    case 'run.failed': {
      state.response['error'] = { code: 'server_error', message: event.data.message || event.data.code }
      return [...closeParts(state), own(event), ...finish(state, 'failed', event.time)]
    }
    case 'run.cancelled':
      return [...closeParts(state), own(event), ...finish(state, 'cancelled', event.time)]
    case 'run.cancel-requested':
      return []
    default:
      return [own(event)]
  }
}

function finish(state: EncodeState, status: string, timeMs: number): ResponseEvent[] {
  state.response.status = status
  state.response['completed_at'] = status === 'completed' ? Math.floor(timeMs / 1000) : null
  // There is no event of its own for a cancelled response.
  const type = status === 'cancelled' ? 'response.incomplete' : `response.${status}`
  return [{ type, response: snapshot(state) }]
}

function startPart(state: EncodeState, kind: 'text' | 'reasoning', partId: string): ResponseEvent[] {
  const key = `${kind} ${partId}`
  const ended = endPart(state, key)
  const index = state.response.output.length
  const item: Item =
    kind === 'text'
      ? { id: partId, type: 'message', role: 'assistant', status: 'in_progress', content: [] }
      : { id: partId, type: 'reasoning', status: 'in_progress', summary: [] }
  state.response.output.push(item)
  state.parts.set(key, { kind, index, item, text: '', sources: [] })
  const at = { item_id: partId, output_index: index }
  return [
    ...ended,
    { type: 'response.output_item.added', output_index: index, item },
    kind === 'text'
      ? { type: 'response.content_part.added', ...at, content_index: 0, part: textPart('', []) }
      : { type: 'response.reasoning_summary_part.added', ...at, summary_index: 0, part: summary('') },
  ]
}

const textPart = (text: string, annotations: object[]) => ({
  type: 'output_text',
  text,
  annotations,
  logprobs: [],
})
const summary = (text: string) => ({ type: 'summary_text', text })

function endPart(state: EncodeState, key: string): ResponseEvent[] {
  const part = state.parts.get(key)
  if (!part) return []
  state.parts.delete(key)
  const { kind, index, text, sources } = part
  const at = { item_id: part.item.id, output_index: index }
  const item =
    kind === 'text'
      ? { ...part.item, status: 'completed', content: [textPart(text, sources)] }
      : { ...part.item, status: 'completed', summary: [summary(text)] }
  state.response.output[index] = item
  const done: ResponseEvent[] =
    kind === 'text'
      ? [
          { type: 'response.output_text.done', ...at, content_index: 0, text, logprobs: [] },
          { type: 'response.content_part.done', ...at, content_index: 0, part: textPart(text, sources) },
        ]
      : [
          { type: 'response.reasoning_summary_text.done', ...at, summary_index: 0, text },
          { type: 'response.reasoning_summary_part.done', ...at, summary_index: 0, part: summary(text) },
        ]
  return [...done, { type: 'response.output_item.done', output_index: index, item }]
}

function closeParts(state: EncodeState): ResponseEvent[] {
  return [...state.parts.keys()].flatMap(key => endPart(state, key))
}

/** An item that is complete when it comes. */
function wholeItem(state: EncodeState, item: Item): ResponseEvent[] {
  const output_index = state.response.output.length
  state.response.output.push(item)
  return [
    { type: 'response.output_item.added', output_index, item },
    { type: 'response.output_item.done', output_index, item },
  ]
}

function usageOf(usage: Record<string, unknown> | undefined): object | null {
  const count = (name: string) => (typeof usage?.[name] === 'number' ? (usage[name] as number) : 0)
  if (!usage || (usage['inputTokens'] === undefined && usage['outputTokens'] === undefined)) return null
  const [input, output] = [count('inputTokens'), count('outputTokens')]
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: count('cachedInputTokens') },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: count('reasoningTokens') },
    total_tokens: input + output,
  }
}
