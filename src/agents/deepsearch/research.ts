/** One run of `deepsearch`: plans the questions, searches for each, and writes the answer; messages are further questions. */
import { z } from 'zod'
import { beginning, type EventBody, jsonSchemaOf } from '../../protocol/index.ts'
import { sleep } from '../../protocol/timers.ts'
import type { RunContext, RunResult } from '../agent.ts'
import { safeId } from '../ids.ts'
import { wellFormed } from '../well-formed.ts'
import { AnswerWriter, count, writeHeading } from './answer.ts'
import type { Corpus } from './corpus.ts'
import type { CorpusThread } from './corpus-thread.ts'
import { decompose, likelyAnswerWords } from './question.ts'
import type { SearchResult } from './search-index.ts'
import { deltas } from './text.ts'

/** Passages to consider for each question. */
const MAX_HITS = 24

/** Hits that are reported in `tool.finished`. */
const MAX_REPORTED_HITS = 8

/** A run with this many questions takes no further messages. */
const MAX_QUESTIONS_PER_RUN = 100

/** Longer questions are cut, in chars. */
const MAX_QUESTION_CHARS = 2_000

/** Time between two reports of how far the documents are read, in ms. */
const PROGRESS_MS = 1_000

/** The protocol's limit for the name of a step, in chars. */
const MAX_NAME_CHARS = 200

/** Input of a `deepsearch` run. */
export const DeepsearchInput = z.object({
  query: z
    .string()
    .trim()
    .min(1)
    .max(MAX_QUESTION_CHARS)
    .describe('What you want to know. One query may contain several questions.'),
  confirm: z.boolean().default(false).describe('Whether to ask for approval of the plan before searching.'),
  maxSources: z
    .number()
    .int()
    .min(1)
    .max(50)
    .default(8)
    .describe(
      'Maximum number of sources to cite, for the query and again for each message sent into the run.',
    ),
})

/** Input of a `deepsearch` run, with its defaults filled in. */
export type DeepsearchInput = z.output<typeof DeepsearchInput>

/** A user's answer to the request for approval. */
const Approval = z.object({
  approved: z.boolean().describe('Whether to search.'),
  questions: z
    .array(z.string().min(1).max(MAX_QUESTION_CHARS))
    .min(1)
    .max(20)
    .optional()
    .describe('Questions to search for instead of the proposed ones.'),
})

interface Question {
  readonly title: string
  /** Id of its step and of its tool call. */
  readonly id: string
  status: 'pending' | 'running' | 'done' | 'failed'
  /** Its part of the answer, from the search until it is streamed; otherwise empty. */
  unwritten: string
}

type Events<Value = void> = AsyncGenerator<EventBody, Value, void>

/** The state of one run. Each step is a generator of events; {@link Research.run} runs them all. */
export class Research {
  private readonly input: DeepsearchInput
  private readonly context: RunContext
  private readonly open: () => CorpusThread
  private readonly paceMs: number
  private readonly partId: string
  private questions: Question[] = []
  private readonly writer: AnswerWriter
  private answer = ''

  /** @param open returns the corpus that all runs share */
  constructor(
    input: DeepsearchInput,
    context: RunContext,
    open: () => CorpusThread,
    { paceMs = 0, baseUrl }: { paceMs?: number; baseUrl?: string },
  ) {
    this.writer = new AnswerWriter(baseUrl)
    this.input = input
    this.context = context
    this.open = open
    this.paceMs = paceMs
    this.partId = safeId(`${context.runId}:answer`)
  }

  async *run(): Events<RunResult> {
    yield status('query_decomposition', 'Splitting the query into questions')
    this.addQuestions(decompose(wellFormed(this.input.query)))
    yield this.plan()
    if (this.input.confirm && !(yield* this.askApproval())) {
      yield* this.stream('The plan was not approved, so nothing was searched.')
      return yield* this.finish('declined')
    }
    do {
      const corpus = yield* this.search()
      yield* this.write(corpus)
    } while (yield* this.takeMessages())
    return yield* this.finish(this.writer.sources.length > 0 ? 'stop' : 'no-results')
  }

  private addQuestions(titles: readonly string[]): void {
    for (const title of titles) {
      const id = safeId(`${this.context.runId}:search-${this.questions.length + 1}`)
      this.questions.push({ title, id, status: 'pending', unwritten: '' })
    }
  }

  private plan(): EventBody {
    const steps = this.questions.map(({ title, status }) => ({ title, status }))
    return { type: 'plan.updated', data: { title: this.input.query, steps } }
  }

  /** Asks the users to approve the plan; they may replace its questions. Returns whether to search. */
  private async *askApproval(): Events<boolean> {
    const list = this.questions.map(({ title }) => `- ${title}`).join('\n')
    const { value } = await this.context.ask({
      kind: 'approval',
      message: `Search the documents for these questions?\n${list}`,
      schema: jsonSchemaOf(Approval),
    })
    const { approved, questions = [] } = Approval.parse(value)
    const replacements = normalizeQuestions(questions)
    if (approved && replacements.length > 0) {
      this.questions = []
      this.addQuestions(replacements)
      yield this.plan()
    }
    return approved
  }

  /** Adds the messages that users have sent into the run as questions. Returns whether there were any. */
  private async *takeMessages(): Events<boolean> {
    this.context.signal.throwIfAborted()
    if (this.questions.length >= MAX_QUESTIONS_PER_RUN) return false
    const messages = await this.context.steering.take()
    const added = normalizeQuestions(messages.map(({ text }) => text))
    this.addQuestions(added)
    if (added.length > 0) yield this.plan()
    return added.length > 0
  }

  /** Searches for all pending questions at once, and then for those that arrived during the search. */
  private async *search(): Events<Corpus> {
    let corpus: Corpus
    do {
      const pending = this.questions.filter(({ status }) => status === 'pending')
      yield status('searching', `Searching the documents for ${count(pending.length, 'question')}`)
      for (const question of pending) yield* this.startSearch(question)
      yield this.plan()
      corpus = yield* this.load()
      const searching = Promise.all(pending.map(question => this.searchFor(question, corpus)))
      const results = await untilAborted(searching, this.context.signal)
      let sourcesLeft = this.input.maxSources
      for (const [i, question] of pending.entries()) {
        const before = this.writer.sources.length
        // Each question gets its share; what it does not use is left to those after it.
        const maxNewSources = Math.ceil(sourcesLeft / (pending.length - i))
        yield* this.finishSearch(corpus, question, results[i]!, maxNewSources)
        sourcesLeft -= this.writer.sources.length - before
      }
    } while (yield* this.takeMessages())
    return corpus
  }

  /** Waits for the corpus, and reports how many of its files are read. */
  private async *load(): Events<Corpus> {
    const thread = this.open()
    const ready = thread.untilReady()
    // A cancelled run does not wait for it.
    ready.catch(() => {})
    // Ends the last pause: a timer and a listener of each search would otherwise stay for its whole length.
    const end = new AbortController()
    try {
      for (;;) {
        const pause = sleep(PROGRESS_MS, end.signal, { unref: true }).then(undefined, () => undefined)
        const corpus = await untilAborted(Promise.race([ready, pause]), this.context.signal)
        if (corpus) return corpus
        const { files, of } = thread.progress
        if (of > 0) yield status('searching', `Reading the documents: ${files} of ${of} files`)
      }
    } finally {
      end.abort()
    }
  }

  private *startSearch(question: Question): Generator<EventBody> {
    const { id, title } = question
    const tool = { toolCallId: id, toolName: 'search_corpus' }
    question.status = 'running'
    yield { type: 'step.started', data: { stepId: id, name: stepName(question) } }
    yield { type: 'tool.started', data: tool }
    yield { type: 'tool.called', data: { ...tool, input: { query: title } } }
  }

  private searchFor({ title }: Question, corpus: Corpus): Promise<SearchResult> {
    return corpus.index.search(title, `${this.input.query} ${likelyAnswerWords(title)}`, MAX_HITS)
  }

  /** Answers a question from the result of its search, and ends its step. */
  private *finishSearch(
    corpus: Corpus,
    question: Question,
    result: SearchResult,
    maxNewSources: number,
  ): Generator<EventBody> {
    this.context.signal.throwIfAborted()
    const { id, title } = question
    const maxQuotes = this.questions.length > 2 ? 2 : 3
    const { text, answered, newSources } = this.writer.answer(title, corpus, result, maxQuotes, maxNewSources)
    question.status = answered ? 'done' : 'failed'
    question.unwritten = text
    yield { type: 'tool.finished', data: { toolCallId: id, output: { hits: reportedHits(result) } } }
    for (const source of newSources) yield { type: 'source.added', data: { ...source } }
    yield { type: 'step.finished', data: { stepId: id, name: stepName(question) } }
    yield this.plan()
  }

  /** Streams the parts of the answer that are not yet streamed. */
  private async *write({ documents }: Corpus): Events {
    yield status('generating', 'Writing the answer')
    for (const question of this.questions) {
      const { title, unwritten } = question
      const isRepeatedNotice = documents === 0 && this.answer !== ''
      if (!unwritten || isRepeatedNotice) continue
      question.unwritten = ''
      const hasHeading = this.questions.length > 1 && documents > 0
      yield* this.stream(hasHeading ? `${writeHeading(title)}\n\n${unwritten}` : unwritten)
    }
  }

  /** Streams one paragraph or more of the answer. */
  private async *stream(text: string): Events {
    const { partId } = this
    const isFirst = this.answer === ''
    if (isFirst) yield { type: 'text.start', data: { partId, role: 'assistant' } }
    for (const delta of deltas(isFirst ? text : `\n\n${text}`)) {
      this.context.signal.throwIfAborted()
      this.answer += delta
      yield { type: 'text.delta', data: { partId, delta } }
      if (this.paceMs > 0) await sleep(this.paceMs, this.context.signal)
    }
  }

  private async *finish(finishReason: string): Events<RunResult> {
    yield { type: 'text.end', data: { partId: this.partId } }
    const sources = this.writer.sources.map(({ sourceId, title, url }) => ({ sourceId, title, url }))
    const questions = this.questions.map(({ title }) => title)
    return { finishReason, result: { answer: this.answer, sources, questions } }
  }
}

function status(status: string, message: string): EventBody {
  return { type: 'run.status', data: { status, message } }
}

function stepName({ title }: Question): string {
  return beginning(title, MAX_NAME_CHARS)
}

/** Puts each text on one line, cuts it to the limit, and drops empty ones. */
function normalizeQuestions(texts: readonly string[]): string[] {
  const lines = texts.map(text => wellFormed(beginning(text, MAX_QUESTION_CHARS)).replace(/\s+/g, ' ').trim())
  return lines.filter(line => line !== '')
}

function reportedHits({ hits }: SearchResult) {
  return hits
    .slice(0, MAX_REPORTED_HITS)
    .map(({ passage, score }) => ({ id: passage.id, score: Math.round(score * 100) / 100 }))
}

/** Waits for a promise that other runs share. @throws the signal's reason, as soon as it aborts */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
