/** One execution of an agent: drives its generator, appends what it yields, and ends it with exactly one terminal event. */
import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Agent, RunResult } from '../agents/agent.ts'
import { Inbox } from '../agents/inbox.ts'
import { completed, failed, mustBeOfAgent, type TerminalBody } from '../agents/outcome.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { LogEvent } from '../log/event.ts'
import { keys } from '../log/keys.ts'
import type { Lease } from '../log/log.ts'
import type { Presence } from '../presence/presence.ts'
import { endUnwatched } from '../presence/unwatched.ts'
import {
  isTerminal,
  type OnNoViewers,
  parseEventBody,
  TwinrailError,
  type TwinrailEvent,
} from '../protocol/index.ts'
import type { Expiry } from './expiry.ts'
import { RunClock } from './run-clock.ts'
import { contextOf } from './run-context.ts'
import { RunLog, RunStopped } from './run-log.ts'
import type { SchemaChecker } from './schemas/checker.ts'

export interface RunParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly presence: Presence
  readonly schemas: SchemaChecker
  readonly agent: Agent
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  /** Number of the run's `run.started`. */
  readonly startSeq: number
  /** The caller's input as parsed by the agent's schema. */
  readonly input: unknown
  readonly by: string | undefined
  /** The trace context of the command that started it. */
  readonly traceparent: string | undefined
  readonly onNoViewers: OnNoViewers
  /** Set for a run that was taken over: the run's events so far, for the agent's `resume`. */
  readonly history?: readonly TwinrailEvent[]
  /** Time limit in ms, not counting time spent in `ask`. */
  readonly maxMs: number
  readonly lease: Lease
  readonly expiry: Expiry
  /** Reports an exception of the agent. Users see only `errorId`, not the exception. */
  onAgentError(error: unknown, errorId: string): void
}

/** Events that an agent may yield in one turn of the event loop. */
const MAX_EVENTS_PER_TURN = 100

export class Run {
  readonly #parts: RunParts
  readonly #log: RunLog
  readonly #inbox = new Inbox()
  readonly #abort = new AbortController()
  readonly #clock: RunClock
  #stopWatching: (() => void) | undefined
  #stopViewing: (() => void) | undefined
  /** Rejects the pending `next()` of the generator. */
  #interrupt: ((reason: unknown) => void) | undefined
  #eventsInTurn = 0
  #terminal: { type: string; code?: string } | undefined
  /** Resolves when the run is over and its resources are freed. Never rejects. */
  readonly done: Promise<void>

  constructor(parts: RunParts) {
    this.#parts = parts
    this.#log = new RunLog({
      ...parts,
      onFailed: error => {
        if (error instanceof RunStopped) this.#stop('the run has ended')
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

  /** The run's terminal event as far as this process knows it: its type, and the code of a failure. */
  get terminal(): { type: string; code?: string } | undefined {
    return this.#terminal
  }

  /** Ends the run with this terminal event, unless it has one. Resolves when the log has the terminal event. */
  async end(terminal: TerminalBody): Promise<void> {
    const { runId } = this.#parts
    // A refusal means that the run has a terminal event already, or that another process has taken it over.
    const { accepted } = await this.#log.appendNow(
      { ...terminal, runId },
      { once: [{ key: keys.end(runId), note: { type: terminal.type } }], release: [runId] },
    )
    if (accepted) this.#ended(terminal)
    this.#stop('the run has ended')
  }

  /** Whether another process can go on with the run. */
  get isResumable(): boolean {
    return this.#parts.agent.resume !== undefined
  }

  /** Stops the run without a terminal event, because another process holds its lease now. */
  fence(): void {
    this.#stop('the run’s lease is lost')
  }

  /**
   * Stops the run without a terminal event, so that another process goes on with it. Events that the agent has yielded and
   * that are not in the log yet are dropped: nobody has seen them. Resolves when nothing more is appended.
   */
  async leave(): Promise<void> {
    this.#stop('this process stops; another one goes on with the run')
    await this.#log.idle()
    await this.done
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
      await this.end(completed(result))
    } catch (error) {
      // While the log is unavailable a resumable run gets no terminal event: its lease expires and a node takes it over.
      const canBeTakenOver =
        error instanceof TwinrailError && error.code === 'unavailable' && this.#parts.agent.resume
      if (!this.#abort.signal.aborted && !(error instanceof RunStopped) && !canBeTakenOver)
        await this.end(failed(error, this.#report)).catch(this.#report)
    } finally {
      this.#stop('the run has ended')
      this.#clock.stop()
      this.#stopViewing?.()
      this.#stopWatching?.()
    }
  }

  /** Drives the generator; resolves with its result once everything that it yielded is in the log. */
  async #drive(generator: ReturnType<Agent['run']>): Promise<RunResult | undefined> {
    const { bus, sessionId, runId, agent, schemas } = this.#parts
    const what = `event yielded by agent ${agent.name}`
    try {
      for (;;) {
        const step = await this.#step(generator)
        if (step.done) {
          await this.#log.settled()
          return (step.value as RunResult | undefined) ?? undefined
        }
        const body = schemas.own.checked(parseEventBody(step.value, what), what)
        mustBeOfAgent(body.type, agent.name)
        if (isTerminal(body.type)) {
          await this.#log.settled()
          await this.end({ type: body.type, data: body.data })
          throw new RunStopped()
        }
        const room = this.#log.add({ type: body.type, runId, data: body.data })
        if (room) await room
        const held = bus.admitted(sessionId)
        if (held) await held
        // With a fast log all awaits here may resolve in one turn, but subscribers are written to between turns.
        if (++this.#eventsInTurn >= MAX_EVENTS_PER_TURN) {
          this.#eventsInTurn = 0
          await nextTurn()
        }
      }
    } catch (error) {
      // Events that were yielded before the failure are appended before the terminal event.
      if (!this.#abort.signal.aborted) await this.#log.settled()
      throw error
    } finally {
      // Not awaited, because a generator that hangs never returns.
      generator.return().catch(() => {})
    }
  }

  /** The generator's next step. Rejects as soon as the run is over, even if the agent ignores its signal. */
  #step(generator: ReturnType<Agent['run']>): ReturnType<ReturnType<Agent['run']>['next']> {
    return new Promise((resolve, reject) => {
      if (this.#abort.signal.aborted) return reject(new RunStopped())
      this.#interrupt = reject
      generator.next().then(resolve, reject)
    })
  }

  /** Follows the session's log for events of this run, from the run's start on. */
  async #watch(): Promise<void> {
    const { journal, bus, presence, sessionId, startSeq, runId, onNoViewers } = this.#parts
    const buffered: LogEvent[] = []
    let onEvent = (event: LogEvent): void => {
      buffered.push(event)
    }
    const watching = await bus
      .listen(sessionId, {
        event: event => onEvent(event),
        deleted: () => this.#stop('the session was deleted'),
        lost: () => this.#stop('the log lost events of the run'),
      })
      .catch(() => {
        throw new RunStopped()
      })
    this.#stopWatching = watching.stop
    for await (const event of journal.events(sessionId, startSeq, watching.head)) this.#event(event)
    for (const event of buffered) this.#event(event)
    onEvent = event => this.#event(event)
    if (this.#abort.signal.aborted) throw new RunStopped()
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
    if (this.#abort.signal.aborted) throw new RunStopped()
  }

  #event(event: LogEvent): void {
    if (event.runId !== this.#parts.runId) return
    if (isTerminal(event.type)) {
      this.#ended(event.event)
      this.#stop('the run has ended')
    } else if (event.type.startsWith('input.')) this.#inbox.event(event.event)
  }

  #ended({ type, data }: { type: string; data: unknown }): void {
    const { code } = data as { code?: unknown }
    this.#terminal = { type, ...(typeof code === 'string' && { code }) }
  }

  #stop(reason: string): void {
    if (this.#abort.signal.aborted) return
    const stopped = new RunStopped(reason)
    this.#abort.abort(new DOMException(reason, 'AbortError'))
    this.#log.stop(stopped)
    this.#inbox.close(this.#abort.signal.reason)
    this.#interrupt?.(stopped)
  }

  async #timeOut(): Promise<void> {
    const seconds = Math.round(this.#parts.maxMs / 1000)
    const message = `the run exceeded the time limit of ${seconds} s`
    await this.end({ type: 'run.failed', data: { code: 'timeout', message, retryable: false } }).catch(
      this.#report,
    )
  }

  readonly #report = (error: unknown): string => {
    const errorId = randomUUID()
    this.#parts.onAgentError(error, errorId)
    return errorId
  }
}
