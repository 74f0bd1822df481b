/** A run that this worker executes: drives the agent's generator, and gives it the context that it has in a server. */
import {
  type Agent,
  type Answer,
  type AskRequest,
  type RunContext,
  RunError,
  type RunResult,
} from '../../src/agents/agent.ts'
import { Inbox } from '../../src/agents/inbox.ts'
import { completed, failed, mustBeOfAgent, type TerminalBody } from '../../src/agents/outcome.ts'
import { isTerminal, TwinrailError, type TwinrailEvent } from '../../src/protocol/index.ts'
import { newId } from '../command.ts'
import { sleep } from '../connection/backoff.ts'
import type { ControlOf } from '../protocol.ts'
import { History, type Reader } from './history.ts'
import { type Body, isOver, type Send, WorkLog } from './work-log.ts'

export interface WorkRunParts {
  readonly agent: Agent
  readonly work: ControlOf<'work'>
  readonly reader: Reader
  /** Reports an exception of the agent. Users see only `errorId`. */
  onError(error: unknown, about: Record<string, unknown>): void
}

/** Events that an agent may yield in one turn of the event loop. */
const MAX_EVENTS_PER_TURN = 100

/** Unwinds a run that is over. */
class RunOver extends Error {}

export class WorkRun {
  readonly work: ControlOf<'work'>
  readonly #parts: WorkRunParts
  readonly #inbox = new Inbox()
  readonly #abort = new AbortController()
  readonly #log: WorkLog
  readonly #history: History
  /** Questions that an earlier worker has asked. */
  readonly #asked = new Set<string>()
  #interrupt: ((reason: unknown) => void) | undefined
  #lastInput: string | undefined
  /** Resolves when the run is over. Never rejects. */
  readonly done: Promise<void>

  constructor(parts: WorkRunParts) {
    const { work, reader } = parts
    this.#parts = parts
    this.work = work
    this.#log = new WorkLog(work, error => {
      if (error instanceof TwinrailError && isOver(error)) this.over('the run is not this worker’s any more')
      else this.#interrupt?.(error)
    })
    this.#history = new History(reader, work.sessionId, work.start, this.#abort.signal)
    this.done = this.#run()
  }

  /** What the server is told on a new connection. */
  get state(): object {
    const { workId, sessionId, runId, agent } = this.work
    return { workId, sessionId, runId, agent, ...(this.#lastInput && { after: this.#lastInput }) }
  }

  get canResume(): boolean {
    return this.#parts.agent.resume !== undefined
  }

  connect(send: Send | undefined): void {
    this.#log.connect(send)
  }

  input(event: TwinrailEvent): void {
    this.#lastInput = event.offset
    this.#inbox.event(event)
  }

  /** The run has ended, or another worker has it: nothing more is appended. */
  over(reason: string): void {
    if (this.#abort.signal.aborted) return
    const over = new RunOver(reason)
    this.#abort.abort(new DOMException(reason, 'AbortError'))
    this.#log.stop(over)
    this.#inbox.close(this.#abort.signal.reason)
    this.#interrupt?.(over)
  }

  /** Fails the run since this worker stops; one that another worker can go on with is left to it. */
  async giveUp(): Promise<void> {
    if (this.#abort.signal.aborted) return
    if (!this.canResume) {
      const data = {
        code: 'restart',
        message: 'the worker was stopped before the run ended',
        retryable: true,
      }
      await this.#log.append([{ type: 'run.failed', data }]).catch(() => {})
    }
    this.over('the worker was stopped')
  }

  async #run(): Promise<void> {
    // The connection is there before the first event.
    await Promise.resolve()
    try {
      await this.#end(await this.#execute())
    } catch (error) {
      if (!(error instanceof RunOver) && !this.#abort.signal.aborted) await this.#fail(error)
    } finally {
      this.over('the run has ended')
    }
  }

  async #fail(error: unknown): Promise<void> {
    const terminal = failed(error, this.#report, 'the worker’s output')
    await this.#end(terminal).catch(async refusal => {
      // The log was stopped by a refusal, such as that of an event that is none.
      if (!(refusal instanceof RunOver)) await this.#log.replaceAll(terminal).catch(() => {})
    })
  }

  #end({ type, data }: TerminalBody): Promise<void> {
    return this.#log.append([{ type, data }])
  }

  async #execute(): Promise<TerminalBody> {
    const { agent, work } = this.#parts
    const parsed = agent.input.safeParse(work.input)
    if (!parsed.success) {
      throw new RunError('bad-input', `the input does not fit this worker’s agent ${agent.name}`)
    }
    const context = this.#context()
    if (!work.resumed) return this.#drive(agent.run(parsed.data, context))
    if (!agent.resume)
      throw new RunError('producer-lost', 'the worker of the run is gone', { retryable: true })
    const history = await this.#history.ofRun(work.runId)
    for (const event of history) {
      if (event.type === 'input.requested')
        this.#asked.add((event as TwinrailEvent & { data: { requestId: string } }).data.requestId)
    }
    return this.#drive(agent.resume(history, parsed.data, context))
  }

  /** Drives the generator; resolves with the terminal event of the run. */
  async #drive(generator: ReturnType<Agent['run']>): Promise<TerminalBody> {
    const { name } = this.#parts.agent
    let count = 0
    try {
      for (;;) {
        const step = await this.#step(generator)
        if (step.done) return completed((step.value as RunResult | undefined) ?? undefined)
        const { type, data } = (step.value ?? {}) as Body
        if (typeof type !== 'string') {
          throw new TwinrailError('bad-request', `agent ${name} yielded something that is no event`)
        }
        mustBeOfAgent(type, name)
        if (isTerminal(type)) return { type, data }
        const room = this.#log.add({ type, data })
        if (room) await room
        if (++count % MAX_EVENTS_PER_TURN === 0) await sleep(0)
      }
    } finally {
      // Not awaited, because a generator that hangs never returns.
      generator.return().catch(() => {})
    }
  }

  /** The generator's next step. Rejects as soon as the run is over, even if the agent ignores its signal. */
  #step(generator: ReturnType<Agent['run']>): ReturnType<ReturnType<Agent['run']>['next']> {
    return new Promise((resolve, reject) => {
      if (this.#abort.signal.aborted) return reject(new RunOver())
      this.#interrupt = reject
      generator.next().then(resolve, reject)
    })
  }

  #context(): RunContext {
    const { sessionId, runId, by, traceparent } = this.work
    const inbox = this.#inbox
    const apply = async (steers: ReturnType<Inbox['takeSteers']>) => {
      if (steers.length > 0) {
        const applied = steers.map(({ inputId }) => ({ type: 'input.applied', data: { inputId } }))
        await this.#orAborted(this.#log.append(applied))
      }
      return steers
    }
    return {
      sessionId,
      runId,
      by,
      traceparent,
      signal: this.#abort.signal,
      history: () => this.#history.before(),
      recent: () => this.#history.recent(),
      ask: request => {
        const answer = this.#ask(request)
        // An agent may ask and end without awaiting the answer; that must not be an unhandled rejection.
        answer.catch(() => {})
        return answer
      },
      steering: {
        take: () => apply(inbox.takeSteers()),
        async *[Symbol.asyncIterator]() {
          while (await inbox.untilSteered()) yield* await apply(inbox.takeSteers())
        },
      },
    }
  }

  async #ask({ requestId = newId(), ...request }: AskRequest): Promise<Answer> {
    const answer = this.#inbox.answer(requestId)
    answer.catch(() => {})
    if (!this.#asked.has(requestId)) {
      const question = { type: 'input.requested', data: { requestId, ...request } }
      await this.#orAborted(this.#log.append([question], true))
      this.#asked.add(requestId)
    }
    return answer
  }

  /** Agents see the reason of their signal. */
  async #orAborted(appended: Promise<void>): Promise<void> {
    try {
      await appended
    } catch (error) {
      throw error instanceof RunOver ? this.#abort.signal.reason : error
    }
  }

  readonly #report = (error: unknown): string => {
    const errorId = newId()
    this.#parts.onError(error, { runId: this.work.runId, agent: this.work.agent, errorId })
    return errorId
  }
}
