/** Sessions: the one door from transports to runs, commands and state. */
import { randomBytes } from 'node:crypto'
import type { Agent } from '../agents/agent.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import type { Presence } from '../presence/presence.ts'
import { formatOffset, type SessionCommand } from '../protocol/index.ts'
import { Commands } from './commands.ts'
import { Expiry } from './expiry.ts'
import { Ingest, type Ingested, type Producer } from './ingest.ts'
import type { Principal } from './principal.ts'
import type { AckFields } from './repeats.ts'
import { Retention, type RetentionLimits } from './retention.ts'
import { Runner } from './runner.ts'
import type { PendingInput, RunState } from './state.ts'
import { SessionStates } from './states.ts'

export interface SessionsOptions {
  journal: Journal
  bus: Bus
  presence: Presence
  agents: readonly Agent[]
  /** The longest that a run may work, without time spent waiting for its users, in ms; `Infinity`: no limit. @default 1 h */
  maxRunMs?: number
  /** How long after its process's death a run is given up, in ms. @default 15 s */
  leaseMs?: number
  /** How long a run opened by ingest lives without another event, in ms. @default 60 s */
  producerLeaseMs?: number
  /** How much of each session is kept. @default everything */
  retention?: RetentionLimits
  /** How often that is seen to, in ms. @default 5 s */
  retentionEveryMs?: number
  /** What users are not told: exceptions of agents and of the log. */
  onError(error: unknown, context: Record<string, unknown>): void
}

/** A session as `GET /v1/sessions/:sessionId` tells it. */
export interface SessionDescription {
  sessionId: string
  metadata: Record<string, unknown>
  head: string
  earliest: string
  runs: RunState[]
  pendingInputs: PendingInput[]
}

/** A session as a list tells it. */
export type SessionSummary = Omit<SessionDescription, 'runs' | 'pendingInputs'> & { createdAt: number }

/** An id that nobody guesses: 144 random bits. */
export function newSessionId(): string {
  return `s-${randomBytes(18).toString('hex')}`
}

export class Sessions {
  readonly #journal: Journal
  readonly agents: ReadonlyMap<string, Agent>
  readonly runner: Runner
  readonly #states: SessionStates
  readonly #expiry: Expiry
  readonly #retention: Retention
  readonly #commands: Commands
  readonly #ingest: Ingest

  constructor(options: SessionsOptions) {
    const { journal, bus, presence, onError } = options
    this.#journal = journal
    this.agents = new Map(options.agents.map(agent => [agent.name, agent]))
    this.#states = new SessionStates(journal)
    this.#retention = new Retention({
      journal,
      states: this.#states,
      limits: options.retention ?? {},
      everyMs: options.retentionEveryMs,
      onError: (error, about) => onError(error, { what: 'retention', ...about }),
    })
    journal.onAppended(({ sessionId, epoch, first, head }) => {
      this.#retention.touched(sessionId)
      this.#states
        .appended(sessionId, epoch, first, head)
        .catch(error => onError(error, { what: 'snapshot', sessionId }))
    })
    this.#expiry = new Expiry({
      journal,
      onError: (error, about) => onError(error, { what: 'expiry', ...about }),
    })
    this.runner = new Runner({
      journal,
      bus,
      presence,
      agents: this.agents,
      maxRunMs: options.maxRunMs ?? 60 * 60 * 1000,
      leaseMs: options.leaseMs ?? 15_000,
      onExpiring: (...question) => this.#expiry.schedule(...question),
      onError,
    })
    this.#commands = new Commands({
      journal,
      states: this.#states,
      runner: this.runner,
      expiry: this.#expiry,
      agents: this.agents,
    })
    this.#ingest = new Ingest({
      journal,
      bus,
      expiry: this.#expiry,
      leaseMs: options.producerLeaseMs ?? 60_000,
    })
  }

  /** Makes a session, or finds the one that is there. */
  async create(
    sessionId = newSessionId(),
    metadata: Record<string, unknown> = {},
  ): Promise<{ created: boolean; sessionId: string; head: string }> {
    const { created, session } = await this.#journal.create(sessionId, metadata)
    return { created, sessionId, head: formatOffset(session.epoch, session.head) }
  }

  /** Sessions in the order of their ids, after the given one. */
  async list(after: string | undefined, limit: number): Promise<SessionSummary[]> {
    return (await this.#journal.list(after, limit)).map(summary)
  }

  /** The session with its open runs and questions. @throws TwinrailError `session-not-found` */
  async describe(sessionId: string): Promise<SessionDescription> {
    const session = await this.#journal.session(sessionId)
    const { runs, pendingInputs } = await this.#states.get(session)
    const { createdAt: _, ...rest } = summary(session)
    return { ...rest, runs, pendingInputs }
  }

  /** Deletes the session; its runs are aborted and its subscribers told. `false` when there was none. */
  async delete(sessionId: string): Promise<boolean> {
    this.#states.forget(sessionId)
    return this.#journal.delete(sessionId)
  }

  /** See {@link Commands.execute}. */
  execute(command: SessionCommand, principal: Principal): Promise<AckFields> {
    return this.#commands.execute(command, principal)
  }

  /** See {@link Ingest.all}. */
  ingest(
    sessionId: string,
    values: readonly unknown[],
    principal: Principal,
    producer?: Producer,
  ): Promise<Ingested> {
    return this.#ingest.all(sessionId, values, principal, producer)
  }

  /** See {@link Ingest.lines}. */
  ingestLines(
    sessionId: string,
    batches: AsyncIterable<readonly string[]>,
    principal: Principal,
    producer?: Producer,
  ): Promise<Ingested> {
    return this.#ingest.lines(sessionId, batches, principal, producer)
  }

  /** Gives runs so long to end, in ms, then fails what is left; frees all timers. */
  async close(graceMs: number): Promise<void> {
    await this.runner.close(graceMs)
    this.#expiry.close()
    await this.#retention.close()
  }
}

function summary({ sessionId, metadata, epoch, head, earliest, createdAt }: SessionInfo): SessionSummary {
  return {
    sessionId,
    metadata,
    head: formatOffset(epoch, head),
    earliest: formatOffset(epoch, earliest),
    createdAt,
  }
}
