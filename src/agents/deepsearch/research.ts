/** One run of `deepsearch`: plan, search, write, and again for whatever users say meanwhile. */
import { z } from 'zod'
import { type EventBody, jsonSchemaOf } from '../../protocol/index.ts'
import { sleep } from '../../protocol/timers.ts'
import type { RunContext, RunResult } from '../agent.ts'
import { safeId } from '../ids.ts'
import { count, writeTitle } from './answer.ts'
import type { Corpus } from './corpus.ts'
import { decompose } from './decompose.ts'
import { Evidence } from './evidence.ts'
import { hintsOf } from './hints.ts'
import type { DeepsearchInput } from './input.ts'
import type { Findings } from './passage-index.ts'
import { pieces } from './tokens.ts'
import { unlessAborted } from './waiting.ts'

/** Passages that are looked at for each question. */
const HITS = 24

/** From this many questions on, messages sent into the run are left alone. */
const ENOUGH_QUESTIONS = 100

/** The longest question, in chars. */
const QUESTION_CHARS = 2_000

/** The answer to “may I search for this?”. */
const Approval = z.object({
  approved: z.boolean().describe('Whether to search.'),
  questions: z
    .array(z.string().min(1).max(QUESTION_CHARS))
    .min(1)
    .max(20)
    .optional()
    .describe('What to search for instead of the proposed questions.'),
})

interface Question {
  readonly title: string
  /** Of its step and of its tool call. */
  readonly id: string
  status: 'pending' | 'running' | 'done' | 'failed'
  /** Its part of the answer; empty before it is found and after it is written. */
  unwritten: string
}

type Events<Value = void> = AsyncGenerator<EventBody, Value, void>

/** One run: its state, and its steps as generators. {@link Research.run} is what the agent runs. */
export class Research {
  private readonly input: DeepsearchInput
  private readonly context: RunContext
  private readonly load: () => Promise<Corpus>
  private readonly paceMs: number
  private readonly partId: string
  private questions: Question[] = []
  private readonly evidence = new Evidence()
  private answer = ''

  constructor(input: DeepsearchInput, context: RunContext, load: () => Promise<Corpus>, paceMs: number) {
    this.input = input
    this.context = context
    this.load = load
    this.paceMs = paceMs
    this.partId = safeId(`${context.runId}:answer`)
  }

  async *run(): Events<RunResult> {
    yield status('query_decomposition', 'Splitting the question')
    this.add(decompose(this.input.query))
    yield this.plan()
    if (this.input.confirm && !(yield* this.approved())) {
      yield* this.say('The plan was not approved, so nothing was searched.')
      return yield* this.finish('declined')
    }
    do {
      const corpus = yield* this.search()
      yield* this.write(corpus)
    } while (yield* this.steered())
    return yield* this.finish(this.evidence.sources.length > 0 ? 'stop' : 'no-results')
  }

  private add(titles: readonly string[]): void {
    for (const title of titles) {
      const id = safeId(`${this.context.runId}:search-${this.questions.length + 1}`)
      this.questions.push({ title, id, status: 'pending', unwritten: '' })
    }
  }

  private plan(): EventBody {
    const steps = this.questions.map(({ title, status }) => ({ title, status }))
    return { type: 'plan.updated', data: { title: this.input.query, steps } }
  }

  /** Asks whether to go on with the plan; the answer may hold another one. */
  private async *approved(): Events<boolean> {
    const list = this.questions.map(({ title }) => `- ${title}`).join('\n')
    const { value } = await this.context.ask({
      kind: 'approval',
      message: `May I search for this?\n${list}`,
      schema: jsonSchemaOf(Approval),
    })
    const { approved, questions = [] } = Approval.parse(value)
    const edited = asQuestions(questions)
    if (approved && edited.length > 0) {
      this.questions = []
      this.add(edited)
      yield this.plan()
    }
    return approved
  }

  /** Adds what users said meanwhile to the plan; whether there is something to search for. */
  private async *steered(): Events<boolean> {
    this.context.signal.throwIfAborted()
    if (this.questions.length >= ENOUGH_QUESTIONS) return false
    const messages = await this.context.steering.take()
    const added = asQuestions(messages.map(({ text }) => text))
    this.add(added)
    if (added.length > 0) yield this.plan()
    return added.length > 0
  }

  /** Searches for all open questions at once, then for those that came meanwhile. */
  private async *search(): Events<Corpus> {
    let corpus: Corpus
    do {
      const open = this.questions.filter(({ status }) => status === 'pending')
      yield status('searching', `Searching for ${count(open.length, 'question')}`)
      for (const question of open) {
        question.status = 'running'
        yield* this.begun(question)
      }
      yield this.plan()
      corpus = await unlessAborted(this.load(), this.context.signal)
      const searches = open.map(question => this.searchFor(question, corpus))
      const findings = await Promise.all(searches)
      let room = this.input.maxSources
      for (const [i, question] of open.entries()) {
        const before = this.evidence.sources.length
        yield* this.found(corpus, question, findings[i]!, Math.ceil(room / (open.length - i)))
        room -= this.evidence.sources.length - before
      }
    } while (yield* this.steered())
    return corpus
  }

  private *begun(question: Question): Generator<EventBody> {
    const { id, title } = question
    const tool = { toolCallId: id, toolName: 'search_corpus' }
    yield { type: 'step.started', data: { stepId: id, name: nameOf(question) } }
    yield { type: 'tool.started', data: tool }
    yield { type: 'tool.called', data: { ...tool, input: { query: title } } }
  }

  private searchFor({ title }: Question, corpus: Corpus): Promise<Findings> {
    return corpus.passages.search(title, `${this.input.query} ${hintsOf(title)}`, HITS)
  }

  /** Takes up what one search found: sources, the part of the answer, and the end of the step. */
  private *found(corpus: Corpus, question: Question, findings: Findings, room: number): Generator<EventBody> {
    this.context.signal.throwIfAborted()
    const { id, title } = question
    const quotes = this.questions.length > 2 ? 2 : 3
    const { text, answered, sources } = this.evidence.answer(title, corpus, findings, quotes, room)
    question.status = answered ? 'done' : 'failed'
    question.unwritten = text
    yield { type: 'tool.finished', data: { toolCallId: id, output: { hits: summary(findings) } } }
    for (const source of sources) yield { type: 'source.added', data: { ...source } }
    yield { type: 'step.finished', data: { stepId: id, name: nameOf(question) } }
    yield this.plan()
  }

  /** Writes the parts of the answer that are not yet written. */
  private async *write({ documents }: Corpus): Events {
    yield status('generating', 'Writing the answer')
    for (const question of this.questions) {
      const { title, unwritten } = question
      const once = documents === 0 && this.answer !== ''
      if (!unwritten || once) continue
      question.unwritten = ''
      const titled = this.questions.length > 1 && documents > 0
      yield* this.say(titled ? `${writeTitle(title)}\n\n${unwritten}` : unwritten)
    }
  }

  /** Streams a part of the answer. */
  private async *say(text: string): Events {
    const { partId } = this
    const begins = this.answer === ''
    if (begins) yield { type: 'text.start', data: { partId, role: 'assistant' } }
    for (const delta of pieces(begins ? text : `\n\n${text}`)) {
      this.context.signal.throwIfAborted()
      this.answer += delta
      yield { type: 'text.delta', data: { partId, delta } }
      if (this.paceMs > 0) await sleep(this.paceMs, this.context.signal)
    }
  }

  private async *finish(finishReason: string): Events<RunResult> {
    yield { type: 'text.end', data: { partId: this.partId } }
    const sources = this.evidence.sources.map(({ sourceId, title, url }) => ({ sourceId, title, url }))
    const questions = this.questions.map(({ title }) => title)
    return { finishReason, result: { answer: this.answer, sources, questions } }
  }
}

function status(status: string, message: string): EventBody {
  return { type: 'run.status', data: { status, message } }
}

/** A name has a bound that a question does not have. */
function nameOf({ title }: Question): string {
  return title.slice(0, 200)
}

/** Questions out of what people wrote: on one line each, bounded, none empty. */
function asQuestions(texts: readonly string[]): string[] {
  const lines = texts.map(text => text.slice(0, QUESTION_CHARS).replace(/\s+/g, ' ').trim())
  return lines.filter(line => line !== '')
}

/** What a search found, small enough for the log. */
function summary({ hits }: Findings) {
  return hits
    .slice(0, 8)
    .map(({ passage, score }) => ({ id: passage.id, score: Math.round(score * 100) / 100 }))
}
