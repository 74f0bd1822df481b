/** A run that a worker executes: hands the run's input to the worker, and ends the work when the run has ended. */
import type { TerminalBody } from '../../agents/outcome.ts'
import type { Bus } from '../../bus/bus.ts'
import type { Journal } from '../../bus/journal.ts'
import type { RunTrace } from '../../bus/tracing.ts'
import type { LogEvent } from '../../log/event.ts'
import { keys } from '../../log/keys.ts'
import type { Lease } from '../../log/log.ts'
import type { Presence } from '../../presence/presence.ts'
import { endUnwatched } from '../../presence/unwatched.ts'
import {
  type Control,
  type ControlOf,
  type ErrorCode,
  isTerminal,
  type OnNoViewers,
  TwinrailError,
} from '../../protocol/index.ts'
import { RunClock } from '../run-clock.ts'

export interface WorkParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly presence: Presence
  readonly workId: string
  readonly agent: string
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  /** Number of the run's `run.started`. */
  readonly startSeq: number
  readonly lease: Lease
  readonly onNoViewers: OnNoViewers
  /** Time limit in ms, without the time in which a question is open. */
  readonly maxMs: number
  readonly trace: RunTrace | undefined
  send(control: Control): void
  /** Called when the run cannot be followed: the worker is to go on with it on another connection. */
  onUnfollowed(): void
  /** Called once, when the work is over for this connection. */
  onOver(): void
  onError(error: unknown, about: Record<string, unknown>): void
}

export class Work {
  readonly parts: WorkParts
  readonly #clock: RunClock
  readonly #questions = new Set<string>()
  #stopWatching: (() => void) | undefined
  #stopViewing: (() => void) | undefined
  #isOver = false
  /** Whether the worker is appending the run's terminal event. */
  isEnding = false
  /** Whether its lease was seen expired. */
  isLate = false

  constructor(parts: WorkParts) {
    this.parts = parts
    this.#clock = new RunClock(parts.maxMs, () => void this.#timeOut())
  }

  /**
   * Follows the session's log for events of this run. Those that concern its input go to the worker.
   * @param after number of the last one that the worker has
   */
  async follow(after: number): Promise<void> {
    const { journal, bus, sessionId, startSeq } = this.parts
    const buffered: LogEvent[] = []
    let onEvent = (event: LogEvent): void => {
      buffered.push(event)
    }
    try {
      const watching = await bus.listen(sessionId, {
        event: event => onEvent(event),
        deleted: () => this.over('run-ended', 'the session was deleted'),
        lost: () => this.over('run-ended', 'the log lost events of the run'),
      })
      this.#stopWatching = watching.stop
      for await (const event of journal.events(sessionId, startSeq, watching.head)) this.#event(event, after)
      for (const event of buffered) this.#event(event, after)
      onEvent = event => this.#event(event, after)
      if (!this.#isOver) await this.#view()
    } catch (error) {
      if (error instanceof TwinrailError && error.code === 'session-not-found') {
        this.over('run-ended', 'the session was deleted')
      } else {
        this.parts.onError(error, this.#about)
        this.parts.onUnfollowed()
      }
    }
    if (this.#isOver) this.#free()
  }

  /** The run has ended. @param isKnown whether the worker knows */
  ended({ type, data }: { readonly type: string; readonly data: unknown }, isKnown: boolean): void {
    const { code } = data as { code?: string }
    if (isKnown) this.#over({ type, code })
    else this.#over({ type, code }, 'run-ended', 'the run has ended')
  }

  /** Nothing more of it goes to the worker, which is told why unless it knows. */
  over(code?: ErrorCode, reason?: string): void {
    this.#over(undefined, code, reason)
  }

  #over(terminal: Parameters<RunTrace['end']>[0], code?: ErrorCode, reason = ''): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#free()
    const { workId, trace, send, onOver } = this.parts
    trace?.end(terminal)
    if (code) send({ type: 'work-over', workId, code, reason })
    onOver()
  }

  #free(): void {
    this.#clock.stop()
    this.#stopViewing?.()
    this.#stopWatching?.()
  }

  async #view(): Promise<void> {
    const { presence, bus, sessionId, runId, onNoViewers, onError } = this.parts
    if (onNoViewers === 'continue') return
    this.#stopViewing = await endUnwatched({
      presence,
      bus,
      sessionId,
      runId,
      afterMs: onNoViewers.cancelAfterMs,
      end: () => this.#end({ type: 'run.cancelled', data: { reason: 'no-viewers' } }),
      onError: error => onError(error, this.#about),
    })
  }

  #event(event: LogEvent, after: number): void {
    const { runId, workId, send } = this.parts
    if (event.runId !== runId || this.#isOver) return
    if (isTerminal(event.type)) {
      this.ended(event.event, this.isEnding)
    } else if (event.type.startsWith('input.')) {
      const { data } = event.event
      this.#countTime(event.type, (data as { requestId?: string }).requestId ?? '')
      if (event.type !== 'input.requested' && event.seq > after)
        send({ type: 'work-input', workId, event: event.event as ControlOf<'work-input'>['event'] })
    }
  }

  /** While a question is open the clock stands still. */
  #countTime(type: string, requestId: string): void {
    const wasOpen = this.#questions.size > 0
    if (type === 'input.requested') this.#questions.add(requestId)
    else if (type === 'input.answered' || type === 'input.expired') this.#questions.delete(requestId)
    const isOpen = this.#questions.size > 0
    if (isOpen && !wasOpen) this.#clock.pause()
    else if (wasOpen && !isOpen) this.#clock.resume()
  }

  async #timeOut(): Promise<void> {
    const seconds = Math.round(this.parts.maxMs / 1000)
    const message = `the run exceeded the time limit of ${seconds} s`
    await this.#end({ type: 'run.failed', data: { code: 'timeout', message, retryable: false } }).catch(
      error => this.parts.onError(error, this.#about),
    )
  }

  /** Ends the run, unless it has ended. The log tells of it in `#event`. */
  async #end({ type, data }: TerminalBody): Promise<void> {
    const { journal, sessionId, runId, epoch, lease } = this.parts
    await journal.append(sessionId, [{ type, runId, data }], {
      epoch,
      once: [{ key: keys.end(runId), note: { type } }],
      leases: [lease],
      release: [runId],
    })
  }

  get #about(): Record<string, unknown> {
    const { sessionId, runId, agent } = this.parts
    return { what: 'work', sessionId, runId, workAgent: agent }
  }
}
