/** One execution of an agent: drives its generator, logs what it yields, and sees to the one terminal. */
import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Agent, RunError, type RunResult } from '../agents/agent.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { LogEvent } from '../log/event.ts'
import { keys } from '../log/keys.ts'
import type { Lease } from '../log/log.ts'
import type { Presence } from '../presence/presence.ts'
import { endUnwatched } from '../presence/unwatched.ts'
import {
  commandOnlyTypes,
  isTerminal,
  type OnNoViewers,
  parseEventBody,
  type TerminalType,
  TwinrailError,
  type TwinrailEvent,
} from '../protocol/index.ts'
import { Inbox } from './inbox.ts'
import { RunClock } from './run-clock.ts'
import { contextOf } from './run-context.ts'
import { RunLog, RunOver } from './run-log.ts'

/** What a run is made of. */
export interface RunParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly presence: Presence
  readonly agent: Agent
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  /** Number of its `run.started`. */
  readonly startSeq: number
  /** What the agent's schema made of the caller's input. */
  readonly input: unknown
  readonly by: string | undefined
  readonly onNoViewers: OnNoViewers
  /** What the run logged before it was taken over; its agent resumes then. */
  readonly history?: readonly TwinrailEvent[]
  /** Running time, without time spent in `ask`, in ms. */
  readonly maxMs: number
  readonly lease: Lease
  /** An `input.requested` with an end was logged. */
  onExpiring(runId: string, requestId: string, expiresAt: number): void
  /** Reports what users are not told: the agent's own exception, with the id that they were given. */
  onAgentError(error: unknown, errorId: string): void
}

/** Types that an agent yields none of: the server or a command makes them. */
const notTheAgents = new Set<string>([
  ...commandOnlyTypes,
  'run.started',
  'run.cancelled',
  'input.requested',
  'input.applied',
  'input.expired',
])

/** Events logged in one event-loop turn before a fast agent lets others have theirs. */
const TURN_EVENTS = 100

export class Run {
  readonly #parts: RunParts
  readonly #log: RunLog
  readonly #inbox = new Inbox()
  readonly #abort = new AbortController()
  readonly #clock: RunClock
  #stopWatching: (() => void) | undefined
  #stopViewing: (() => void) | undefined
  /** Rejects the step that the generator is taking. */
  #interrupt: ((reason: unknown) => void) | undefined
  #inTurn = 0
  /** Resolves when the run is over and everything it held is freed. Never rejects. */
  readonly done: Promise<void>

  constructor(parts: RunParts) {
    this.#parts = parts
    this.#log = new RunLog({
      ...parts,
      onFailed: error => {
        if (error instanceof RunOver) this.#over('the run has ended')
        else this.#interrupt?.(error)
      },
    })
    this.#clock = new RunClock(parts.maxMs, () => void this.#timeOut())
    this.done = this.#run()
  }

  get lease(): Lease {
    return this.#parts.lease
  }

  get sessionId(): string {
    return this.#parts.sessionId
  }

  /** Ends the run with this terminal, unless it has one. Resolves when it is in the log. */
  async end(terminal: { type: TerminalType; data: unknown }): Promise<void> {
    const { runId } = this.#parts
    // Refused, it has one, or is somebody else's now.
    await this.#log.appendNow(
      { ...terminal, runId },
      { once: [{ key: keys.end(runId), note: { type: terminal.type } }], release: [runId] },
    )
    this.#over('the run has ended')
  }

  /** Stops driving the run and leaves the log as it is: its lease belongs to somebody else now. */
  fence(): void {
    this.#over('the run’s lease is lost')
  }

  async #run(): Promise<void> {
    try {
      await this.#watch()
      const { agent, input, history } = this.#parts
      const context = contextOf({
        ...this.#parts,
        signal: this.#abort.signal,
        log: this.#log,
        inbox: this.#inbox,
        clock: this.#clock,
      })
      const resumed = history && agent.resume?.(history, input, context)
      const result = await this.#drive(resumed ?? agent.run(input, context))
      await this.end({
        type: 'run.completed',
        data: {
          finishReason: result?.finishReason ?? 'stop',
          ...(result?.result !== undefined && { result: result.result }),
          ...(result?.usage !== undefined && { usage: result.usage }),
        },
      })
    } catch (error) {
      // A run that can be resumed outlives a log that is away: its lease runs out, and somebody takes it over.
      const isLeft =
        error instanceof TwinrailError && error.code === 'unavailable' && this.#parts.agent.resume
      if (!this.#abort.signal.aborted && !(error instanceof RunOver) && !isLeft)
        await this.end(this.#failure(error)).catch(this.#report)
    } finally {
      this.#over('the run has ended')
      this.#clock.stop()
      this.#stopViewing?.()
      this.#stopWatching?.()
    }
  }

  /** Pulls the generator, and gives its result once all that it yielded is in the log. */
  async #drive(generator: ReturnType<Agent['run']>): Promise<RunResult | undefined> {
    const { bus, sessionId, runId, agent } = this.#parts
    try {
      for (;;) {
        const step = await this.#step(generator)
        if (step.done) {
          await this.#log.settled()
          return (step.value as RunResult | undefined) ?? undefined
        }
        const body = parseEventBody(step.value, `event yielded by agent ${agent.name}`)
        if (notTheAgents.has(body.type)) {
          throw new TwinrailError(
            'bad-request',
            `agent ${agent.name} yielded ${body.type}, which agents may not`,
          )
        }
        if (isTerminal(body.type)) {
          await this.#log.settled()
          await this.end({ type: body.type, data: body.data })
          throw new RunOver()
        }
        const room = this.#log.add({ ...body, runId })
        if (room) await room
        const held = bus.admitted(sessionId)
        if (held) await held
        // Appends to a fast log resolve without leaving the turn, and a flush needs its turn, too.
        if (++this.#inTurn >= TURN_EVENTS) {
          this.#inTurn = 0
          await nextTurn()
        }
      }
    } catch (error) {
      // What it said before it failed is logged before its terminal.
      if (!this.#abort.signal.aborted) await this.#log.settled()
      throw error
    } finally {
      // Not awaited: a generator that hangs would never return.
      generator.return().catch(() => {})
    }
  }

  /** The generator's next step, or a rejection as soon as the run is over: an agent may ignore its signal. */
  #step(generator: ReturnType<Agent['run']>): ReturnType<ReturnType<Agent['run']>['next']> {
    return new Promise((resolve, reject) => {
      if (this.#abort.signal.aborted) return reject(new RunOver())
      this.#interrupt = reject
      generator.next().then(resolve, reject)
    })
  }

  /** Follows the session's log for what concerns this run, from its start on. */
  async #watch(): Promise<void> {
    const { journal, bus, presence, sessionId, startSeq, runId, onNoViewers } = this.#parts
    const early: LogEvent[] = []
    let take = (event: LogEvent): void => {
      early.push(event)
    }
    const watching = await bus
      .listen(sessionId, {
        event: event => take(event),
        deleted: () => this.#over('the session was deleted'),
        lost: () => this.#over('the log lost events of the run'),
      })
      .catch(() => {
        throw new RunOver()
      })
    this.#stopWatching = watching.stop
    for await (const event of journal.events(sessionId, startSeq, watching.head)) this.#event(event)
    for (const event of early) this.#event(event)
    take = event => this.#event(event)
    if (this.#abort.signal.aborted) throw new RunOver()
    if (onNoViewers === 'continue') return
    this.#stopViewing = await endUnwatched({
      presence,
      bus,
      sessionId,
      runId,
      afterMs: onNoViewers.cancelAfterMs,
      end: () => this.end({ type: 'run.cancelled', data: { reason: 'no-viewers' } }),
      onError: this.#report,
    })
    if (this.#abort.signal.aborted) throw new RunOver()
  }

  #event(event: LogEvent): void {
    if (event.runId !== this.#parts.runId) return
    if (isTerminal(event.type)) this.#over('the run has ended')
    else if (event.type.startsWith('input.')) this.#inbox.event(event)
  }

  #over(reason: string): void {
    if (this.#abort.signal.aborted) return
    const over = new RunOver(reason)
    this.#abort.abort(new DOMException(reason, 'AbortError'))
    this.#log.stop(over)
    this.#inbox.close(this.#abort.signal.reason)
    this.#interrupt?.(over)
  }

  async #timeOut(): Promise<void> {
    const seconds = Math.round(this.#parts.maxMs / 1000)
    const message = `the run took longer than the ${seconds} s that the server allows`
    await this.end({ type: 'run.failed', data: { code: 'timeout', message, retryable: false } }).catch(
      this.#report,
    )
  }

  /** The terminal for what the agent threw. Texts of exceptions that are not meant for users stay here. */
  #failure(error: unknown): { type: TerminalType; data: unknown } {
    if (error instanceof RunError || error instanceof TwinrailError) {
      const code = error instanceof TwinrailError && error.code === 'bad-request' ? 'bad-event' : error.code
      const { message, retryable } = error
      return { type: 'run.failed', data: { code, message, retryable } }
    }
    const errorId = randomUUID()
    this.#parts.onAgentError(error, errorId)
    const message = `the agent failed; the cause is in the server's log, if it keeps one, under errorId ${errorId}`
    return { type: 'run.failed', data: { code: 'agent-error', message, retryable: false, errorId } }
  }

  readonly #report = (error: unknown) => this.#parts.onAgentError(error, randomUUID())
}
