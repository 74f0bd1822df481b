/** A handle on one run. */
import type { OnNoViewers } from '../src/protocol/commands.ts'
import type { ControlOf } from '../src/protocol/controls.ts'
import type { TerminalType, TwinrailEvent } from '../src/protocol/events.ts'
import { ClientError } from './errors.ts'
import type { EventsOptions, Session, SessionEvent } from './session.ts'
import { isTerminal } from './wire.ts'

export interface RunOptions {
  /** Starting again with the same one attaches to the run. @default a new one */
  runId?: string
  /** What becomes of the run while nobody watches it. @default 'continue' */
  onNoViewers?: OnNoViewers
}

/** The event that ends a run. */
export type Terminal = Extract<TwinrailEvent, { type: TerminalType }>

/** What a run may hold, which is why it works for sessions of every schema. */
type AnySession = Pick<Session, 'cancel' | 'steer'> & {
  events(options?: EventsOptions): AsyncGenerator<unknown, void, undefined>
}

export class Run {
  readonly runId: string
  /** Resolves with the ack of the start; rejects when the server refuses it. */
  readonly started: Promise<ControlOf<'ack'> | undefined>
  readonly #session: AnySession
  readonly #done: Promise<Terminal>
  #end!: { resolve(terminal: Terminal): void; reject(error: unknown): void }
  #readers = 0
  #awaited = false
  #watching = false
  #ended = false

  constructor(session: AnySession, runId: string, start?: (runId: string) => Promise<ControlOf<'ack'>>) {
    this.#session = session
    this.runId = runId
    this.#done = new Promise((resolve, reject) => {
      this.#end = { resolve, reject }
    })
    this.#done.catch(() => {}) // told to whoever awaits it
    this.started = start ? start(runId) : Promise.resolve(undefined)
    this.started.catch(error => this.#end.reject(error))
  }

  /** The run's events from its start to its terminal; each iteration follows it anew. */
  get events(): AsyncIterable<SessionEvent> {
    return { [Symbol.asyncIterator]: () => this.#follow() }
  }

  /** The run's text as it comes. */
  get text(): AsyncIterable<string> {
    return { [Symbol.asyncIterator]: () => this.#text() }
  }

  /**
   * The run's terminal, whichever it is. Follows the run only once it is awaited, and only when nobody else does.
   * Rejects when the run was not started, or nobody can tell.
   */
  get done(): PromiseLike<Terminal> {
    return {
      // biome-ignore lint/suspicious/noThenProperty: a promise that begins to work when it is awaited
      then: (onDone, onFailed) => {
        this.#awaited = true
        this.#watch()
        return this.#done.then(onDone, onFailed)
      },
    }
  }

  /** @throws ClientError `run-ended` when it has its terminal */
  async cancel(reason?: string): Promise<void> {
    await this.started
    await this.#session.cancel(this.runId, reason)
  }

  /** Says something to the agent while it works. */
  async steer(text: string): Promise<void> {
    await this.started
    await this.#session.steer(this.runId, text)
  }

  async *#follow(): AsyncGenerator<SessionEvent, void, undefined> {
    this.#readers += 1
    try {
      await this.started // a stream of a run that is not there would be refused
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

  /** Reads to the end for whoever awaits it, when nobody reads. */
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
