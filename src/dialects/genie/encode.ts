/** Events as messages of JD Genie: `AgentResponse`, and the envelope that its page reads. */
import type { TwinrailEvent } from '../../protocol/index.ts'

/** UTF-16 units of one stream that its last message repeats; of a longer one, its beginning. */
const WHOLE_TEXT = 1024 * 1024

/** A message of an agent: the body of one event of `/AutoAgent`, and `eventData.resultMap` of the page's envelope. */
export interface AgentResponse {
  messageType: string
  messageId: string
  isFinal: boolean
  resultMap: Record<string, unknown>
  finish: boolean
  [field: string]: unknown
}

interface Doc {
  doc_type: 'web_page'
  content: string
  title: string
  link: string
}

/** What the messages of an event depend on, beside the event. */
export interface EncodeState {
  readonly requestId: string
  /** 3: plan and solve; 5: ReAct. */
  readonly agentType: number
  readonly query: string
  /** Open texts, reasoning and artifacts, with what they say so far. */
  readonly streams: Map<string, { messageType: string; text: string; name?: string }>
  readonly calls: Map<string, { toolName: string; input: unknown }>
  /** Sources that were not sent yet. */
  readonly docs: Doc[]
  /** All text so far. */
  text: string
}

export function newEncodeState(requestId: string, agentType: number, query: string): EncodeState {
  return { requestId, agentType, query, streams: new Map(), calls: new Map(), docs: [], text: '' }
}

/** The messages of the next event. Changes the state. Ids are made of the event's, so they are the same each time. */
export function encode(state: EncodeState, event: TwinrailEvent): AgentResponse[] {
  const idOf = (name: string) => `${event.runId ?? ''}:${name}`
  const own = idOf(event.offset)
  const message = (
    messageType: string,
    messageId: string,
    fields: object,
    isFinal = true,
  ): AgentResponse => ({
    requestId: state.requestId,
    messageId,
    isFinal,
    messageType,
    // The page calls a method of a string on it.
    messageTime: String(event.time),
    resultMap: { agentType: state.agentType },
    finish: false,
    ...fields,
  })
  const withResult = (fields: object) => ({ resultMap: { agentType: state.agentType, ...fields } })

  /** The sources so far, in one message, before what is said of them. */
  const search = (): AgentResponse[] => {
    if (state.docs.length === 0) return []
    const docs = state.docs.splice(0)
    const searchResult = { query: [state.query], docs: [docs] }
    const found = { messageType: 'search', query: state.query, searchResult, answer: '', isFinal: false }
    return [message('deep_search', idOf('search'), withResult({ ...found, searchFinish: true }), false)]
  }
  const begin = (id: string, messageType: string, name?: string): AgentResponse[] => {
    const ended = end(id)
    state.streams.set(id, { messageType, text: '', ...(name !== undefined && { name }) })
    return ended
  }
  const say = (id: string, messageType: string, delta: string): AgentResponse[] => {
    const before = messageType === 'markdown' ? search() : []
    if (!state.streams.has(id)) before.push(...begin(id, messageType))
    const stream = state.streams.get(id)
    if (!stream || delta === '') return before
    if (stream.text.length + delta.length <= WHOLE_TEXT) stream.text += delta
    return [...before, streamed(id, stream.messageType, delta, false, stream.name)]
  }
  const end = (id: string): AgentResponse[] => {
    const stream = state.streams.get(id)
    if (!stream) return []
    state.streams.delete(id)
    // The last message replaces the others.
    return [streamed(id, stream.messageType, stream.text, true, stream.name)]
  }
  const streamed = (
    id: string,
    messageType: string,
    text: string,
    isFinal: boolean,
    name?: string,
  ): AgentResponse => {
    if (messageType === 'tool_thought') return message(messageType, id, { toolThought: text }, isFinal)
    const fileInfo =
      isFinal && name !== undefined
        ? [{ fileName: name, ossUrl: '', domainUrl: '', fileSize: text.length }]
        : []
    return message(messageType, id, withResult({ data: text, isFinal, fileInfo }), isFinal)
  }
  const result = (taskSummary: string, fields: object = {}): AgentResponse[] => {
    const open = [...state.streams.keys()].flatMap(end)
    const last = message('result', own, {
      result: taskSummary,
      ...withResult({ taskSummary, fileList: [], ...fields }),
      finish: true,
    })
    return [...search(), ...open, last]
  }

  switch (event.type) {
    case 'run.started':
      // The page in its deep mode drops what comes before the first task.
      return state.agentType === 3 ? [message('task', own, { task: state.query })] : []
    case 'plan.updated': {
      const { title = '', steps } = event.data
      const statuses = {
        pending: 'not_started',
        running: 'in_progress',
        done: 'completed',
        failed: 'completed',
      }
      const plan = {
        title,
        stages: steps.map(step => step.title),
        steps: steps.map(step => step.title),
        stepStatus: steps.map(step => statuses[step.status]),
        notes: steps.map(step => (step.status === 'failed' ? 'failed' : '')),
      }
      return [message('plan', own, { plan })]
    }
    case 'step.started':
      return [message('task', idOf(event.data.stepId), { task: event.data.name })]
    case 'run.status':
      return [message('tool_thought', own, { toolThought: event.data.message ?? event.data.status })]
    case 'reasoning.start':
      return begin(idOf(`reasoning ${event.data.partId}`), 'tool_thought')
    case 'reasoning.delta':
      return say(idOf(`reasoning ${event.data.partId}`), 'tool_thought', event.data.delta)
    case 'reasoning.end':
      return end(idOf(`reasoning ${event.data.partId}`))
    case 'text.start':
      return begin(idOf(`text ${event.data.partId}`), 'markdown')
    case 'text.delta':
      if (state.text.length + event.data.delta.length <= WHOLE_TEXT) state.text += event.data.delta
      return say(idOf(`text ${event.data.partId}`), 'markdown', event.data.delta)
    case 'text.end':
      return end(idOf(`text ${event.data.partId}`))
    case 'artifact.start': {
      const { artifactId, kind, name } = event.data
      const known = ['html', 'markdown', 'ppt', 'data_analysis'].includes(kind) ? kind : 'markdown'
      return begin(idOf(`artifact ${artifactId}`), known, name)
    }
    case 'artifact.delta':
      return say(idOf(`artifact ${event.data.artifactId}`), 'html', event.data.delta)
    case 'artifact.end':
      return end(idOf(`artifact ${event.data.artifactId}`))
    case 'tool.called': {
      const { toolCallId, toolName, input } = event.data
      state.calls.set(toolCallId, { toolName, input })
      return []
    }
    case 'tool.finished': {
      const { toolCallId, output = null } = event.data
      const { toolName = 'unknown', input } = state.calls.get(toolCallId) ?? {}
      state.calls.delete(toolCallId)
      const isObject = input !== null && typeof input === 'object' && !Array.isArray(input)
      const toolParam = isObject ? input : { input: input ?? null }
      const toolResult = typeof output === 'string' ? output : JSON.stringify(output)
      return [message('tool_result', idOf(toolCallId), { toolResult: { toolName, toolParam, toolResult } })]
    }
    case 'source.added': {
      const { title, url = '', excerpt = '' } = event.data
      state.docs.push({ doc_type: 'web_page', content: excerpt, title, link: url })
      return []
    }
    case 'input.requested':
      return [message('tool_thought', own, { toolThought: event.data.message })]
    case 'run.completed': {
      const { result: own } = event.data
      return result(
        state.text || (typeof own === 'string' ? own : own === undefined ? '' : JSON.stringify(own)),
      )
    }
    case 'run.failed':
      return result(`The run failed: ${event.data.message || event.data.code}`, { error: event.data.code })
    case 'run.cancelled':
      return result(`The run was cancelled: ${event.data.reason}`, { error: 'cancelled' })
    default:
      return []
  }
}

/** What the envelopes of the page depend on, beside the message. */
export interface EnvelopeState {
  readonly agentType: number
  readonly reqId: string
  hasPlan: boolean
  task: { id: string; order: number }
  order: number
}

export function newEnvelopeState(agentType: number, reqId: string, runId: string): EnvelopeState {
  return { agentType, reqId, hasPlan: false, task: { id: `${runId}:task`, order: 1 }, order: 1 }
}

/** The page's envelope without content: a heartbeat. */
export function heartbeat({ reqId }: { reqId: string }): object {
  return { ...base(reqId), status: 'success', packageType: 'heartbeat' }
}

const base = (reqId: string) => ({
  status: 'running',
  response: '',
  responseAll: '',
  finished: false,
  useTimes: 0,
  useTokens: 0,
  resultMap: null as object | null,
  responseType: 'text',
  traceId: null,
  reqId,
  encrypted: false,
  query: null,
  messages: null,
  packageType: 'result',
  errorMsg: null,
})

/** Whether a message is a part of a text, as most are. It differs from the part before in its time and `resultMap.data`. */
export function isPart({ isFinal, resultMap }: AgentResponse): boolean {
  return !isFinal && typeof resultMap['data'] === 'string'
}

/** Puts a message into the page's envelope. Changes the state. */
export function envelope(state: EnvelopeState, message: AgentResponse) {
  const { messageType, messageId, finish, result } = message
  const isFirstPlan = messageType === 'plan' && !state.hasPlan
  if (isFirstPlan) state.hasPlan = true
  if (messageType === 'task') state.task = { id: messageId, order: 1 }
  const eventData = isFirstPlan
    ? { messageId, messageType: 'plan', messageOrder: state.order++, resultMap: message['plan'] }
    : {
        messageId,
        messageType: messageType === 'plan_thought' ? 'plan_thought' : 'task',
        messageOrder: state.order++,
        taskId: state.task.id,
        taskOrder: state.task.order++,
        resultMap: message,
      }
  const text = finish ? String(result ?? '') : ''
  return {
    ...base(state.reqId),
    status: finish ? 'success' : 'running',
    response: text,
    responseAll: text,
    finished: finish,
    resultMap: { agentType: String(state.agentType), multiAgent: {}, eventData },
  }
}
