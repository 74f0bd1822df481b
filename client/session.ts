/** A session as an application sees it: its events, its runs, and what can be said to it. */
import type { ControlOf } from '../src/protocol/controls.ts'
import type { EphemeralEvent, EventOf, TwinrailEvent } from '../src/protocol/events.ts'
import type { Client } from './client.ts'
import { type CommandBody, newId, sendCommand } from './command.ts'
import { type StreamOptions, stream } from './follow.ts'
import { LinkedAbortController } from './linked-abort.ts'
import type { Message } from './rail.ts'
import { Run, type RunOptions } from './run.ts'
import type { Accepted, Parsed, Schemas } from './schemas.ts'

/** An event of one's own that its schema refused. */
export interface InvalidEvent {
  type: 'invalid'
  event: TwinrailEvent | EphemeralEvent
  error: unknown
}

/** What a session's stream holds beside events. `gap` and `reset` say that something is missing or void. */
export type StreamControl = ControlOf<'gap' | 'reset' | 'caught-up' | 'end'>

/** Whatever `events()` yields, told apart by `type`: types with a dot are events. */
export type SessionEvent = TwinrailEvent | EphemeralEvent | StreamControl | InvalidEvent

type Known = Exclude<TwinrailEvent, EventOf<`x.${string}`>>

/** {@link SessionEvent} with one's own events as the schemas say. */
export type TypedEvent<S extends Schemas> =
  | Known
  | { [T in keyof S & string]: Omit<EventOf<T>, 'data'> & { data: Parsed<S[T]>; ephemeral?: true } }[keyof S &
      string]
  | StreamControl
  | InvalidEvent

export type EventsOptions = Pick<
  StreamOptions,
  'after' | 'run' | 'replay' | 'lag' | 'last' | 'heartbeatMs' | 'signal' | 'onStatus'
>

export interface SessionState {
  sessionId: string
  metadata?: Record<string, unknown>
  head: string
  earliest: string
  runs: {
    runId: string
    agent: string
    status: 'running' | 'completed' | 'failed' | 'cancelled'
    startedAt: number
    startOffset: string
    endOffset?: string
  }[]
  pendingInputs: (EventOf<'input.requested'>['data'] & { offset: string; runId?: string })[]
}

type Ack = Promise<ControlOf<'ack'>>

export class Session<S extends Schemas = Record<never, never>> {
  readonly id: string
  readonly client: Client
  readonly #schemas: S

  constructor(client: Client, id: string, schemas: S) {
    this.client = client
    this.id = id
    this.#schemas = schemas
  }

  /**
   * The session's events in order, each once, from wherever the client is connected; reading slowly slows the stream.
   * Ends after `end`, and quietly when the client is closed.
   * @throws ClientError when the server refuses for good
   */
  async *events(options: EventsOptions = {}): AsyncGenerator<TypedEvent<S>, void, undefined> {
    const { client } = this
    const stop = new LinkedAbortController(options.signal, client.signal)
    const id = {}
    let live = false
    const leave = client.entered()
    try {
      const messages = stream(client.surroundings, {
        ...options,
        sessionId: this.id,
        signal: stop.signal,
        onClock: (sentAt, serverTime) => client.quality.clock(sentAt, serverTime),
        onStatus: status => {
          client.quality.status(id, status)
          options.onStatus?.(status)
        },
      })
      for await (const message of messages) {
        const event = this.#eventOf(message)
        if (!event) continue
        if (event.type === 'caught-up') live = true
        client.quality.event(event, live)
        yield event as TypedEvent<S>
      }
    } catch (error) {
      if (!client.signal.aborted || error !== client.signal.reason) throw error
    } finally {
      stop.abort()
      leave()
    }
  }

  /** Starts a run of an agent, once however often the way to the server fails; the handle follows it. */
  run(agent: string, input: unknown, options: RunOptions = {}): Run {
    return new Run(this, options.runId ?? newId(), runId =>
      this.#send({ type: 'run.start', agent, input, onNoViewers: options.onNoViewers, runId }),
    )
  }

  /** A handle on a run that somebody started. */
  attach(runId: string): Run {
    return new Run(this, runId)
  }

  /** Answers a question. @throws ClientError `already-answered` with the winner's answer in `details` */
  answer(requestId: string, value: unknown): Ack {
    return this.#send({ type: 'input.answer', requestId, value })
  }

  /** Says something into a running run. */
  steer(runId: string, text: string): Ack {
    return this.#send({ type: 'input.steer', runId, text })
  }

  /** Cancels a run, whoever started it. @throws ClientError `run-ended` when it has its terminal */
  cancel(runId: string, reason?: string): Ack {
    return this.#send({ type: 'run.cancel', runId, reason })
  }

  /**
   * Publishes an event of one's own; its schema checks it first, here.
   * @param options.ephemeral only for who is connected now, and never logged
   */
  publish<T extends keyof S & `x.${string}`>(
    type: T,
    data: Accepted<S[T]>,
    options: { ephemeral?: boolean; runId?: string } = {},
  ): Ack {
    const { ephemeral = false, runId } = options
    return this.#send({ type: 'publish', ephemeral, event: { type, runId, data: this.#parse(type, data) } })
  }

  /** Makes the session when it is not there. */
  async create(metadata?: Record<string, unknown>): Promise<{ sessionId: string; head: string }> {
    return this.client.request('sessions', { sessionId: this.id, metadata })
  }

  /** What is going on in the session, in full even after a trim. */
  async state(): Promise<SessionState> {
    return this.client.request(`sessions/${encodeURIComponent(this.id)}`)
  }

  async #send(command: CommandBody): Ack {
    const { signal, surroundings, quality } = this.client
    const { url, backoff, fetch, sockets } = surroundings
    const headers = await surroundings.auth()
    const sentAt = Date.now()
    const socket = () => sockets.ready
    const ack = await sendCommand({
      url,
      sessionId: this.id,
      command,
      signal,
      headers,
      fetch,
      backoff,
      socket,
    })
    quality.roundTrip(Date.now() - sentAt)
    return ack
  }

  #parse(type: string, data: unknown): unknown {
    const schema = this.#schemas[type as `x.${string}`]
    return schema ? schema.parse(data) : data
  }

  #eventOf(message: Message): SessionEvent | undefined {
    if (message.kind === 'control') {
      const { type } = message.control
      return type === 'gap' || type === 'reset' || type === 'caught-up' || type === 'end'
        ? message.control
        : undefined
    }
    const { event } = message
    if (!this.#schemas[event.type as `x.${string}`]) return event
    try {
      return { ...event, data: this.#parse(event.type, event.data) } as SessionEvent
    } catch (error) {
      return { type: 'invalid', event, error }
    }
  }
}
