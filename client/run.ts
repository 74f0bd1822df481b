/** A handle on one run. */
import { ClientError } from './errors.ts'
import type { SessionEvent, WithResult } from './events.ts'
import {
  type ControlOf,
  halfAtEnd,
  isTerminal,
  type OnNoViewers,
  type TerminalType,
  type TwinrailEvent,
} from './protocol.ts'

/** The options of {@link Session.run}. */
export interface RunOptions {
  /** The run's id. Starting a run again under the same id attaches to it. @default a new one of 128 random bits */
  runId?: string
  /** What happens to the run while it has no viewers. @default 'continue' */
  onNoViewers?: OnNoViewers
}

/** The event that ends a run. `Result` is the type of the `result` of `run.completed`. */
export type Terminal<Result = unknown> = WithResult<Extract<TwinrailEvent, { type: TerminalType }>, Result>

/** The methods of a session that a run uses, independent of the session's schemas. */
export interface RunSession {
  cancel(runId: string, reason?: string): Promise<unknown>
  steer(runId: string, text: string): Promise<unknown>
  events(options: { run: string }): AsyncGenerator<unknown, void, undefined>
}

/**
 * A handle on one run. Dropping the handle neither cancels the run nor closes a stream. `Result` is the type of the
 * agent's result, and `Event` that of the run's events.
 */
export class Run<Result = unknown, Event = SessionEvent> {
  /** The run's id. A `run.start` with the same id attaches to the run. */
  readonly runId: string
  /**
   * Resolves with the `ack` of the start, or with `undefined` for a run that was attached to. Rejects with a
   * ClientError when the server refuses the start.
   */
  readonly started: Promise<ControlOf<'ack'> | undefined>
  readonly #session: RunSession
  readonly #done: Promise<Terminal<Result>>
  #end!: { resolve(terminal: Terminal<Result>): void; reject(error: unknown): void }
  #readers = 0
  #awaited = false
  #watching = false
  #ended = false

  constructor(session: RunSession, runId: string, start?: (runId: string) => Promise<ControlOf<'ack'>>) {
    this.#session = session
    this.runId = runId
    this.#done = new Promise((resolve, reject) => {
      this.#end = { resolve, reject }
    })
    this.#done.catch(() => {}) // readers of `done` get the rejection
    this.started = start ? start(runId) : Promise.resolve(undefined)
    this.started.catch(error => this.#end.reject(error))
  }

  /**
   * The run's events, from its start to its terminal event, in order and each once. Each iteration opens a stream of
   * its own from the start of the run.
   * @throws ClientError when the start was refused; the errors of `Session.events`
   */
  get events(): AsyncIterable<Event> {
    return { [Symbol.asyncIterator]: () => this.#follow() as AsyncIterator<Event> }
  }

  /**
   * The deltas of the run's text, in order, cut between characters only. Each iteration opens a stream of its own from the
   * start of the run.
   * @throws ClientError as {@link events} does
   */
  get text(): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => this.#text() }
  }

  /**
   * Resolves with the run's terminal event: completed, failed or cancelled. Reading this property opens a stream of the
   * run, unless an iteration of {@link events} or {@link text} is reading one. Rejects with a ClientError when the
   * start was refused, when the stream failed for good, or with the code `closed` when the client was closed before the
   * run ended.
   */
  get done(): Promise<Terminal<Result>> {
    this.#awaited = true
    this.#watch()
    return this.#done
  }

  /**
   * Cancels the run, at once: the server remembers a cancel that arrives before the start. Resolves when the server has
   * accepted it.
   * @throws ClientError `run-ended` when the run has ended; the refusal of the start; another refusal
   */
  async cancel(reason?: string): Promise<void> {
    const refused = await this.#session.cancel(this.runId, reason).then(
      () => undefined,
      error => error,
    )
    await this.started
    if (!refused) return
    // The start creates the session, which a cancel does not.
    if (refused.code !== 'session-not-found') throw refused
    await this.#session.cancel(this.runId, reason)
  }

  /**
   * Sends a message to the agent once the start is acknowledged. Resolves when the log has the message.
   * @throws ClientError `run-ended` when the run has ended; the refusal of the start; another refusal
   */
  async steer(text: string): Promise<void> {
    await this.started
    await this.#session.steer(this.runId, text)
  }

  async *#follow(): AsyncGenerator<SessionEvent, void, undefined> {
    this.#readers += 1
    try {
      await this.started // the stream of an unknown run would be refused
      for await (const event of this.#session.events({ run: this.runId }) as AsyncIterable<SessionEvent>) {
        if (isTerminal(event.type)) {
          this.#ended = true
          this.#end.resolve(event as Terminal<Result>)
        }
        yield event
      }
    } finally {
      this.#readers -= 1
      this.#watch()
    }
  }

  async *#text(): AsyncGenerator<string, void, undefined> {
    let half = ''
    for await (const event of this.#follow()) {
      if (event.type !== 'text.delta') continue
      const text = half + event.data.delta
      half = halfAtEnd(text)
      if (text !== half) yield text.slice(0, text.length - half.length)
    }
  }

  /** Reads to the end for `done` when there is no other reader. */
  #watch(): void {
    if (!this.#awaited || this.#ended || this.#watching || this.#readers > 0) return
    this.#watching = true
    const read = async () => {
      for await (const _ of this.#follow()) if (this.#ended) return
      throw new ClientError('closed', `The stream ended before run ${this.runId} did`)
    }
    void read().catch(error => this.#end.reject(error))
  }
}
