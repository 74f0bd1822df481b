/** The view of a session for a page: a reducer over its events, independent of any framework. */
import type { SessionEvent } from '../events.ts'
import type { EventOf } from '../protocol.ts'
import type { Terminal } from '../run.ts'

/** A text of a run: the deltas of one part, joined. */
export interface Part {
  partId: string
  kind: 'text' | 'reasoning' | 'artifact'
  /** The author, such as `assistant`; of an artifact, its name. */
  role: string
  /** The text that has arrived so far. */
  text: string
  /** Whether the text is complete. */
  done: boolean
}

/** A tool call of a run. */
export interface ToolView {
  toolCallId: string
  toolName: string
  /** The JSON text of the input that has arrived so far; `input` is set once it is complete. */
  inputText: string
  /** The complete input. */
  input?: unknown
  /** The tool's output; set with the status `finished`. */
  output?: unknown
  /** Whether the tool failed; set with the status `finished`. */
  isError?: boolean
  status: 'started' | 'called' | 'finished'
}

/** An open question of a run. Answer it with its `requestId`. */
export type Question = EventOf<'input.requested'>['data'] & { runId: string | undefined }
/** A source that a run cites. */
export type Source = EventOf<'source.added'>['data']
/** The plan of a run: its title and steps. */
export type Plan = EventOf<'plan.updated'>['data']
/** A user's message to a running agent; `applied` once the agent has read it. */
export type Steered = { inputId: string; text: string; applied: boolean }

/** One run of a session. */
export interface RunView {
  runId: string
  /** The agent's name. */
  agent: string
  /** The input that the run was started with. */
  input: unknown
  /** The run's own status; it does not depend on the connection. */
  status: 'running' | 'completed' | 'failed' | 'cancelled'
  /** The agent's last `run.status`. */
  phase: { status: string; message?: string | undefined } | undefined
  /** The texts of the run, in the order of their first events. */
  parts: readonly Part[]
  /** The newest plan; `undefined` before the first. */
  plan: Plan | undefined
  /** The sources, in the order of their events. */
  sources: readonly Source[]
  /** The tool calls, in the order of their first events. */
  tools: readonly ToolView[]
  /** The messages of users to the running agent, in the order of their events. */
  steered: readonly Steered[]
  /** The event that ended the run; `undefined` while it is running. */
  terminal: Terminal | undefined
}

/** The view of a session. */
export interface SessionView {
  /** The newest 100 runs, in the order of their starts. */
  runs: readonly RunView[]
  /** The open questions, in the order in which they were asked. */
  questions: readonly Question[]
  /** Whether the backlog has been delivered. */
  caughtUp: boolean
  /** The ranges of offsets that were not delivered. */
  gaps: readonly { from: string; to: string; reason: string }[]
  /** Why the session's stream ended, such as `deleted` or `forbidden`; `undefined` while it continues. */
  ended: string | undefined
}

/** Maximum number of runs in a view; older runs are dropped. */
export const RUNS = 100

/** The view of a session without events. */
export const emptyView: SessionView = { runs: [], questions: [], caughtUp: false, gaps: [], ended: undefined }

/**
 * Applies events to a view and returns the new view. Unchanged parts keep their identity, so a page redraws changed
 * parts only.
 */
export function reduce(view: SessionView, events: readonly SessionEvent[]): SessionView {
  for (const event of events) view = applied(view, event)
  return view
}

function applied(view: SessionView, event: SessionEvent): SessionView {
  switch (event.type) {
    case 'reset':
      return emptyView
    case 'caught-up':
      return { ...view, caughtUp: true }
    case 'gap':
      return { ...view, gaps: [...view.gaps, { from: event.from, to: event.to, reason: event.reason }] }
    case 'end':
      return event.reason === 'run-ended' ? view : { ...view, ended: event.reason }
    case 'invalid':
      return view
  }
  if (event.runId === undefined) return view
  const { runId } = event
  const at = view.runs.findLastIndex(run => run.runId === runId)
  const before = view.runs[at]
  // Events after the terminal do not belong to the run.
  if (before && before.status !== 'running') return view
  const run = runWith(before ?? newRun(runId), event as EventOf<string> as never)
  const runs =
    run === before ? view.runs : before ? view.runs.with(at, run) : [...view.runs, run].slice(-RUNS)
  const questions = questionsWith(view.questions, event as never)
  return runs === view.runs && questions === view.questions ? view : { ...view, runs, questions }
}

function newRun(runId: string): RunView {
  return {
    runId,
    agent: '',
    input: undefined,
    status: 'running',
    phase: undefined,
    parts: [],
    plan: undefined,
    sources: [],
    tools: [],
    steered: [],
    terminal: undefined,
  }
}

type Logged = Extract<SessionEvent, { offset: string; time: number }>

function runWith(run: RunView, event: Logged): RunView {
  switch (event.type) {
    case 'run.started':
      return { ...run, agent: event.data.agent, input: event.data.input }
    case 'run.status':
      return { ...run, phase: { status: event.data.status, message: event.data.message } }
    case 'run.completed':
    case 'run.failed':
    case 'run.cancelled':
      return { ...run, status: event.type.slice(4) as RunView['status'], terminal: event }
    case 'plan.updated':
      return { ...run, plan: event.data }
    case 'source.added':
      return { ...run, sources: [...run.sources, event.data] }
    case 'input.steered':
      return { ...run, steered: [...run.steered, { ...event.data, applied: false }] }
    case 'input.applied':
      return {
        ...run,
        steered: changed(run.steered, 'inputId', event.data.inputId, () => ({ applied: true })),
      }
    case 'text.start':
    case 'reasoning.start':
      return withPart(run, kindOf(event.type), event.data.partId, () => ({
        role: event.data.role ?? 'assistant',
      }))
    case 'text.delta':
    case 'reasoning.delta': {
      const { partId, delta } = event.data
      return withPart(run, kindOf(event.type), partId, part => ({ text: part.text + delta }))
    }
    case 'text.end':
    case 'reasoning.end':
      return withPart(run, kindOf(event.type), event.data.partId, () => ({ done: true }))
    case 'artifact.start':
      return withPart(run, 'artifact', event.data.artifactId, () => ({ role: event.data.name }))
    case 'artifact.delta': {
      const { artifactId, delta } = event.data
      return withPart(run, 'artifact', artifactId, part => ({ text: part.text + delta }))
    }
    case 'artifact.end':
      return withPart(run, 'artifact', event.data.artifactId, () => ({ done: true }))
    case 'tool.started':
      return withTool(run, event.data.toolCallId, () => ({ toolName: event.data.toolName }))
    case 'tool.delta': {
      const { toolCallId, delta } = event.data
      return withTool(run, toolCallId, tool => ({ inputText: tool.inputText + delta }))
    }
    case 'tool.called': {
      const { toolCallId, toolName, input } = event.data
      return withTool(run, toolCallId, () => ({ toolName, input, status: 'called' }))
    }
    case 'tool.finished': {
      const { toolCallId, output, isError = false } = event.data
      return withTool(run, toolCallId, () => ({ output, isError, status: 'finished' }))
    }
    default:
      return run
  }
}

function questionsWith(questions: readonly Question[], event: Logged): readonly Question[] {
  switch (event.type) {
    case 'input.requested':
      return [...questions, { ...event.data, runId: event.runId }]
    case 'input.answered':
    case 'input.expired':
      return questions.filter(question => question.requestId !== event.data.requestId)
    case 'run.completed':
    case 'run.failed':
    case 'run.cancelled':
      return questions.some(question => question.runId === event.runId)
        ? questions.filter(question => question.runId !== event.runId)
        : questions
    default:
      return questions
  }
}

const kindOf = (type: string) => type.split('.')[0] as Part['kind']

function withPart(
  run: RunView,
  kind: Part['kind'],
  partId: string,
  change: (part: Part) => Partial<Part>,
): RunView {
  const at = run.parts.findLastIndex(part => part.partId === partId && part.kind === kind)
  const part = run.parts[at] ?? { partId, kind, role: 'assistant', text: '', done: false }
  const next = { ...part, ...change(part) }
  return { ...run, parts: at < 0 ? [...run.parts, next] : run.parts.with(at, next) }
}

function withTool(run: RunView, toolCallId: string, change: (tool: ToolView) => Partial<ToolView>): RunView {
  const at = run.tools.findLastIndex(tool => tool.toolCallId === toolCallId)
  const tool = run.tools[at] ?? { toolCallId, toolName: '', inputText: '', status: 'started' as const }
  const next = { ...tool, ...change(tool) }
  return { ...run, tools: at < 0 ? [...run.tools, next] : run.tools.with(at, next) }
}

/** The list with one item changed; the same list when it does not hold the item. */
function changed<T, K extends keyof T>(
  list: readonly T[],
  key: K,
  id: T[K],
  change: (item: T) => Partial<T>,
): readonly T[] {
  const at = list.findIndex(item => item[key] === id)
  return at < 0 ? list : list.with(at, { ...list[at]!, ...change(list[at]!) })
}
