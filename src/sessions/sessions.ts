/** The interface of runs, commands, ingest and session state for the transports and routes. */
import { randomBytes } from 'node:crypto'
import type { Agent } from '../agents/agent.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { Tracing } from '../bus/tracing.ts'
import { keys, partsOf } from '../log/keys.ts'
import type { SessionInfo } from '../log/log.ts'
import type { Presence } from '../presence/presence.ts'
import { check, FreeObject, formatOffset, type SessionCommand, TwinrailError } from '../protocol/index.ts'
import { AgentLabels } from './agent-labels.ts'
import { AgentList } from './agent-list.ts'
import { Commands } from './commands.ts'
import { describe, type SessionBase, type SessionDescription } from './description.ts'
import { Expiry } from './expiry.ts'
import { Ingest, type Ingested, type Producer } from './ingest.ts'
import { METADATA_BYTES, mergeMetadata } from './merge-metadata.ts'
import type { EventSchemas } from './own-events.ts'
import type { OpenRun, Principal } from './principal.ts'
import { ProducerRuns } from './producer-runs.ts'
import { refusalError } from './refused-append.ts'
import type { AckFields } from './repeats.ts'
import { Retention, type RetentionLimits } from './retention.ts'
import { noopRunObserver, RunMeter, type RunObserver } from './run-meter.ts'
import { Runner } from './runner.ts'
import { SchemaChecker } from './schemas/checker.ts'
import { SessionStates } from './states.ts'
import { Workers } from './workers/workers.ts'

export interface SessionsOptions {
  journal: Journal
  bus: Bus
  presence: Presence
  agents: readonly Agent[]
  /** Time limit of a run in ms, not counting time spent waiting for users; `Infinity` for no limit. @default 1 h */
  maxRunMs?: number
  /** A run is taken over or failed this long after its process died, in ms. @default 15 s */
  leaseMs?: number
  /** A run opened by ingest fails after this time without an event of its producer, in ms. @default 60 s */
  producerLeaseMs?: number
  /** How long a run of a worker's agent waits for a worker, in ms. @default 60 s */
  queueMs?: number
  /** Limits on what each session keeps. @default no limits */
  retention?: RetentionLimits
  /** Interval between applications of these limits, in ms. @default 5 s */
  retentionEveryMs?: number
  /** Time limit of one check of a question's schema, or of an answer against it, in ms. @default 100 */
  schemaMs?: number
  /** Schemas of the application's own events, by type. @default none */
  events?: EventSchemas
  /**
   * Counts a run of a principal as open until the returned function is called. @throws TwinrailError `rate-limited`
   * @default does nothing
   */
  openRun?: OpenRun
  /** Traces commands and runs. @default nobody */
  tracing?: Tracing | undefined
  /** Is told of runs, for metrics. @default nobody */
  observer?: RunObserver
  /** Reports exceptions of agents and of the log, which users do not see. */
  onError(error: unknown, context: Record<string, unknown>): void
}

/** An entry of the response of `GET /v1/sessions`. */
export type SessionSummary = SessionBase

/** Attempts to change the metadata, while others change it as well. */
const UPDATES = 20

/** A new session id with 144 random bits, which cannot be guessed. */
export function newSessionId(): string {
  return `s-${randomBytes(18).toString('hex')}`
}

/**
 * Creates and deletes sessions, executes commands, takes ingest and reads the state of sessions. Does not authorize:
 * its callers do. Every method throws TwinrailError `unavailable` while the log cannot be reached.
 */
export class Sessions {
  readonly #journal: Journal
  /** The agents of this server by name. */
  readonly agents: ReadonlyMap<string, Agent>
  /** The agents that runs can be started with: those of this server, and those of workers. */
  readonly agentList: AgentList
  /** Runs that programs outside the server execute. */
  readonly workers: Workers
  /** Executes the runs of this process. */
  readonly runner: Runner
  readonly #states: SessionStates
  readonly #expiry: Expiry
  readonly #schemas: SchemaChecker
  readonly #retention: Retention
  readonly #commands: Commands
  readonly #ingest: Ingest
  readonly #producerRuns: ProducerRuns
  /** The agents that metrics name. */
  readonly #labels: AgentLabels
  readonly #tracing: Tracing | undefined

  constructor(options: SessionsOptions) {
    const { journal, bus, presence, onError, openRun = () => () => {} } = options
    this.#journal = journal
    this.#tracing = options.tracing
    this.agents = new Map(options.agents.map(agent => [agent.name, agent]))
    this.#labels = new AgentLabels(this.agents.keys(), agent => this.workers.agent(agent) !== undefined)
    this.#states = new SessionStates(journal)
    this.#retention = new Retention({
      journal,
      states: this.#states,
      limits: options.retention ?? {},
      everyMs: options.retentionEveryMs,
      onError: (error, about) => onError(error, { what: 'retention', ...about }),
    })
    const meter = new RunMeter(journal, options.observer ?? noopRunObserver, agent => this.#labels.of(agent))
    journal.onAppended(growth => {
      const { sessionId, epoch, first, head, taken } = growth
      meter.appended(growth)
      for (const { key } of taken) {
        const [kind, id = ''] = partsOf(key)
        if (kind === 'end') {
          this.#expiry.runEnded(sessionId, id)
          this.#producerRuns.ended(sessionId, id)
          this.workers.runEnded(sessionId, id)
        } else if (kind === 'answer') this.#expiry.cancel(sessionId, id)
      }
      this.#retention.appended(sessionId)
      this.#states
        .appended(sessionId, epoch, first, head)
        .catch(error => onError(error, { what: 'snapshot', sessionId }))
    })
    this.#expiry = new Expiry({
      journal,
      onError: (error, about) => onError(error, { what: 'expiry', ...about }),
    })
    this.#schemas = new SchemaChecker({ maxMs: options.schemaMs, events: options.events })
    const schemas = this.#schemas
    const maxRunMs = options.maxRunMs ?? 60 * 60 * 1000
    const leaseMs = options.leaseMs ?? 15_000
    const expiry = this.#expiry
    this.workers = new Workers({
      journal,
      bus,
      presence,
      schemas,
      expiry,
      isOwn: name => this.agents.has(name),
      maxRunMs,
      leaseMs,
      queueMs: options.queueMs ?? 60_000,
      tracing: options.tracing,
      onError,
    })
    this.agentList = new AgentList(options.agents, this.workers)
    this.runner = new Runner({
      journal,
      schemas,
      bus,
      presence,
      agents: this.agents,
      workers: this.workers,
      maxRunMs,
      leaseMs,
      expiry,
      openRun,
      tracing: options.tracing,
      onTakeover: how => options.observer?.takenOver(how),
      onError,
    })
    const producerLeaseMs = options.producerLeaseMs ?? 60_000
    this.#producerRuns = new ProducerRuns(producerLeaseMs, async (sessionId, runId) => {
      const [started, ended] = await journal.lookup(sessionId, [keys.run(runId), keys.end(runId)])
      return started !== undefined && ended === undefined
    })
    this.#commands = new Commands({
      journal,
      states: this.#states,
      runner: this.runner,
      expiry: this.#expiry,
      schemas,
      agents: this.agents,
      workers: this.workers,
      producerRuns: this.#producerRuns,
      tracing: options.tracing,
      openRun,
    })
    this.#ingest = new Ingest({
      journal,
      bus,
      expiry: this.#expiry,
      schemas,
      states: this.#states,
      openRun,
      runs: this.#producerRuns,
      leaseMs: producerLeaseMs,
    })
  }

  /**
   * Creates a session, or returns the existing one with `created: false`, its metadata and creator unchanged.
   * @param createdBy id of the principal that creates it
   */
  async create(
    sessionId = newSessionId(),
    metadata: Record<string, unknown> = {},
    createdBy?: string,
  ): Promise<{ created: boolean; sessionId: string; head: string }> {
    const { created, session } = await this.#journal.create(sessionId, metadata, createdBy)
    return { created, sessionId, head: formatOffset(session.epoch, session.head) }
  }

  /**
   * Changes the session's metadata by {@link mergeMetadata}, and tells the session's subscribers by `session.updated`. A
   * change that changes nothing appends nothing.
   * @throws TwinrailError `session-not-found`; `too-large` when the result is larger than {@link METADATA_BYTES}
   */
  async update(
    sessionId: string,
    patch: Record<string, unknown>,
    principal: Principal,
  ): Promise<SessionSummary> {
    for (let attempt = 1; ; attempt++) {
      const session = await this.#journal.session(sessionId)
      const { epoch, metadata: from } = session
      const to = check(FreeObject, mergeMetadata(from, patch), 'metadata')
      const json = JSON.stringify(to)
      if (json === JSON.stringify(from)) return summaryOf(session)
      if (Buffer.byteLength(json) > METADATA_BYTES) throw metadataTooLarge(Buffer.byteLength(json))
      const body = { type: 'session.updated', data: { metadata: to } }
      const conditions = { epoch, metadata: { from, to }, by: principal.id }
      const appended = await this.#journal.append(sessionId, [body], conditions)
      if (appended.accepted) return summaryOf(await this.#journal.session(sessionId))
      // Somebody else changed it since it was read.
      if (appended.reason !== 'metadata' || attempt === UPDATES) throw refusalError(sessionId, appended)
    }
  }

  /** Up to `limit` sessions in the order of their ids, from the first id greater than `after`. */
  async list(after: string | undefined, limit: number): Promise<SessionSummary[]> {
    return (await this.#journal.list(after, limit)).map(summaryOf)
  }

  /** The session with its runs and open questions, as many as an answer holds. @throws TwinrailError `session-not-found` */
  async describe(sessionId: string): Promise<SessionDescription> {
    const session = await this.#journal.session(sessionId)
    return describe(summaryOf(session), await this.#states.get(session))
  }

  /** Deletes the session. Its runs are aborted and its streams end. Resolves with `false` when there was none. */
  async delete(sessionId: string): Promise<boolean> {
    this.#states.forget(sessionId)
    this.#expiry.sessionDeleted(sessionId)
    return this.#journal.delete(sessionId)
  }

  /** Questions with an end that this process will expire. */
  get waitingQuestions(): number {
    return this.#expiry.size
  }

  /** See {@link Commands.execute}. */
  execute(command: SessionCommand, principal: Principal): Promise<AckFields> {
    const work = () => this.#commands.execute(command, principal)
    if (!this.#tracing) return work()
    const { type, sessionId, traceparent } = command
    const runId = 'runId' in command ? command.runId : undefined
    // A name that no agent has may be anything.
    const agent = type === 'run.start' ? this.#labels.of(command.agent) : undefined
    return this.#tracing.command({ type, sessionId, runId, agent, traceparent }, work)
  }

  /** See {@link Ingest.appendAll}. */
  ingest(
    sessionId: string,
    values: readonly unknown[],
    principal: Principal,
    producer?: Producer,
    runs?: readonly string[],
  ): Promise<Ingested> {
    return this.#ingest.appendAll(sessionId, values, principal, producer, runs)
  }

  /** See {@link Ingest.appendLines}. */
  ingestLines(
    sessionId: string,
    batches: AsyncIterable<readonly string[]>,
    principal: Principal,
    producer?: Producer,
  ): Promise<Ingested> {
    return this.#ingest.appendLines(sessionId, batches, principal, producer)
  }

  /** Waits up to `graceMs` for runs to end, then fails the others with the code `restart`. Stops all timers. */
  async close(graceMs: number): Promise<void> {
    await this.runner.close(graceMs)
    await this.workers.close()
    this.#expiry.close()
    this.#producerRuns.close()
    await this.#schemas.close()
    await this.#retention.close()
  }
}

/** The session as `GET /v1/sessions` lists it. */
export function summaryOf({
  sessionId,
  metadata,
  epoch,
  head,
  earliest,
  createdAt,
  activeAt,
}: SessionInfo): SessionSummary {
  return {
    sessionId,
    metadata,
    head: formatOffset(epoch, head),
    earliest: formatOffset(epoch, earliest),
    createdAt,
    activeAt,
  }
}

function metadataTooLarge(bytes: number): TwinrailError {
  return new TwinrailError(
    'too-large',
    `the metadata would have ${bytes} bytes of JSON; the most is ${METADATA_BYTES}: remove fields by null, or keep less in it`,
    { details: { bytes, max: METADATA_BYTES } },
  )
}
