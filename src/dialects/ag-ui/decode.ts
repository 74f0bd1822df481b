/** AG-UI events as bodies of events: the reverse of `encode`. */
import type { EventBody } from '../../protocol/index.ts'
import type { AgUiEvent } from './encode.ts'

/** What the bodies of an event depend on, beside the event. */
export interface DecodeState {
  /** Tool calls whose input is not complete, with what came of it. */
  readonly calls: Map<string, { toolName: string; args: string }>
  /** Ids of open steps by name. */
  readonly steps: Map<string, string>
  stepCount: number
  /** Parts of open messages, where the part has another id than its message. */
  readonly parts: Map<string, string>
}

export function newDecodeState(): DecodeState {
  return { calls: new Map(), steps: new Map(), stepCount: 0, parts: new Map() }
}

type Fields = Record<string, unknown>

const fields = (value: unknown): Fields =>
  value !== null && typeof value === 'object' ? (value as Fields) : {}
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const body = (type: string, data: unknown) => ({ type, data }) as EventBody

/** The bodies of events that an AG-UI event stands for. Changes the state. */
export function decode(state: DecodeState, event: AgUiEvent): EventBody[] {
  const own = fields(fields(event['metadata'])['twinrail'])
  const { toolCallId, delta } = event
  const message = text(event['messageId'])
  if (/^(TEXT|REASONING)_MESSAGE_START$/.test(event.type) && own['partId'] !== undefined) {
    state.parts.set(message, text(own['partId']))
  }
  const partId = state.parts.get(message) ?? message
  switch (event.type) {
    case 'STEP_STARTED': {
      const stepName = text(event['stepName'])
      const stepId = text(own['stepId']) || `step-${++state.stepCount}`
      state.steps.set(stepName, stepId)
      return [body('step.started', { stepId, name: text(own['name']) || stepName })]
    }
    case 'STEP_FINISHED': {
      const stepName = text(event['stepName'])
      const stepId = state.steps.get(stepName)
      state.steps.delete(stepName)
      return stepId === undefined ? [] : [body('step.finished', { stepId, name: stepName })]
    }
    case 'TEXT_MESSAGE_START': {
      const { role } = event
      const isOther = role !== undefined && role !== 'assistant'
      const { messageId } = own
      return [
        body('text.start', {
          partId,
          ...(isOther && { role }),
          ...(messageId !== undefined && { messageId }),
        }),
      ]
    }
    case 'TEXT_MESSAGE_CONTENT':
      return [body('text.delta', { partId, delta })]
    case 'TEXT_MESSAGE_END':
      state.parts.delete(message)
      return [body('text.end', { partId })]
    case 'REASONING_MESSAGE_START':
      return [body('reasoning.start', { partId })]
    case 'REASONING_MESSAGE_CONTENT':
      return [body('reasoning.delta', { partId, delta })]
    case 'REASONING_MESSAGE_END':
      state.parts.delete(message)
      return [body('reasoning.end', { partId })]
    case 'TOOL_CALL_START': {
      const toolName = text(event['toolCallName'])
      state.calls.set(text(toolCallId), { toolName, args: '' })
      return [body('tool.started', { toolCallId, toolName })]
    }
    case 'TOOL_CALL_ARGS': {
      const call = state.calls.get(text(toolCallId))
      if (call) call.args += text(delta)
      return [body('tool.delta', { toolCallId, delta })]
    }
    case 'TOOL_CALL_END': {
      const call = state.calls.get(text(toolCallId))
      state.calls.delete(text(toolCallId))
      return call
        ? [body('tool.called', { toolCallId, toolName: call.toolName, input: parsed(call.args) })]
        : []
    }
    case 'TOOL_CALL_RESULT': {
      const content = event['content']
      const output = own['isJson'] === true ? parsed(text(content)) : content
      return [
        body('tool.finished', { toolCallId, output, ...(own['isError'] === true && { isError: true }) }),
      ]
    }
    case 'ACTIVITY_SNAPSHOT':
      return event['activityType'] === 'PLAN'
        ? [body('plan.updated', event['content'])]
        : [body('x.activity', { kind: event['activityType'], content: event['content'] })]
    case 'CUSTOM': {
      const name = text(event['name'])
      const value = event['value'] ?? null
      if (/^(x|run\.status|source|artifact|input)(\.|$)/.test(name)) return [body(name, value)]
      return [body(`x.${name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 100) || 'custom'}`, value)]
    }
    case 'RUN_FINISHED': {
      const { type } = fields(event['outcome'])
      if (type === 'interrupt') return []
      if (type === 'cancelled') return [body('run.cancelled', { reason: text(own['reason']) || 'requested' })]
      const result = event['result'] ?? own['result']
      return [
        body('run.completed', {
          finishReason: text(own['finishReason']) || 'stop',
          ...(result !== undefined && { result }),
          ...(own['usage'] !== undefined && { usage: own['usage'] }),
        }),
      ]
    }
    case 'RUN_ERROR':
      return [
        body('run.failed', {
          code: text(event['code']) || 'agent-error',
          message: text(event['message']),
          retryable: own['retryable'] === true,
        }),
      ]
    default:
      return []
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}
