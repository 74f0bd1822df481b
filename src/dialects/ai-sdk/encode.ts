/** Events as chunks of the AI SDK's UI message stream, version 6 or 7. */
import type { TwinrailEvent } from '../../protocol/index.ts'
import { type Chunk, finishReasons, type Level } from './chunks.ts'

/** Text of an artifact that its last chunk repeats, in UTF-16 units. A longer one is sent in its deltas only. */
const ARTIFACT_TEXT = 1024 * 1024

type Question = Extract<TwinrailEvent, { type: 'input.requested' }>['data']

/** What the chunks of an event depend on, beside the event. */
export interface EncodeState {
  readonly level: Level
  runId: string | undefined
  /** Open texts and reasoning by kind and part, in the order of their starts. */
  readonly parts: Map<string, { kind: 'text' | 'reasoning'; partId: string }>
  /** Tool calls without a result. The client runs those that are `asked`. */
  readonly tools: Map<string, 'started' | 'called' | 'denied' | 'asked'>
  /** Questions without an answer. */
  readonly questions: Map<string, Question>
  /** Open artifacts, with their text so far unless it is too long. */
  readonly artifacts: Map<string, { kind: string; name: string; text: string | undefined }>
  isInStep: boolean
  /** The user has answered for a tool call, and nothing new was said since. */
  isAnswered: boolean
}

export function newEncodeState(level: Level = 'v6'): EncodeState {
  return {
    level,
    runId: undefined,
    parts: new Map(),
    tools: new Map(),
    questions: new Map(),
    artifacts: new Map(),
    isInStep: false,
    isAnswered: false,
  }
}

/** The chunk that begins a response. Later ones of the same run go on with the same message. */
export function startChunk({
  sessionId,
  runId = '',
}: {
  sessionId: string
  runId?: string | undefined
}): Chunk {
  return { type: 'start', messageId: runId, messageMetadata: { sessionId, runId } }
}

/** Ends open texts and reasoning: a client forgets them with the response, and at the end of a step. */
export function closeParts(state: EncodeState): Chunk[] {
  const chunks = [...state.parts.values()].map(({ kind, partId }) => ({ type: `${kind}-end`, id: partId }))
  state.parts.clear()
  return chunks
}

function closeStep(state: EncodeState): Chunk[] {
  const chunks = closeParts(state)
  if (state.isInStep) chunks.push({ type: 'finish-step' })
  state.isInStep = false
  return chunks
}

/** The chunks at the end of a response while the run waits for its user. */
export function suspendChunks(state: EncodeState): Chunk[] {
  return [...closeStep(state), { type: 'finish', finishReason: 'tool-calls' }]
}

/** Whether the client answers an open question with its next request: an approval or a tool of its own. */
export function isWaiting({ questions, tools }: EncodeState): boolean {
  for (const { kind, toolCallId } of questions.values()) {
    if (kind !== 'question' && toolCallId !== undefined && tools.has(toolCallId)) return true
  }
  return false
}

/** The chunks of the next event. Changes the state. */
export function encode(state: EncodeState, event: TwinrailEvent): Chunk[] {
  switch (event.type) {
    case 'run.started':
      state.runId = event.runId
      return [startChunk(event)]
    case 'run.status':
      return [{ type: 'data-status', data: event.data, transient: true }]
    case 'plan.updated':
      return [{ type: 'data-plan', id: 'plan', data: event.data }]
    case 'step.started':
      return startStep(state, event.data.stepId, event.data.name)
    case 'step.finished':
      return [
        ...closeParts(state),
        { type: 'data-step', data: { ...event.data, state: 'finished' }, transient: true },
        ...closeStep(state),
      ]
    case 'text.start':
    case 'reasoning.start':
      return startPart(state, event.type === 'text.start' ? 'text' : 'reasoning', event.data)
    case 'text.delta':
    case 'reasoning.delta': {
      const kind = event.type === 'text.delta' ? 'text' : 'reasoning'
      const { partId, delta } = event.data
      const opened = state.parts.has(`${kind} ${partId}`) ? [] : startPart(state, kind, { partId })
      return [...opened, { type: `${kind}-delta`, id: partId, delta }]
    }
    case 'text.end':
    case 'reasoning.end': {
      const kind = event.type === 'text.end' ? 'text' : 'reasoning'
      const { partId } = event.data
      return state.parts.delete(`${kind} ${partId}`) ? [{ type: `${kind}-end`, id: partId }] : []
    }
    case 'tool.started': {
      const { toolCallId, toolName } = event.data
      if (state.tools.has(toolCallId)) return []
      state.tools.set(toolCallId, 'started')
      return [...goOn(state), { type: 'tool-input-start', toolCallId, toolName }]
    }
    case 'tool.delta': {
      const { toolCallId, delta } = event.data
      if (state.tools.get(toolCallId) !== 'started') return []
      return [{ type: 'tool-input-delta', toolCallId, inputTextDelta: delta }]
    }
    case 'tool.called': {
      const { toolCallId, toolName, input } = event.data
      const next = state.tools.has(toolCallId) ? [] : goOn(state)
      state.tools.set(toolCallId, 'called')
      return [...next, { type: 'tool-input-available', toolCallId, toolName, input: input ?? null }]
    }
    case 'tool.finished':
      return finishTool(state, event.data)
    case 'source.added': {
      const { sourceId, title, url, excerpt } = event.data
      const more = excerpt === undefined ? {} : { providerMetadata: { twinrail: { excerpt } } }
      return url === undefined
        ? [{ type: 'source-document', sourceId, mediaType: 'text/plain', title, ...more }]
        : [{ type: 'source-url', sourceId, url, title, ...more }]
    }
    case 'artifact.start': {
      const { artifactId, kind, name } = event.data
      state.artifacts.set(artifactId, { kind, name, text: '' })
      return [{ type: 'data-artifact', id: artifactId, data: { artifactId, kind, name, state: 'streaming' } }]
    }
    case 'artifact.delta': {
      const { artifactId, delta } = event.data
      const artifact = state.artifacts.get(artifactId)
      if (artifact?.text !== undefined) {
        artifact.text =
          artifact.text.length + delta.length > ARTIFACT_TEXT ? undefined : artifact.text + delta
      }
      return [{ type: 'data-artifact-delta', data: { artifactId, delta }, transient: true }]
    }
    case 'artifact.end':
      return endArtifact(state, event.data.artifactId)
    case 'input.requested':
      return ask(state, event.data)
    case 'input.answered': {
      const { requestId, value } = event.data
      const question = state.questions.get(requestId)
      state.questions.delete(requestId)
      if (question?.toolCallId !== undefined) state.isAnswered = true
      const answered = {
        type: 'data-input',
        id: requestId,
        data: { ...question, requestId, state: 'answered', value },
      }
      return [answered, ...approvalResponse(state, question, value)]
    }
    case 'input.expired': {
      const { requestId } = event.data
      const question = state.questions.get(requestId)
      state.questions.delete(requestId)
      return [{ type: 'data-input', id: requestId, data: { ...question, requestId, state: 'expired' } }]
    }
    case 'input.steered':
    case 'input.applied': {
      const status = event.type === 'input.steered' ? 'sent' : 'applied'
      return [
        {
          type: 'data-steering',
          id: `${event.data.inputId}-${status}`,
          data: { ...event.data, state: status },
        },
      ]
    }
    case 'run.completed': {
      const { finishReason = 'stop', result, usage } = event.data
      const messageMetadata = {
        ...(!finishReasons.has(finishReason) && { finishReason }),
        ...(result !== undefined && { result }),
        ...(usage !== undefined && { usage }),
      }
      return [
        ...endAll(state),
        {
          type: 'finish',
          finishReason: finishReasons.has(finishReason) ? finishReason : 'other',
          ...(Object.keys(messageMetadata).length > 0 && { messageMetadata }),
        },
      ]
    }
    case 'run.failed':
      return [
        ...endAll(state),
        ended('failed', event.data),
        { type: 'error', errorText: event.data.message || event.data.code },
        { type: 'finish', finishReason: 'error' },
      ]
    case 'run.cancelled':
      return [
        ...endAll(state),
        ended('cancelled', event.data),
        { type: 'abort', reason: event.data.reason },
        { type: 'finish', finishReason: 'other' },
      ]
    case 'run.cancel-requested':
      return []
    default:
      return [
        { type: `data-${event.type.slice('x.'.length)}`, ...idIn(event.data), data: event.data ?? null },
      ]
  }
}

/** A part with the same type and id replaces the earlier one in a message: the application chooses it by `data.id`. */
function idIn(data: unknown): { id?: string } {
  const id = (data as { id?: unknown } | null)?.id
  return typeof id === 'string' && id !== '' ? { id } : {}
}

function ended(status: 'failed' | 'cancelled', data: object): Chunk {
  return { type: 'data-run', id: 'run', data: { status, ...data } }
}

/**
 * What follows an answered tool call is a step of its own, whatever the agent calls a step: clients send the answer once
 * more for as long as it is in the last step.
 */
function goOn(state: EncodeState): Chunk[] {
  if (!state.isAnswered) return []
  state.isAnswered = false
  return [{ type: 'data-step', data: { state: 'continued' }, transient: true }, { type: 'start-step' }]
}

function startStep(state: EncodeState, stepId: string, name: string): Chunk[] {
  const closed = closeStep(state)
  state.isInStep = true
  state.isAnswered = false
  return [
    ...closed,
    { type: 'data-step', data: { stepId, name, state: 'started' }, transient: true },
    { type: 'start-step' },
  ]
}

function startPart(
  state: EncodeState,
  kind: 'text' | 'reasoning',
  { partId, ...more }: { partId: string; messageId?: string | undefined; role?: string | undefined },
): Chunk[] {
  const key = `${kind} ${partId}`
  const closed: Chunk[] = state.parts.delete(key) ? [{ type: `${kind}-end`, id: partId }] : []
  state.parts.set(key, { kind, partId })
  const known = Object.entries(more).filter(
    ([name, value]) => /^(messageId|role)$/.test(name) && value !== undefined,
  )
  const metadata = known.length > 0 && { providerMetadata: { twinrail: Object.fromEntries(known) } }
  return [...closed, ...goOn(state), { type: `${kind}-start`, id: partId, ...metadata }]
}

function finishTool(
  { tools }: EncodeState,
  {
    toolCallId,
    output = null,
    isError,
  }: { toolCallId: string; output?: unknown; isError?: boolean | undefined },
): Chunk[] {
  const known = tools.get(toolCallId)
  tools.delete(toolCallId)
  // A client refuses results of calls that it does not know.
  const called: Chunk[] =
    known === undefined
      ? [{ type: 'tool-input-available', toolCallId, toolName: 'unknown', input: null }]
      : []
  if (known === 'denied' && isError) return [{ type: 'tool-output-denied', toolCallId }]
  // Else a client that answers calls by itself takes the result for its own, and sends it for ever.
  const by = known === 'asked' ? {} : { providerExecuted: true }
  if (!isError) return [...called, { type: 'tool-output-available', toolCallId, output, ...by }]
  const errorText = typeof output === 'string' ? output : JSON.stringify(output)
  return [...called, { type: 'tool-output-error', toolCallId, errorText, ...by }]
}

function endArtifact(state: EncodeState, artifactId: string): Chunk[] {
  const artifact = state.artifacts.get(artifactId)
  if (!artifact) return []
  state.artifacts.delete(artifactId)
  const { kind, name, text } = artifact
  const data = {
    artifactId,
    kind,
    name,
    state: 'done',
    ...(text === undefined ? { isLong: true } : { text }),
  }
  return [{ type: 'data-artifact', id: artifactId, data }]
}

function ask(state: EncodeState, question: Question): Chunk[] {
  const { requestId, kind, toolCallId, message } = question
  state.questions.set(requestId, question)
  if (kind === 'tool' && toolCallId !== undefined && state.tools.has(toolCallId)) {
    state.tools.set(toolCallId, 'asked')
  }
  const chunks: Chunk[] = [{ type: 'data-input', id: requestId, data: { ...question, state: 'open' } }]
  if (kind === 'approval' && toolCallId !== undefined && state.tools.has(toolCallId)) {
    const reason = state.level === 'v7' && { reason: message }
    chunks.push({ type: 'tool-approval-request', approvalId: requestId, toolCallId, ...reason })
  }
  return chunks
}

function approvalResponse(state: EncodeState, question: Question | undefined, value: unknown): Chunk[] {
  if (question?.kind !== 'approval' || question.toolCallId === undefined) return []
  if (!state.tools.has(question.toolCallId)) return []
  const approved = isApproval(value)
  if (!approved) state.tools.set(question.toolCallId, 'denied')
  if (state.level === 'v6') return []
  const { reason } = (value ?? {}) as { reason?: unknown }
  return [
    {
      type: 'tool-approval-response',
      approvalId: question.requestId,
      approved,
      ...(typeof reason === 'string' && { reason }),
    },
  ]
}

/** Whether the answer to an approval allows it: `true`, or an object that says so. */
export function isApproval(value: unknown): boolean {
  return value === true || (value as { approved?: unknown } | null)?.approved === true
}

function endAll(state: EncodeState): Chunk[] {
  const artifacts = [...state.artifacts.keys()].flatMap(id => endArtifact(state, id))
  state.questions.clear()
  const closed = closeStep(state)
  const next = goOn(state)
  // A client takes the start of a step into its message only with what comes after it.
  if (next.length > 0) next.push({ type: 'message-metadata', messageMetadata: {} })
  return [...closed, ...next, ...artifacts]
}
