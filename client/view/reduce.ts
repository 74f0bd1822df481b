/** Makes the view of a session from its events. */
import { ClientError } from '../errors.ts'
import type { SessionEvent } from '../events.ts'
import { type EventOf, isTerminal, parseOffset } from '../protocol.ts'
import { inputText } from './input-text.ts'
import { type AnyPart, closedAs, isOpen, keyOf, newPart } from './part.ts'
import { moveIndex, noteAdded, placeOf } from './part-index.ts'
import type {
  AssistantMessage,
  Message,
  Part,
  QuestionPart,
  RunView,
  SessionView,
  UserMessage,
} from './view.ts'

/** Number of ended runs that a view keeps. Running ones are always kept. */
export const RUNS = 100

/** Number of gaps that a view keeps. */
const GAPS = 100

/** The view of a session without events. */
export const emptyView: SessionView = {
  messages: [],
  runs: [],
  questions: [],
  hasOlder: false,
  since: undefined,
  caughtUp: false,
  gaps: [],
  ended: undefined,
}

/**
 * Applies events to a view and returns the new view. Unchanged runs, messages and parts keep their identity, so a page
 * redraws changed ones only. Folded events give the same view as those that they join: a part stands where its first
 * event does.
 * @param keep number of ended runs to keep
 */
export function reduce(view: SessionView, events: readonly SessionEvent[], keep = RUNS): SessionView {
  const draft = new Draft(view)
  for (const event of events) draft.add(event)
  draft.trim(keep)
  return draft.finish()
}

export const seqOf = (offset: string): number => parseOffset(offset)?.seq ?? 0

/** The offset `by` events later. */
export function moved(offset: string, by: number): string {
  const { epoch, seq } = parseOffset(offset) ?? { epoch: 1, seq: 0 }
  return `${epoch}-${seq + by}`
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }
type Logged = Extract<SessionEvent, { offset: string; time: number }>

export const isOver = ({ status }: RunView) => status !== 'running' && status !== 'starting'
/** A view that is being changed. It copies each object before the first change, and only once. */
export class Draft {
  view: Writable<SessionView>
  readonly #before: SessionView
  /** The copies, which may be changed in place. */
  readonly #own = new WeakSet<object>()
  readonly #changed = new Set<RunView>()
  /** Runs whose texts changed, and whether questions did: walks over all parts are left out where they can be. */
  readonly #texted = new Set<RunView>()
  #asked = false
  readonly #walks: boolean

  /** @param walks whether to make texts and questions anew for every changed run */
  constructor(view: SessionView, walks = false) {
    this.#before = view
    this.#walks = walks
    this.view = { ...view }
  }

  /** The object itself, or a copy when it belongs to an earlier view. */
  own<T extends object>(value: T): Writable<T> {
    if (this.#own.has(value)) return value
    const copy = (Array.isArray(value) ? [...value] : { ...value }) as T
    this.#own.add(copy)
    return copy
  }

  add(event: SessionEvent): void {
    switch (event.type) {
      case 'reset':
        this.#changed.clear()
        this.view = { ...emptyView }
        return
      case 'caught-up':
        this.view.caughtUp = true
        return
      case 'gap': {
        const { from, to, reason } = event
        this.view.gaps = [...this.view.gaps, { from, to, reason }].slice(-GAPS)
        if (reason === 'trimmed' && this.view.since === undefined) this.view.since = moved(to, 1)
        return
      }
      case 'end':
        if (event.reason !== 'run-ended') this.view.ended = event.reason
        return
      case 'invalid':
        return this.add(event.event)
    }
    if ('ephemeral' in event) return
    const logged = event as Logged
    const offset = logged.from ?? logged.offset
    if (this.view.since === undefined) {
      this.view.since = offset
      this.view.hasOlder = seqOf(offset) > 1
    }
    if (logged.runId === undefined) return
    const at = this.view.runs.findLastIndex(({ runId }) => runId === logged.runId)
    // Events after the terminal do not belong to the run.
    if (at >= 0 && isOver(this.view.runs[at]!)) return
    this.#apply(
      this.run(at < 0 ? this.addRun({ ...newRun(logged.runId, offset), torn: true }) : at),
      logged,
      offset,
    )
  }

  /** The run at this index, as one that may be changed. */
  run(at: number): Writable<RunView> {
    const runs = this.#runs()
    const before = runs[at]!
    const run = this.own(before)
    moveIndex(before, run)
    runs[at] = run
    this.#changed.add(run)
    return run
  }

  /** Adds a run and returns its index. */
  addRun(run: RunView): number {
    return this.#runs().push(run) - 1
  }

  #runs(): RunView[] {
    this.view.runs = this.own(this.view.runs)
    return this.view.runs as RunView[]
  }

  #apply(run: Writable<RunView>, event: Logged, offset: string): void {
    const { type, time, by } = event
    const noun = type.slice(0, type.indexOf('.'))
    if (noun === 'text') this.#texted.add(run)
    if (noun === 'input' || isTerminal(type)) this.#asked = true
    switch (type) {
      case 'run.started': {
        const { agent, input, parentRunId, inputText: given } = event.data
        Object.assign(run, { agent, input })
        delete run.torn
        const text = given ?? inputText(input)
        // The input of a child run comes from its parent, not from a user.
        if (text === undefined || parentRunId !== undefined) return void this.#answer(run, offset, time)
        const id = `${run.runId}/input`
        this.#message(run, { id, role: 'user', text, input, state: 'sent', by, ...at(run, offset, time) })
        return void this.#answer(run, offset, time)
      }
      case 'run.completed':
      case 'run.failed':
      case 'run.cancelled':
        run.status = type.slice(4) as RunView['status']
        run.terminal = event
        if (type === 'run.failed') run.error = failureOf(run.runId, event.data)
        return this.close(run)
      case 'run.status':
        this.endStatus(run)
        return this.#open(run, 'status', undefined, event, event.data)
      case 'plan.updated': {
        const { steps } = event.data
        const state = steps.every(({ status }) => status === 'done' || status === 'failed')
          ? 'done'
          : 'running'
        const found = this.find(run, 'plan', undefined)
        if (found) return void Object.assign(found, event.data, { state })
        return this.#open(run, 'plan', undefined, event, event.data, state)
      }
      case 'source.added':
        return this.#open(run, 'source', undefined, event, event.data, 'done')
      case 'input.steered': {
        const { inputId, text } = event.data
        const id = `${run.runId}/${inputId}`
        const state = run.applied.includes(inputId) ? 'applied' : 'sent'
        return this.#message(run, { id, role: 'user', text, inputId, state, by, ...at(run, offset, time) })
      }
      case 'input.applied':
        return this.applied(run, event.data.inputId)
      case 'text.start':
      case 'reasoning.start':
        return this.#open(run, noun, event.data.partId, event, { role: event.data.role ?? 'assistant' })
      case 'artifact.start':
        return this.#open(run, noun, event.data.artifactId, event, event.data)
      case 'step.started':
        return this.#open(run, noun, event.data.stepId, event, event.data)
      case 'tool.started':
        return this.#open(run, noun, event.data.toolCallId, event, event.data)
      case 'input.requested':
        return this.#open(run, 'question', event.data.requestId, event, event.data)
      case 'text.delta':
      case 'reasoning.delta':
      case 'artifact.delta':
      case 'tool.delta': {
        const { delta } = event.data
        const part = this.#get(run, noun, event, true)
        if (noun === 'tool') part.inputText += delta
        else part.text += delta
        return
      }
      case 'text.end':
      case 'reasoning.end':
      case 'artifact.end':
      case 'step.finished':
        this.#get(run, noun, event).state = 'done'
        return
      case 'tool.called':
        Object.assign(this.#get(run, noun, event, true), event.data, { state: 'called' })
        return
      case 'tool.finished':
        Object.assign(this.#get(run, noun, event), { isError: false }, event.data, { state: 'finished' })
        return
      case 'input.answered':
        Object.assign(this.#get(run, 'question', event), event.data, { state: 'answered' })
        return
      case 'input.expired':
        this.#get(run, 'question', event).state = 'expired'
        return
      default:
        if (type.startsWith('x.')) {
          this.#open(run, type as `x.${string}`, undefined, event, { data: event.data }, 'done')
        }
    }
  }

  /** The last part of this type and id, as one that may be changed. */
  find(run: Writable<RunView>, type: string, id: unknown): AnyPart | undefined {
    const place = placeOf(run, type, id)
    return place && this.#partAt(run, ...place)
  }

  #partAt(run: Writable<RunView>, m: number, p: number): AnyPart {
    const parts = this.#partsOf(run, m)
    const part = this.own(parts[p]!)
    parts[p] = part
    return part as unknown as AnyPart
  }

  #partsOf(run: Writable<RunView>, m: number): Part[] {
    const messages = this.#messagesOf(run)
    const message = this.own(messages[m] as AssistantMessage)
    messages[m] = message
    message.parts = this.own(message.parts)
    return message.parts as Part[]
  }

  #messagesOf(run: Writable<RunView>): Message[] {
    run.messages = this.own(run.messages)
    return run.messages as Message[]
  }

  #message(run: Writable<RunView>, message: Message): void {
    this.#messagesOf(run).push(message)
  }

  /** Adds an empty assistant message. */
  #answer(run: Writable<RunView>, offset: string, time: number): void {
    const before = run.messages.at(-1)
    const id =
      before?.role === 'user' && before.inputId !== undefined ? `${before.id}/answer` : `${run.runId}/answer`
    const { agent, status: state } = run
    // A folded event has the time of its last delta, so the time is that of the message before.
    const place = at(run, offset, before?.time ?? time)
    this.#message(run, { id, role: 'assistant', agent, parts: [], text: '', state, ...place })
  }

  /** Adds a part to the last assistant message. After a user's message that is a new one. */
  append(run: Writable<RunView>, part: Part, time: number): void {
    if (run.messages.at(-1)?.role !== 'assistant') this.#answer(run, part.offset, time)
    const m = run.messages.length - 1
    const p = this.#partsOf(run, m).push(part) - 1
    noteAdded(run, part, [m, p])
  }

  /** Adds a part, or changes the open one of this id: providers use an id again once its part is done. */
  #open(
    run: Writable<RunView>,
    type: string,
    id: string | undefined,
    event: Logged,
    fields: object,
    state?: string,
  ): void {
    const open = id === undefined ? undefined : this.find(run, type, id)
    if (open && isOpen(open)) return void Object.assign(open, fields, { state: open.state })
    const begun = newPart(type, id, run.runId)
    const offset = event.from ?? event.offset
    const part = { ...begun, ...fields, type, offset, state: state ?? begun.state }
    this.append(run, part as unknown as Part, event.time)
  }

  /**
   * The part of an event that is not its first, as one that may be changed.
   * @param opens whether the event makes another part when the last one of this id is closed
   */
  #get(run: Writable<RunView>, type: string, event: Logged, opens = false): AnyPart {
    const id = keyOf(event.data as unknown as AnyPart) as string
    const found = this.find(run, type, id)
    if (found && (isOpen(found) || !opens)) return found
    this.#open(run, type, id, event, run.torn ? { torn: true } : {})
    return this.find(run, type, id)!
  }

  /** Marks a user's message as read by the agent. */
  applied(run: Writable<RunView>, inputId: string): void {
    run.applied = [...run.applied, inputId]
    const m = run.messages.findLastIndex(message => message.role === 'user' && message.inputId === inputId)
    if (m < 0) return
    const messages = this.#messagesOf(run)
    messages[m] = { ...(messages[m] as UserMessage), state: 'applied' }
  }

  endStatus(run: Writable<RunView>): void {
    const status = this.find(run, 'status', undefined)
    if (status) status.state = 'done'
  }

  /** Closes the open parts of a run that has ended. */
  close(run: Writable<RunView>): void {
    for (const [m, message] of run.messages.entries()) {
      if (message.role === 'user') continue
      for (const [p, part] of message.parts.entries()) {
        if (isOpen(part)) this.#partAt(run, m, p).state = closedAs[part.state]!
      }
    }
  }

  /** Drops the oldest ended runs beyond `keep`. */
  trim(keep: number): void {
    const over = this.view.runs.filter(isOver)
    if (over.length <= keep) return
    const dropped = new Set(over.slice(0, over.length - keep))
    for (const { terminal } of dropped) {
      const { since = '' } = this.view
      if (terminal && seqOf(terminal.offset) >= seqOf(since)) this.view.since = moved(terminal.offset, 1)
    }
    this.view.runs = this.view.runs.filter(run => !dropped.has(run))
    this.view.hasOlder = true
  }

  /** The finished view: what follows from its runs is made anew where they changed. */
  finish(): SessionView {
    const before = this.#before
    const { runs } = this.view
    if (runs === before.runs) {
      const changed = Object.entries(this.view).some(
        ([key, value]) => value !== before[key as keyof SessionView],
      )
      return changed ? this.view : before
    }
    for (const run of this.#changed) this.#finishRun(run)
    const known = this.view.questions
    const questions =
      this.#asked || this.#walks
        ? runs.filter(run => !isOver(run)).flatMap(({ parts }) => parts.filter(isOpenQuestion))
        : known
    const same = questions.length === known.length && questions.every((one, i) => one === known[i])
    const messages = inLogOrder(runs.flatMap(run => run.messages))
    return { ...this.view, messages, questions: same ? known : questions }
  }

  #finishRun(run: Writable<RunView>): void {
    const { agent, status, error } = run
    for (const [m, message] of run.messages.entries()) {
      if (message.role === 'user') continue
      if (!this.#own.has(message) && message.state === status && message.agent === agent) continue
      const messages = this.#messagesOf(run)
      messages[m] = {
        ...message,
        agent,
        state: status,
        ...(error && { error }),
        text: this.#walks || this.#texted.has(run) ? textOf(message.parts) : message.text,
      }
    }
    const answers = run.messages.filter(message => message.role === 'assistant')
    run.parts = answers.length === 1 ? answers[0]!.parts : answers.flatMap(({ parts }) => parts)
  }
}

/** Sorts messages by their offsets; runs side by side may have mixed them. The sort keeps the order of equal offsets. */
export function inLogOrder(messages: Message[]): Message[] {
  const seqs = new Map(messages.map(message => [message, message.offset ? seqOf(message.offset) : Infinity]))
  return messages.sort((a, b) => seqs.get(a)! - seqs.get(b)! || 0)
}

const at = ({ runId }: RunView, offset: string, time: number) => ({ runId, offset, time })

const isOpenQuestion = (part: Part): part is QuestionPart => part.type === 'question' && part.state === 'open'

function textOf(parts: readonly Part[]): string {
  return parts
    .filter(part => part.type === 'text' && part.text !== '')
    .map(part => (part as { text: string }).text)
    .join('\n\n')
}

/** The error of a failed run. Its `details` name the run. */
function failureOf(runId: string, { code, message, retryable }: EventOf<'run.failed'>['data']): ClientError {
  return new ClientError(code, message, { retryable, details: { runId } })
}

export function newRun(runId: string, offset: string): RunView {
  return {
    runId,
    offset,
    agent: '',
    input: undefined,
    status: 'running',
    error: undefined,
    messages: [],
    parts: [],
    terminal: undefined,
    applied: [],
  }
}
