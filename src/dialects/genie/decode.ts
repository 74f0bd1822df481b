/** Messages of JD Genie's agents as bodies of events: the reverse of `encode`, as far as they say enough. */
import type { EventBody } from '../../protocol/index.ts'
import type { AgentResponse } from './encode.ts'

/** What the bodies of a message depend on, beside the message. */
export interface DecodeState {
  /** Open streams by id: their kind, and what they say so far. */
  readonly streams: Map<string, { noun: 'text' | 'reasoning'; text: string }>
  calls: number
}

export function newDecodeState(): DecodeState {
  return { streams: new Map(), calls: 0 }
}

const body = (type: string, data: unknown) => ({ type, data }) as EventBody

/** The bodies of events that a message stands for. Changes the state. */
export function decode(state: DecodeState, message: AgentResponse): EventBody[] {
  const { messageType, messageId, isFinal, resultMap } = message
  switch (messageType) {
    case 'plan_thought':
    case 'tool_thought':
      return stream(
        state,
        'reasoning',
        messageId,
        String(message['toolThought'] ?? message['planThought'] ?? ''),
        isFinal,
      )
    case 'markdown':
    case 'html':
    case 'ppt':
    case 'data_analysis':
      return stream(state, 'text', messageId, String(resultMap['data'] ?? ''), resultMap['isFinal'] === true)
    case 'plan': {
      const { title, steps, stepStatus, notes } = message['plan'] as {
        title?: string
        steps: string[]
        stepStatus: string[]
        notes?: string[]
      }
      const statuses: Record<string, string> = {
        not_started: 'pending',
        in_progress: 'running',
        completed: 'done',
      }
      return [
        body('plan.updated', {
          ...(title && { title }),
          steps: steps.map((title, i) => ({
            title,
            status: notes?.[i] === 'failed' ? 'failed' : (statuses[stepStatus[i] ?? ''] ?? 'pending'),
          })),
        }),
      ]
    }
    case 'tool_result': {
      const { toolName, toolParam, toolResult } = message['toolResult'] as Record<string, unknown>
      const toolCallId = `call-${++state.calls}`
      return [
        body('tool.called', { toolCallId, toolName, input: toolParam }),
        body('tool.finished', { toolCallId, output: toolResult }),
      ]
    }
    case 'deep_search': {
      const { docs = [] } = (resultMap['searchResult'] ?? {}) as {
        docs?: { title: string; link: string; content: string }[][]
      }
      return docs.flat().map(({ title, link, content }, i) =>
        body('source.added', {
          sourceId: `${messageId}:${i}`,
          title,
          ...(link && { url: link }),
          ...(content && { excerpt: content }),
        }),
      )
    }
    case 'result': {
      const open = [...state.streams].map(([partId, { noun }]) => body(`${noun}.end`, { partId }))
      state.streams.clear()
      const { error, taskSummary } = resultMap
      const text = String(taskSummary ?? message['result'] ?? '')
      if (error === 'cancelled')
        return [...open, body('run.cancelled', { reason: text.replace(/^.*?: /, '') })]
      if (error !== undefined) {
        const message = text.replace(/^.*?: /, '')
        return [...open, body('run.failed', { code: String(error), message, retryable: false })]
      }
      return [...open, body('run.completed', { finishReason: 'stop', result: text })]
    }
    default:
      return []
  }
}

/** A message that is not final has a delta; a final one has all of it and replaces the others. */
function stream(
  { streams }: DecodeState,
  noun: 'text' | 'reasoning',
  partId: string,
  text: string,
  isFinal: boolean,
): EventBody[] {
  const bodies: EventBody[] = []
  const known = streams.get(partId) ?? { noun, text: '' }
  if (!streams.has(partId)) bodies.push(body(`${noun}.start`, { partId }))
  streams.set(partId, known)
  const delta = isFinal && text.startsWith(known.text) ? text.slice(known.text.length) : isFinal ? '' : text
  known.text += delta
  if (delta !== '') bodies.push(body(`${noun}.delta`, { partId, delta }))
  if (isFinal) {
    streams.delete(partId)
    bodies.push(body(`${noun}.end`, { partId }))
  }
  return bodies
}
