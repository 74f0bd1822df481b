/** A handle on a session: its events, its runs and its commands. */
import { type CommandBody, newId, sendCommand } from './command.ts'
import { type StreamOptions, stream } from './connection/follow.ts'
import { LinkedAbortController } from './connection/linked-abort.ts'
import type { RequestParts } from './connection/request.ts'
import type { Message } from './connection/transport.ts'
import { type ClientContext, type OpenStream, request } from './context.ts'
import type { Accepted, Publishable, RunEvent, Schemas, SessionEvent, TypedEvent } from './events.ts'
import type { Control, ControlOf, EventOf, TwinrailEvent } from './protocol.ts'
import type { Quality } from './quality.ts'
import { Run, type RunOptions } from './run.ts'
import type { AgentTypes } from './server-types.ts'
import type { SessionSummary } from './session-summary.ts'

/** The options of {@link Session.events}. All are optional. */
export type EventsOptions = Pick<
  StreamOptions,
  'after' | 'run' | 'replay' | 'lag' | 'last' | 'create' | 'heartbeatMs' | 'signal' | 'onStatus'
>

/** The state of a session, as {@link Session.state} resolves with it. */
export interface SessionState {
  /** The session's id. */
  sessionId: string
  /** The metadata of the session's creation, or of its last change. */
  metadata: Record<string, unknown>
  /** When the session was created, by the server's clock, in ms since 1970. */
  createdAt: number
  /** When the session was created or last got an event, in ms since 1970; up to a second too early. */
  activeAt: number
  /** The offset of the newest event; `<epoch>-0` in an empty session. */
  head: string
  /** The oldest offset that the log still holds; head + 1 when it holds no events. */
  earliest: string
  /** All open runs and the last 100 ended ones, in the order of their starts. */
  runs: {
    runId: string
    agent: string
    status: 'running' | 'completed' | 'failed' | 'cancelled'
    /** When the run was started, by the server's clock, in ms since 1970. */
    startedAt: number
    /** The offset of `run.started`. */
    startOffset: string
    /** The offset of the terminal event; absent while the run is open. */
    endOffset?: string
  }[]
  /** All open questions, in the order in which they were asked. */
  pendingInputs: (EventOf<'input.requested'>['data'] & { offset: string; runId?: string })[]
  /**
   * Set when not all of them fit into an answer of 1 MiB. The oldest ended runs are left out first, then the oldest
   * questions, then the oldest open runs; the session's events have them.
   */
  truncated?: true
}

/** The options of {@link Session.page}. All are optional. */
export interface PageOptions extends Pick<StreamOptions, 'after' | 'run' | 'replay' | 'last'> {
  /** Page backwards: the events just before this offset. @default forwards */
  before?: string | undefined
  /** Maximum number of events, from 1 to 1000. A page has at most 1 MiB. @default 1000 */
  limit?: number | undefined
}

/** A page of a session's log. */
export interface EventPage {
  /** The events, in the order of the log. */
  events: TwinrailEvent[]
  /** The `reset`, `gap` and `end` that a stream would send. */
  controls: Control[]
  /** The `before` of the next page backwards, or the `after` of the next page forwards. */
  next: string
  /** Whether the log has no more events in this direction. */
  caughtUp: boolean
}

type Ack = Promise<ControlOf<'ack'>>

/** A session with any schemas, of any server. */
// biome-ignore lint/suspicious/noExplicitAny: what takes a session of any kind uses none of these types
export type AnySession = Session<any, any>

/** The context of a session's client, for parts of this package that pages load only when they use them. */
export let contextOf: (session: AnySession) => ClientContext

/**
 * A handle on a session. All commands are safe to retry: the client sends a command again while the server is
 * unreachable, and it takes effect once. A command resolves with its `ack` and throws a ClientError: the server's
 * refusal, the failure of the last attempt, or `closed` when the client was closed. `S` are the schemas of the application's
 * own events, and `A` the server's agents.
 */
export class Session<
  S extends Schemas = Record<never, never>,
  A extends Record<string, AgentTypes> = Record<string, AgentTypes>,
> {
  /** The session's id. */
  readonly id: string
  /** The measurements of the client, over all its streams and commands. */
  readonly quality: Quality
  readonly #context: ClientContext
  readonly #schemas: S

  static {
    contextOf = session => session.#context
  }

  constructor(context: ClientContext, id: string, schemas: S) {
    this.#context = context
    this.quality = context.quality
    this.id = id
    this.#schemas = schemas
  }

  /**
   * Yields the session's events in order and each once. Lost connections are replaced at the cursor. A slow consumer
   * slows the stream: the client reads no further than the consumer asks. Returns after `end`, and when the client is
   * closed.
   * @throws ClientError when the server refuses for good or violates the protocol, or after `backoff.attempts`
   * failures; the signal's reason on abort
   */
  async *events(options: EventsOptions = {}): AsyncGenerator<TypedEvent<S>, void, undefined> {
    const { environment, quality, signal, streamListeners, streamOpened } = this.#context
    const stop = new LinkedAbortController(options.signal, signal)
    const open: OpenStream = { sessionId: this.id, run: options.run, live: false, status: undefined }
    const heard = (event?: SessionEvent) => {
      for (const listener of streamListeners) listener(open, event)
    }
    const streamClosed = streamOpened(open)
    try {
      const messages = stream(environment, {
        ...options,
        sessionId: this.id,
        signal: stop.signal,
        onClock: (sentAt, serverTime) => quality.clock(sentAt, serverTime),
        onStatus: status => {
          open.status = status
          quality.status(open, status)
          heard()
          options.onStatus?.(status)
        },
      })
      for await (const message of messages) {
        const event = this.#eventOf(message)
        if (!event) continue
        if (event.type === 'caught-up') open.live = true
        quality.event(event, open.live)
        heard(event)
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
   * Starts a run of an agent and returns a handle on it at once. The command is sent again while the server is
   * unreachable; it starts one run. When the server refuses it, `started` and `done` of the handle reject.
   */
  run<N extends keyof A & string>(
    agent: N,
    input: A[N]['input'],
    options: RunOptions = {},
  ): Run<A[N]['result'], RunEvent<S, A[N]['result']>> {
    return new Run(this, options.runId ?? newId(), runId =>
      this.#send({ type: 'run.start', agent, input, onNoViewers: options.onNoViewers, runId }),
    )
  }

  /** Returns a handle on a run that another client started. Sends no request. `N` is the agent's name. */
  attach<N extends keyof A & string>(runId: string): Run<A[N]['result'], RunEvent<S, A[N]['result']>> {
    return new Run(this, runId)
  }

  /**
   * Answers a question of a run.
   * @throws ClientError `already-answered` with the accepted answer in `details`, `input-not-found`, `input-expired`,
   * or `bad-request` when the question's schema refuses the value
   */
  answer(requestId: string, value: unknown): Ack {
    return this.#send({ type: 'input.answer', requestId, value })
  }

  /** Sends a message to the agent of a run. @throws ClientError `run-ended` or `run-not-found` */
  steer(runId: string, text: string): Ack {
    return this.#send({ type: 'input.steer', runId, text })
  }

  /** Cancels a run, which any client may have started. @throws ClientError `run-ended` when the run has ended */
  cancel(runId: string, reason?: string): Ack {
    return this.#send({ type: 'run.cancel', runId, reason })
  }

  /**
   * Publishes an event of the application's own. If its type has a schema, the schema validates `data` first. A session
   * with schemas publishes only their types; a session without schemas publishes any `x.<name>`.
   * @param options.ephemeral true delivers the event to the current live subscriptions only and does not log it.
   * Default false.
   * @throws ClientError the server's refusal; the schema's error, synchronously
   */
  publish<T extends Publishable<S>>(
    type: T,
    data: T extends keyof S ? Accepted<S[T]> : unknown,
    options: { ephemeral?: boolean; runId?: string } = {},
  ): Ack {
    const { ephemeral = false, runId } = options
    return this.#send({ type: 'publish', ephemeral, event: { type, runId, data: this.#parse(type, data) } })
  }

  /**
   * Creates the session unless it exists. The metadata of an existing session is not changed.
   * @throws ClientError the server's refusal, `silent` or `connection-lost`; the request is not repeated
   */
  async create(metadata?: Record<string, unknown>): Promise<{ sessionId: string; head: string }> {
    return this.#change('sessions', { body: { sessionId: this.id, metadata } })
  }

  /**
   * Changes the session's metadata by a JSON Merge Patch: `null` removes a field, objects are merged, everything else
   * replaces what was there. Its subscribers get `session.updated`.
   * @throws ClientError `session-not-found`, `too-large` when the metadata would have more than 16 KiB, or another refusal;
   * `silent` or `connection-lost`; the request is not repeated
   */
  async update(metadata: Record<string, unknown>): Promise<SessionSummary> {
    return this.#change(this.#path, { method: 'PATCH', body: { metadata } })
  }

  /**
   * Deletes the session with its log, if it exists. Its runs are aborted, and its streams end.
   * @throws ClientError the server's refusal, `silent` or `connection-lost`; the request is not repeated
   */
  async delete(): Promise<void> {
    await this.#change(this.#path, { method: 'DELETE' })
  }

  /**
   * Resolves with the session's runs, open questions and range of offsets. The state is complete even when the log was
   * trimmed.
   * @throws ClientError `session-not-found` or another refusal, `silent` or `connection-lost`; the request is not
   * repeated
   */
  async state(): Promise<SessionState> {
    return request(this.#context, this.#path)
  }

  /**
   * Resolves with a page of the session's log, for history that need not be followed.
   * @throws ClientError the server's refusal, `silent` or `connection-lost`; the request is not repeated
   */
  async page(options: PageOptions = {}): Promise<EventPage> {
    return request(this.#context, `${this.#path}/events`, { query: { ...options } })
  }

  get #path(): string {
    return `sessions/${encodeURIComponent(this.id)}`
  }

  async #change<T>(path: string, parts: RequestParts): Promise<T> {
    const answer = await request<T>(this.#context, path, parts)
    this.#context.sessionsChanged()
    return answer
  }

  async #send(command: CommandBody): Ack {
    const { signal, environment, quality } = this.#context
    const { url, backoff, fetch, sockets, credentials } = environment
    const sentAt = Date.now()
    const socket = () => sockets.ready
    const ack = await sendCommand({
      url,
      sessionId: this.id,
      command,
      signal,
      credentials: await credentials(),
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
