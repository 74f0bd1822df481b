/** Events of OpenAI's Responses API as bodies of events: the reverse of `encode`. */
import type { EventBody } from '../../protocol/index.ts'
import type { ResponseEvent } from './encode.ts'

/** Whether the run's own terminal event came already. */
export interface DecodeState {
  hasEnded: boolean
}

export function newDecodeState(): DecodeState {
  return { hasEnded: false }
}

type Fields = Record<string, unknown>

const fields = (value: unknown): Fields =>
  value !== null && typeof value === 'object' ? (value as Fields) : {}
const body = (type: string, data: unknown) => ({ type, data }) as EventBody

/** The bodies of events that an event of a response stands for. Changes the state. */
export function decode(state: DecodeState, event: ResponseEvent): EventBody[] {
  const partId = event['item_id']
  switch (event.type) {
    case 'twinrail.event': {
      const { type, data } = fields(event['event'])
      if (/^run\.(completed|failed|cancelled)$/.test(String(type))) state.hasEnded = true
      return [body(String(type), data)]
    }
    case 'response.output_item.added': {
      const { type, id } = fields(event['item'])
      if (type === 'message') return [body('text.start', { partId: id })]
      return type === 'reasoning' ? [body('reasoning.start', { partId: id })] : []
    }
    case 'response.output_text.delta':
      return [body('text.delta', { partId, delta: event['delta'] })]
    case 'response.reasoning_summary_text.delta':
    case 'response.reasoning_text.delta':
      return [body('reasoning.delta', { partId, delta: event['delta'] })]
    case 'response.output_item.done':
      return item(fields(event['item']))
    case 'response.completed':
    case 'response.incomplete':
    case 'response.failed':
      return end(state, fields(event['response']))
    default:
      return []
  }
}

function item(item: Fields): EventBody[] {
  const { type, id } = item
  const input = () => parsed(String(item['arguments'] ?? 'null'))
  switch (type) {
    case 'message':
      return [body('text.end', { partId: id })]
    case 'reasoning':
      return [body('reasoning.end', { partId: id })]
    case 'function_call':
      return [body('tool.called', { toolCallId: item['call_id'], toolName: item['name'], input: input() })]
    case 'mcp_call': {
      const toolCallId = String(id).replace(/^mcp_/, '')
      const isError = item['error'] !== null && item['error'] !== undefined
      const output = isError ? item['error'] : item['output']
      const isJson = fields(item['twinrail'])['isJson'] === true
      return [
        body('tool.called', { toolCallId, toolName: item['name'], input: input() }),
        body('tool.finished', {
          toolCallId,
          output: isJson ? parsed(String(output)) : output,
          ...(isError && { isError }),
        }),
      ]
    }
    default:
      return []
  }
}

function end(state: DecodeState, response: Fields): EventBody[] {
  if (state.hasEnded) return []
  state.hasEnded = true
  const { status, usage } = response
  if (status === 'failed') {
    const { code, message } = fields(response['error'])
    return [
      body('run.failed', {
        code: String(code ?? 'agent-error'),
        message: String(message ?? ''),
        retryable: false,
      }),
    ]
  }
  if (status === 'cancelled') return [body('run.cancelled', { reason: 'requested' })]
  const { reason } = fields(response['incomplete_details'])
  const finishReason =
    reason === 'max_output_tokens' ? 'length' : reason === 'content_filter' ? 'content-filter' : 'stop'
  return [
    body('run.completed', { finishReason, ...(fields(usage)['total_tokens'] !== undefined && { usage }) }),
  ]
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}
