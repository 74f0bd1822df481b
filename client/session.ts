/** A session as an application sees it: its events, its runs and its commands. */
import { type CommandBody, newId, sendCommand } from './command.ts'
import { type StreamOptions, stream } from './connection/follow.ts'
import { LinkedAbortController } from './connection/linked-abort.ts'
import type { Message } from './connection/transport.ts'
import { type ClientContext, request } from './context.ts'
import type { Accepted, Schemas, SessionEvent, TypedEvent } from './events.ts'
import type { ControlOf, EventOf } from './protocol.ts'
import type { Quality } from './quality.ts'
import { Run, type RunOptions } from './run.ts'

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
  /** The client's measurements, over all its streams. */
  readonly quality: Quality
  readonly #context: ClientContext
  readonly #schemas: S

  constructor(context: ClientContext, id: string, schemas: S) {
    this.#context = context
    this.quality = context.quality
    this.id = id
    this.#schemas = schemas
  }

  /**
   * Yields the session's events in order, each once, whatever happens to the connection. A slow consumer slows the stream.
   * Returns after `end`, and when the client is closed.
   * @throws ClientError when the server refuses for good or does not follow the protocol; the signal's reason on abort
   */
  async *events(options: EventsOptions = {}): AsyncGenerator<TypedEvent<S>, void, undefined> {
    const { environment, quality, signal, streamOpened } = this.#context
    const stop = new LinkedAbortController(options.signal, signal)
    const id = {}
    let live = false
    const streamClosed = streamOpened()
    try {
      const messages = stream(environment, {
        ...options,
        sessionId: this.id,
        signal: stop.signal,
        onClock: (sentAt, serverTime) => quality.clock(sentAt, serverTime),
        onStatus: status => {
          quality.status(id, status)
          options.onStatus?.(status)
        },
      })
      for await (const message of messages) {
        const event = this.#eventOf(message)
        if (!event) continue
        if (event.type === 'caught-up') live = true
        quality.event(event, live)
        yield event as TypedEvent<S>
      }
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error
    } finally {
      stop.abort()
      streamClosed()
    }
  }

  /**
   * Starts a run of an agent and returns a handle on it. The command is repeated while the server is unreachable; it starts
   * one run. The handle's `started` rejects when the server refuses it.
   */
  run(agent: string, input: unknown, options: RunOptions = {}): Run {
    return new Run(this, options.runId ?? newId(), runId =>
      this.#send({ type: 'run.start', agent, input, onNoViewers: options.onNoViewers, runId }),
    )
  }

  /** A handle on a run that was started elsewhere. */
  attach(runId: string): Run {
    return new Run(this, runId)
  }

  /** Answers a question of a run. @throws ClientError `already-answered`, with the accepted answer in `details` */
  answer(requestId: string, value: unknown): Ack {
    return this.#send({ type: 'input.answer', requestId, value })
  }

  /** Sends a message into a running run. @throws ClientError `run-ended` */
  steer(runId: string, text: string): Ack {
    return this.#send({ type: 'input.steer', runId, text })
  }

  /** Cancels a run, no matter which client started it. @throws ClientError `run-ended` when it has its terminal */
  cancel(runId: string, reason?: string): Ack {
    return this.#send({ type: 'run.cancel', runId, reason })
  }

  /**
   * Publishes an event of the application's own, after its schema has validated it.
   * @param options.ephemeral delivers it to the subscriptions that are live now and never logs it; default false
   * @throws ClientError the server's refusal; the schema's error, synchronously
   */
  publish<T extends keyof S & `x.${string}`>(
    type: T,
    data: Accepted<S[T]>,
    options: { ephemeral?: boolean; runId?: string } = {},
  ): Ack {
    const { ephemeral = false, runId } = options
    return this.#send({ type: 'publish', ephemeral, event: { type, runId, data: this.#parse(type, data) } })
  }

  /**
   * Creates the session unless it exists. Metadata of an existing one stays as it is.
   * @throws ClientError the server's refusal, `silent` or `connection-lost`; there is no second attempt
   */
  async create(metadata?: Record<string, unknown>): Promise<{ sessionId: string; head: string }> {
    return request(this.#context, 'sessions', { sessionId: this.id, metadata })
  }

  /**
   * The session's runs, open questions and range of offsets; complete even when the log was trimmed.
   * @throws ClientError `session-not-found` or another refusal, `silent` or `connection-lost`; there is no second attempt
   */
  async state(): Promise<SessionState> {
    return request(this.#context, `sessions/${encodeURIComponent(this.id)}`)
  }

  async #send(command: CommandBody): Ack {
    const { signal, environment, quality } = this.#context
    const { url, backoff, fetch, sockets } = environment
    const headers = await environment.auth()
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
