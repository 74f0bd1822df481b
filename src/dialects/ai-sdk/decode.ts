/** Chunks of the AI SDK's UI message stream as bodies of events: the reverse of `encode`. */
import type { EventBody } from '../../protocol/index.ts'
import type { Chunk } from './chunks.ts'

/** What the events of a chunk depend on, beside the chunk. */
export interface DecodeState {
  hasEnded: boolean
  error: { code: string; message: string; retryable: boolean } | undefined
  cancelled: { reason: string } | undefined
  steps: number
  /** The next `start-step` only continues the open step. */
  isContinued: boolean
  /** The open step. */
  step: { stepId: string; name: string } | undefined
}

export function newDecodeState(): DecodeState {
  return {
    hasEnded: false,
    error: undefined,
    cancelled: undefined,
    steps: 0,
    isContinued: false,
    step: undefined,
  }
}

type Fields = Record<string, unknown>

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const fields = (value: unknown): Fields =>
  value !== null && typeof value === 'object' ? (value as Fields) : {}
const body = (type: string, data: unknown) => ({ type, data }) as EventBody

/**
 * The bodies of events that a chunk stands for; none for chunks that say nothing new. Changes the state. The caller
 * opens the run: `start` gives no event. An unknown chunk gives none.
 */
export function decode(state: DecodeState, chunk: Chunk): EventBody[] {
  const { type, id, delta, toolCallId } = chunk
  switch (type) {
    case 'text-start':
    case 'reasoning-start':
      return [
        body(`${kindOf(type)}.start`, {
          partId: text(id),
          ...fields(fields(chunk['providerMetadata'])['twinrail']),
        }),
      ]
    case 'text-delta':
    case 'reasoning-delta':
      return delta === '' ? [] : [body(`${kindOf(type)}.delta`, { partId: text(id), delta: text(delta) })]
    case 'text-end':
    case 'reasoning-end':
      return [body(`${kindOf(type)}.end`, { partId: text(id) })]
    case 'start-step': {
      if (state.isContinued) {
        state.isContinued = false
        return []
      }
      if (state.step) return []
      state.step = { stepId: `step-${++state.steps}`, name: `Step ${state.steps}` }
      return [body('step.started', state.step)]
    }
    case 'finish-step': {
      const { step } = state
      state.step = undefined
      return step ? [body('step.finished', step)] : []
    }
    case 'tool-input-start':
      return [body('tool.started', { toolCallId, toolName: chunk['toolName'] })]
    case 'tool-input-delta':
      return [body('tool.delta', { toolCallId, delta: text(chunk['inputTextDelta']) })]
    case 'tool-input-available':
      return [body('tool.called', { toolCallId, toolName: chunk['toolName'], input: chunk['input'] ?? null })]
    case 'tool-input-error':
      return [
        body('tool.called', { toolCallId, toolName: chunk['toolName'], input: chunk['input'] ?? null }),
        body('tool.finished', { toolCallId, output: text(chunk['errorText']), isError: true }),
      ]
    case 'tool-output-available':
      // A preliminary result is replaced by the next.
      if (chunk['preliminary'] === true) return []
      return [body('tool.finished', { toolCallId, output: chunk['output'] ?? null })]
    case 'tool-output-error':
      return [body('tool.finished', { toolCallId, output: text(chunk['errorText']), isError: true })]
    case 'tool-output-denied':
      return [body('tool.finished', { toolCallId, output: 'Denied.', isError: true })]
    case 'tool-approval-request':
      // The data part before it, where there is one, says more.
      return []
    case 'source-url':
    case 'source-document': {
      const excerpt = fields(fields(chunk['providerMetadata'])['twinrail'])['excerpt']
      const url = type === 'source-url' ? { url: text(chunk['url']) } : {}
      const title = text(chunk['title']) || text(chunk['url']) || text(chunk['sourceId'])
      return [
        body('source.added', {
          sourceId: chunk['sourceId'],
          title,
          ...url,
          ...(typeof excerpt === 'string' && { excerpt }),
        }),
      ]
    }
    case 'file':
    case 'reasoning-file':
      return [body('x.file', { url: chunk['url'], mediaType: chunk['mediaType'] })]
    case 'error':
      state.error ??= { code: 'agent-error', message: text(chunk['errorText']), retryable: false }
      return end(state, 'error', undefined)
    case 'abort':
      state.cancelled ??= { reason: text(chunk['reason']) || 'requested' }
      return end(state, 'other', undefined)
    case 'finish':
      return end(state, text(chunk['finishReason']) || 'stop', fields(chunk['messageMetadata']))
    default:
      return type.startsWith('data-') ? decodeData(state, type.slice('data-'.length), chunk) : []
  }
}

const kindOf = (type: string) => (type.startsWith('text') ? 'text' : 'reasoning')

function decodeData(state: DecodeState, name: string, chunk: Chunk): EventBody[] {
  const data = fields(chunk['data'])
  const { state: status, ...rest } = data
  switch (name) {
    case 'status':
      return [body('run.status', data)]
    case 'plan':
      return [body('plan.updated', data)]
    case 'step':
      // It stands before the chunk without a name.
      if (status === 'continued') {
        state.isContinued = true
        return []
      }
      state.step = status === 'finished' ? undefined : (rest as DecodeState['step'])
      return [body(status === 'finished' ? 'step.finished' : 'step.started', rest)]
    case 'artifact': {
      const { artifactId } = data
      if (status === 'done') return [body('artifact.end', { artifactId })]
      return [body('artifact.start', { artifactId, kind: data['kind'], name: data['name'] })]
    }
    case 'artifact-delta':
      return [body('artifact.delta', data)]
    case 'input': {
      const { requestId, value } = data
      if (status === 'answered') return [body('input.answered', { requestId, value })]
      if (status === 'expired') return [body('input.expired', { requestId })]
      return [body('input.requested', rest)]
    }
    case 'steering':
      return [body(status === 'applied' ? 'input.applied' : 'input.steered', rest)]
    case 'run': {
      const { status, ...about } = data
      if (status === 'failed') state.error = about as unknown as DecodeState['error']
      if (status === 'cancelled') state.cancelled = about as unknown as DecodeState['cancelled']
      return []
    }
    default:
      return [body(`x.${name}`, chunk['data'] ?? null)]
  }
}

/** The terminal event, once. A `finish` that only ends a response while the run waits is none. */
function end(state: DecodeState, finishReason: string, metadata: Fields | undefined): EventBody[] {
  if (state.hasEnded) return []
  state.hasEnded = true
  if (state.error) return [body('run.failed', state.error)]
  if (state.cancelled) return [body('run.cancelled', state.cancelled)]
  const { result, usage, finishReason: own } = metadata ?? {}
  return [
    body('run.completed', {
      finishReason: text(own) || finishReason,
      ...(result !== undefined && { result }),
      ...(usage !== undefined && { usage }),
    }),
  ]
}
