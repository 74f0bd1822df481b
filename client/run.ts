/** A handle on one run. */
import { ClientError } from './errors.ts'
import type { SessionEvent } from './events.ts'
import {
  type ControlOf,
  isTerminal,
  type OnNoViewers,
  type TerminalType,
  type TwinrailEvent,
} from './protocol.ts'

export interface RunOptions {
  /** Starting a run again under the same id attaches to it. @default a new random one */
  runId?: string
  /** What happens to the run while it has no viewers. @default 'continue' */
  onNoViewers?: OnNoViewers
}

/** The event that ends a run. */
export type Terminal = Extract<TwinrailEvent, { type: TerminalType }>

/** What a run needs of its session, whatever the session's schemas. */
export interface RunSession {
  cancel(runId: string, reason?: string): Promise<unknown>
  steer(runId: string, text: string): Promise<unknown>
  events(options: { run: string }): AsyncGenerator<unknown, void, undefined>
}

export class Run {
  readonly runId: string
  /** Resolves with the ack of the start; rejects when the server refuses it. */
  readonly started: Promise<ControlOf<'ack'> | undefined>
  readonly #session: RunSession
  readonly #done: Promise<Terminal>
  #end!: { resolve(terminal: Terminal): void; reject(error: unknown): void }
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
    this.#done.catch(() => {}) // reported to those who read `done`
    this.started = start ? start(runId) : Promise.resolve(undefined)
    this.started.catch(error => this.#end.reject(error))
  }

  /**
   * The run's events from its start to its terminal. Each iteration follows the run from its start.
   * @throws ClientError why the run was not started; the errors of `Session.events`
   */
  get events(): AsyncIterable<SessionEvent> {
    return { [Symbol.asyncIterator]: () => this.#follow() }
  }

  /**
   * The deltas of the run's text, in order. Each iteration follows the run from its start.
   * @throws ClientError as {@link events} does
   */
  get text(): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => this.#text() }
  }

  /**
   * Resolves with the run's terminal: completed, failed or cancelled. Reading this property starts to follow the run,
   * unless an iteration of {@link events} or {@link text} does already.
   * Rejects with the ClientError of a refused start, of a stream that failed for good, or `closed` when the client was
   * closed first.
   */
  get done(): Promise<Terminal> {
    this.#awaited = true
    this.#watch()
    return this.#done
  }

  /** Cancels the run once its start is acknowledged. @throws ClientError `run-ended` when it has its terminal */
  async cancel(reason?: string): Promise<void> {
    await this.started
    await this.#session.cancel(this.runId, reason)
  }

  /** Sends the agent a message once the start is acknowledged. @throws ClientError `run-ended` */
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
          this.#end.resolve(event as Terminal)
        }
        yield event
      }
    } finally {
      this.#readers -= 1
      this.#watch()
    }
  }

  async *#text(): AsyncGenerator<string, void, undefined> {
    for await (const event of this.#follow()) if (event.type === 'text.delta') yield event.data.delta
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
