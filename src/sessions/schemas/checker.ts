/** Checks JSON Schemas of questions and of agents, and values against them, in a thread of its own and within a bound of time. */
import { Worker } from 'node:worker_threads'
import { beginning, TwinrailError } from '../../protocol/index.ts'
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import { type EventSchemas, OwnEvents } from '../own-events.ts'
import type { JsonSchema, SchemaJob, SchemaProblem, SchemaVerdict, ThreadMessage } from './thread.ts'

export interface SchemaCheckerOptions {
  /** The longest that one check may work, in ms. @default 100 */
  readonly maxMs?: number | undefined
  /** Schemas of the application's own events. They are the program's, so they work on the event loop. @default none */
  readonly events?: EventSchemas | undefined
}

/** Whose schema it is, for messages. */
interface Subject {
  readonly schema: string
  readonly value: string
  /** Paths of the schema and of the value in `details`. */
  readonly schemaPath: string
  readonly valuePath: string
}

const question: Subject = {
  schema: 'the question’s schema',
  value: 'the answer',
  schemaPath: 'data.schema',
  valuePath: 'value',
}

const input: Subject = {
  schema: 'the schema of the agent’s input',
  value: 'the input',
  schemaPath: 'input',
  valuePath: 'input',
}

interface Waiting {
  readonly job: SchemaJob
  readonly subject: Subject
  resolve(problems: readonly SchemaProblem[]): void
  reject(error: unknown): void
}

/** Checks that wait for their turn, at the most. */
const MAX_WAITING = 1000

/** Memory of the thread's heap, in MiB. */
const HEAP_MB = 64

/**
 * A schema is a program that somebody else wrote: a few hundred bytes of it can work for minutes or use all memory.
 * So none is applied on the event loop. One thread does it, one check at a time; a check that takes longer than its
 * bound, or more memory, is stopped together with the thread, and the next check gets a new one. Patterns match in
 * linear time. The thread starts with the first check.
 */
export class SchemaChecker {
  /** The application's own events. */
  readonly own: OwnEvents
  readonly #maxMs: number
  readonly #waiting: Waiting[] = []
  #current: Waiting | undefined
  #thread: Worker | undefined
  #ready = false
  #cancelDeadline: Cancel = () => {}
  #closed = false

  constructor({ maxMs = 100, events }: SchemaCheckerOptions = {}) {
    this.#maxMs = maxMs
    this.own = new OwnEvents(events)
  }

  /**
   * Checks a question's schema. Resolves when answers can be checked against it.
   * @throws TwinrailError `bad-request` with the first places that are wrong; `rate-limited` while too much waits
   */
  async checkSchema(schema: JsonSchema): Promise<void> {
    await this.#checkUsable(schema, question)
  }

  /**
   * Checks an answer against its question's schema. Resolves when the answer meets it.
   * @throws TwinrailError `bad-request` with the first places that are wrong; `rate-limited` while too much waits
   */
  async checkAnswer(schema: JsonSchema, value: unknown): Promise<void> {
    await this.#checkValue(schema, value, question)
  }

  /** As {@link checkSchema}, for the schema of an agent's input. */
  async checkInputSchema(schema: JsonSchema): Promise<void> {
    await this.#checkUsable(schema, input)
  }

  /** As {@link checkAnswer}, for an agent's input. */
  async checkInput(schema: JsonSchema, value: unknown): Promise<void> {
    await this.#checkValue(schema, value, input)
  }

  async #checkUsable(schema: JsonSchema, subject: Subject): Promise<void> {
    const problems = await this.#check({ schema }, subject)
    if (problems.length === 0) return
    throw refusal(
      `${subject.schema} is not a usable JSON Schema (draft 2020-12)`,
      subject.schemaPath,
      problems,
    )
  }

  async #checkValue(schema: JsonSchema, value: unknown, subject: Subject): Promise<void> {
    const problems = await this.#check({ schema, value: { json: value } }, subject)
    if (problems.length === 0) return
    throw refusal(`${subject.value} does not meet ${subject.schema}`, subject.valuePath, problems)
  }

  /** Stops the thread. Checks that wait are refused. */
  async close(): Promise<void> {
    this.#closed = true
    const thread = this.#thread
    const stopping = new TwinrailError('restart', 'the server is stopping')
    for (const { reject } of this.#waiting.splice(0)) reject(stopping)
    this.#stop(stopping)
    await thread?.terminate()
  }

  #check(job: SchemaJob, subject: Subject): Promise<readonly SchemaProblem[]> {
    if (this.#closed) throw new TwinrailError('restart', 'the server is stopping')
    if (this.#waiting.length >= MAX_WAITING) {
      throw new TwinrailError('rate-limited', `${MAX_WAITING} schemas wait to be checked; try again later`, {
        retryAfterMs: 1000,
      })
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, subject, resolve, reject })
      this.#next()
    })
  }

  #next(): void {
    if (this.#current || this.#waiting.length === 0) return
    if (!this.#thread) this.#start()
    // The process may end between checks, not within one.
    this.#thread?.ref()
    if (!this.#ready) return
    this.#current = this.#waiting.shift() as Waiting
    this.#thread?.postMessage(this.#current.job)
  }

  #start(): void {
    // The file has the ending of this one: `.ts` from sources, `.js` when built.
    const file = new URL(
      `./thread${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
      import.meta.url,
    )
    const thread = new Worker(file, { resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } })
    this.#thread = thread
    thread.on('message', (message: ThreadMessage) => {
      if (thread === this.#thread) this.#message(message)
    })
    thread.on('error', error => {
      if (thread !== this.#thread) return
      if (this.#ready) return this.#stop(tooExpensive('needs too much memory', this.#current?.subject))
      // It cannot start. Whoever waits is told, and the next check tries again.
      for (const { reject } of this.#waiting.splice(0)) reject(error)
      this.#stop(error)
    })
  }

  #message(message: ThreadMessage): void {
    if (message === 'ready') {
      this.#ready = true
      this.#next()
    } else if (message === 'begun') {
      // Stopped one turn late: a busy event loop calls timers before it reads the verdict that lies there.
      const late = () => {
        this.#cancelDeadline = startTimer(1, () =>
          this.#stop(tooExpensive(`takes longer than ${this.#maxMs} ms`, this.#current?.subject)),
        )
      }
      this.#cancelDeadline = startTimer(this.#maxMs, late)
    } else {
      this.#settle(message)
    }
  }

  #settle({ problems }: SchemaVerdict): void {
    this.#cancelDeadline()
    const done = this.#current
    this.#current = undefined
    done?.resolve(problems)
    this.#thread?.unref()
    this.#next()
  }

  /** Stops the thread with the check that it works on. */
  #stop(reason: unknown): void {
    this.#cancelDeadline()
    this.#thread?.terminate()
    this.#thread = undefined
    this.#ready = false
    const stopped = this.#current
    this.#current = undefined
    stopped?.reject(reason)
    this.#next()
  }
}

function tooExpensive(what: string, { schema, schemaPath }: Subject = question): TwinrailError {
  return new TwinrailError(
    'bad-request',
    `checking against ${schema} ${what}; use a simpler schema or a shorter value`,
    { details: { path: schemaPath } },
  )
}

function refusal(what: string, root: string, problems: readonly SchemaProblem[]): TwinrailError {
  const issues = problems.map(({ pointer, message }) => ({
    path: beginning(`${root}${pointer.replaceAll('/', '.')}`, 256),
    message: beginning(message, 200),
  }))
  const last = issues.at(-1)
  return new TwinrailError('bad-request', `${what}: ${last?.path}: ${last?.message}`, {
    details: { path: last?.path, issues },
  })
}
