/** Events as AG-UI 1.0 events. */
import type { TwinrailEvent } from '../../protocol/index.ts'

/** An AG-UI event. */
export interface AgUiEvent {
  type: string
  [field: string]: unknown
}

type Question = Extract<TwinrailEvent, { type: 'input.requested' }>['data']

/** What the events of an event depend on, beside the event. */
export interface EncodeState {
  /** The client's own names of the conversation and of this run of it. */
  readonly threadId: string
  readonly runId: string
  /** Open texts and reasoning by kind and part, in the order of their starts. */
  readonly parts: Map<string, { kind: 'text' | 'reasoning'; messageId: string }>
  /** Tool calls whose input is not complete; whether some of it was sent. */
  readonly calls: Map<string, { toolName: string; hasArgs: boolean }>
  /** Names of open steps by their ids. */
  readonly steps: Map<string, string>
  /** Questions without an answer. */
  readonly questions: Map<string, Question>
}

export function newEncodeState(threadId: string, runId: string): EncodeState {
  return { threadId, runId, parts: new Map(), calls: new Map(), steps: new Map(), questions: new Map() }
}

export function runStarted(
  { threadId, runId }: Pick<EncodeState, 'threadId' | 'runId'>,
  metadata: Record<string, unknown>,
): AgUiEvent {
  return { type: 'RUN_STARTED', threadId, runId, protocolVersion: '1.0', metadata: { twinrail: metadata } }
}

/** The client's id of a message: agents give the same part ids in every run, and a thread has many runs. */
export function messageIdOf(runId: string | undefined, partId: string): string {
  return `${runId}:${partId}`
}

/** Ends everything that is open: a client refuses the end of a run before that. */
export function closeAll(state: EncodeState): AgUiEvent[] {
  const events: AgUiEvent[] = []
  for (const { kind, messageId } of state.parts.values()) events.push(...endPart(kind, messageId))
  for (const toolCallId of state.calls.keys()) events.push({ type: 'TOOL_CALL_END', toolCallId })
  for (const stepName of state.steps.values()) events.push({ type: 'STEP_FINISHED', stepName })
  state.parts.clear()
  state.calls.clear()
  state.steps.clear()
  return events
}

/** The end of a response while the run waits for its user. */
export function suspend(state: EncodeState): AgUiEvent[] {
  const { threadId, runId, questions } = state
  const open = [...questions.values()]
  const finished = { type: 'RUN_FINISHED', threadId, runId }
  const tools = open.filter(({ kind, toolCallId }) => kind === 'tool' && toolCallId !== undefined)
  if (tools.length === open.length) {
    const pendingToolCallIds = tools.map(({ toolCallId }) => toolCallId)
    return [...closeAll(state), { ...finished, outcome: { type: 'success', pendingToolCallIds } }]
  }
  const interrupts = open.map(({ requestId, kind, message, toolCallId, schema, expiresAt }) => ({
    id: requestId,
    reason: kind === 'approval' ? 'tool_approval' : kind === 'tool' ? 'tool_call' : 'input_required',
    message,
    ...(toolCallId !== undefined && { toolCallId }),
    ...(schema !== undefined && { responseSchema: schema }),
    ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt).toISOString() }),
  }))
  return [...closeAll(state), { ...finished, outcome: { type: 'interrupt', interrupts } }]
}

/** The AG-UI events of the next event. Changes the state. */
export function encode(state: EncodeState, event: TwinrailEvent): AgUiEvent[] {
  const events = bare(state, event)
  for (const one of events) one['timestamp'] = event.time
  return events
}

function bare(state: EncodeState, event: TwinrailEvent): AgUiEvent[] {
  const { threadId, runId } = state
  switch (event.type) {
    case 'run.started':
      return [runStarted(state, { sessionId: event.sessionId, runId: event.runId })]
    case 'step.started': {
      const { stepId, name } = event.data
      const isTaken = [...state.steps.values()].includes(name)
      const stepName = isTaken ? `${name} (${stepId})` : name
      state.steps.set(stepId, stepName)
      return [{ type: 'STEP_STARTED', stepName, metadata: { twinrail: { stepId, name } } }]
    }
    case 'step.finished': {
      const stepName = state.steps.get(event.data.stepId)
      state.steps.delete(event.data.stepId)
      return stepName === undefined ? [] : [{ type: 'STEP_FINISHED', stepName }]
    }
    case 'text.start':
    case 'reasoning.start':
      return startPart(state, event.type === 'text.start' ? 'text' : 'reasoning', event.runId, event.data)
    case 'text.delta':
    case 'reasoning.delta': {
      const kind = event.type === 'text.delta' ? 'text' : 'reasoning'
      const { partId, delta } = event.data
      const opened = state.parts.has(`${kind} ${partId}`)
        ? []
        : startPart(state, kind, event.runId, { partId })
      if (delta === '') return opened
      const type = kind === 'text' ? 'TEXT_MESSAGE_CONTENT' : 'REASONING_MESSAGE_CONTENT'
      return [...opened, { type, messageId: messageIdOf(event.runId, partId), delta }]
    }
    case 'text.end':
    case 'reasoning.end': {
      const kind = event.type === 'text.end' ? 'text' : 'reasoning'
      const { partId } = event.data
      return state.parts.delete(`${kind} ${partId}`) ? endPart(kind, messageIdOf(event.runId, partId)) : []
    }
    case 'tool.started':
      return startCall(state, event.data.toolCallId, event.data.toolName)
    case 'tool.delta': {
      const { toolCallId, delta } = event.data
      const call = state.calls.get(toolCallId)
      if (!call || delta === '') return []
      call.hasArgs = true
      return [{ type: 'TOOL_CALL_ARGS', toolCallId, delta }]
    }
    case 'tool.called': {
      const { toolCallId, toolName, input } = event.data
      const started = startCall(state, toolCallId, toolName)
      const hasArgs = state.calls.get(toolCallId)?.hasArgs
      state.calls.delete(toolCallId)
      const args = hasArgs
        ? []
        : [{ type: 'TOOL_CALL_ARGS', toolCallId, delta: JSON.stringify(input ?? null) }]
      return [...started, ...args, { type: 'TOOL_CALL_END', toolCallId }]
    }
    case 'tool.finished': {
      const { toolCallId, output = null, isError } = event.data
      const ended = state.calls.delete(toolCallId) ? [{ type: 'TOOL_CALL_END', toolCallId }] : []
      const isText = typeof output === 'string'
      const twinrail = { ...(isError && { isError }), ...(!isText && { isJson: true }) }
      return [
        ...ended,
        {
          type: 'TOOL_CALL_RESULT',
          messageId: messageIdOf(event.runId, `${toolCallId}:result`),
          toolCallId,
          content: isText ? output : JSON.stringify(output),
          ...(Object.keys(twinrail).length > 0 && { metadata: { twinrail } }),
        },
      ]
    }
    case 'plan.updated':
      return [
        {
          type: 'ACTIVITY_SNAPSHOT',
          messageId: `${runId}:plan`,
          activityType: 'PLAN',
          content: event.data,
          replace: true,
        },
      ]
    case 'input.requested':
      state.questions.set(event.data.requestId, event.data)
      return [custom(event)]
    case 'input.answered':
    case 'input.expired':
      state.questions.delete(event.data.requestId)
      return [custom(event)]
    case 'run.completed': {
      const { finishReason = 'stop', result, usage } = event.data
      const twinrail = {
        finishReason,
        ...(usage !== undefined && { usage }),
        // An explicit null in an optional field is refused.
        ...(result === null && { result }),
      }
      return [
        ...closeAll(state),
        {
          type: 'RUN_FINISHED',
          threadId,
          runId,
          outcome: { type: 'success' },
          ...(result !== undefined && result !== null && { result }),
          metadata: { twinrail },
        },
      ]
    }
    case 'run.cancelled': {
      const twinrail = { reason: event.data.reason }
      const outcome = { type: 'cancelled' }
      return [...closeAll(state), { type: 'RUN_FINISHED', threadId, runId, outcome, metadata: { twinrail } }]
    }
    case 'run.failed': {
      const { code, message, retryable } = event.data
      return [...closeAll(state), { type: 'RUN_ERROR', message, code, metadata: { twinrail: { retryable } } }]
    }
    case 'run.cancel-requested':
      return []
    default:
      return [custom(event)]
  }
}

function custom({ type, data }: TwinrailEvent): AgUiEvent {
  return { type: 'CUSTOM', name: type, value: data ?? null }
}

function startPart(
  state: EncodeState,
  kind: 'text' | 'reasoning',
  runId: string | undefined,
  part: { partId: string; role?: string | undefined; messageId?: string | undefined },
): AgUiEvent[] {
  const { partId, role } = part
  const key = `${kind} ${partId}`
  const messageId = messageIdOf(runId, partId)
  const ended = state.parts.delete(key) ? endPart(kind, messageId) : []
  state.parts.set(key, { kind, messageId })
  const own = part.messageId === undefined ? { partId } : { partId, messageId: part.messageId }
  const metadata = { twinrail: own }
  if (kind === 'text') {
    const known = role === 'user' || role === 'system' || role === 'developer' ? role : 'assistant'
    return [...ended, { type: 'TEXT_MESSAGE_START', messageId, role: known, metadata }]
  }
  return [
    ...ended,
    { type: 'REASONING_START', messageId },
    { type: 'REASONING_MESSAGE_START', messageId, role: 'reasoning', metadata },
  ]
}

function endPart(kind: 'text' | 'reasoning', messageId: string): AgUiEvent[] {
  if (kind === 'text') return [{ type: 'TEXT_MESSAGE_END', messageId }]
  return [
    { type: 'REASONING_MESSAGE_END', messageId },
    { type: 'REASONING_END', messageId },
  ]
}

function startCall({ calls }: EncodeState, toolCallId: string, toolName: string): AgUiEvent[] {
  if (calls.has(toolCallId)) return []
  calls.set(toolCallId, { toolName, hasArgs: false })
  return [{ type: 'TOOL_CALL_START', toolCallId, toolCallName: toolName }]
}
