/** The runs of this process: starts them, keeps their leases, and ends those whose producer is lost. */
import { randomUUID } from 'node:crypto'
import type { Agent } from '../agents/agent.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { ExpiredLease, Lease } from '../log/log.ts'
import type { Presence } from '../presence/presence.ts'
import { isTerminal, type OnNoViewers, type TwinrailEvent } from '../protocol/index.ts'
import { type Cancel, startInterval, startTimer } from '../protocol/timers.ts'
import type { RunNote } from './conditions.ts'
import { Run } from './run.ts'
import { SeparateJobs } from './separate-jobs.ts'

export interface RunnerOptions {
  journal: Journal
  bus: Bus
  presence: Presence
  /** What runs of lost processes are taken over with. */
  agents: ReadonlyMap<string, Agent>
  /** The longest that a run may work, without time spent waiting for its users, in ms. */
  maxRunMs: number
  /** How long after this process's death its runs are given up, in ms. */
  leaseMs: number
  onExpiring(sessionId: string, epoch: number, runId: string, requestId: string, expiresAt: number): void
  /** What users are not told: exceptions of agents and of the log. */
  onError(error: unknown, context: Record<string, unknown>): void
}

/** A run whose `run.started` is in the log. */
export interface StartedRun {
  agent: Agent
  sessionId: string
  runId: string
  epoch: number
  startSeq: number
  input: unknown
  by: string
  onNoViewers: OnNoViewers
  /** What the run logged before it was taken over from a process that is gone. */
  history?: readonly TwinrailEvent[]
}

/** Expired leases that the log is asked for in one call, beside those that are being handled or failed lately. */
const EXPIRED_PAGE = 100

/** How often leases are renewed and expired ones looked for, in ms; more often where a lease lasts less than 3 s. */
const TICK_MS = 1000

/** Renewals are small calls that the log handles together. */
const RENEW_AT_ONCE = 64

/** Taking a run over may read all of its events. */
const REAP_AT_ONCE = 16

/** A lease whose reaping keeps failing is tried again after at most so long, in ms. */
const REAP_PAUSE_MS = 30_000

/** The terminal of a run that the server's stop cut short. */
const stopped = {
  type: 'run.failed',
  data: { code: 'restart', message: 'the server was stopped while the run worked', retryable: true },
} as const

export class Runner {
  readonly #journal: Journal
  readonly #options: RunnerOptions
  readonly #runs = new Set<Run>()
  /** Tells this process's leases from every other's. */
  readonly #token = randomUUID()
  readonly #renewals: SeparateJobs
  readonly #reaps: SeparateJobs
  readonly #stopTicking: Cancel
  /** The search for expired leases that is under way. */
  #searching: Promise<void> | undefined
  #closed = false

  constructor(options: RunnerOptions) {
    this.#journal = options.journal
    this.#options = options
    // A renewal each second, a fifteenth of the default lease; at least three per lease where it is short.
    const tickMs = Math.min(TICK_MS, options.leaseMs / 3)
    const { onError } = options
    this.#renewals = new SeparateJobs({
      atOnce: RENEW_AT_ONCE,
      pauseMs: tickMs,
      maxPauseMs: options.leaseMs / 3,
      onError,
    })
    this.#reaps = new SeparateJobs({
      atOnce: REAP_AT_ONCE,
      pauseMs: TICK_MS,
      maxPauseMs: REAP_PAUSE_MS,
      onError,
    })
    this.#stopTicking = startInterval(tickMs, () => this.#tick(), { unref: true })
  }

  /** Runs that have no terminal yet. */
  get active(): number {
    return this.#runs.size
  }

  /** The lease that a run of this process holds. */
  lease(runId: string): Lease {
    return { runId, token: this.#token, ttlMs: this.#options.leaseMs }
  }

  start(started: StartedRun): void {
    const { sessionId, epoch, runId } = started
    const { journal, bus, presence, maxRunMs, onExpiring, onError } = this.#options
    const run = new Run({
      ...started,
      journal,
      bus,
      presence,
      maxMs: maxRunMs,
      lease: this.lease(runId),
      onExpiring: (run, requestId, expiresAt) => onExpiring(sessionId, epoch, run, requestId, expiresAt),
      onAgentError: (error, errorId) => onError(error, { runId, agent: started.agent.name, errorId }),
    })
    this.#runs.add(run)
    void run.done.then(() => this.#runs.delete(run))
    // Its start was accepted just before the server stopped.
    if (this.#closed) run.end(stopped).catch(error => onError(error, { runId }))
  }

  /** Waits for the runs to end by themselves, then fails what is left as `restart`. */
  async close(graceMs: number): Promise<void> {
    let stopWaiting: Cancel = () => {}
    const grace = new Promise<void>(resolve => {
      stopWaiting = startTimer(graceMs, resolve)
    })
    await Promise.race([Promise.all([...this.#runs].map(run => run.done)), grace])
    stopWaiting()
    this.#closed = true
    await Promise.allSettled([...this.#runs].map(run => run.end(stopped)))
    this.#stopTicking()
    await this.#searching
    await Promise.all([this.#renewals.close(), this.#reaps.close()])
  }

  #tick(): void {
    for (const run of this.#runs) {
      const about = { what: 'lease renewal', sessionId: run.sessionId, runId: run.lease.runId }
      this.#renewals.start(keyOf(run.sessionId, run.lease.runId), about, () => this.#renew(run))
    }
    if (this.#reaps.waiting >= EXPIRED_PAGE) return
    this.#searching ??= this.#reapExpired()
      .catch(error => this.#options.onError(error, { what: 'search for expired leases' }))
      .finally(() => {
        this.#searching = undefined
      })
  }

  async #renew(run: Run): Promise<void> {
    if (!(await this.#journal.renew(run.sessionId, run.lease))) run.fence()
  }

  async #reapExpired(): Promise<void> {
    // Those that are being handled are the oldest and come first; younger ones must not wait for them.
    const expired = await this.#journal.expired(EXPIRED_PAGE + this.#reaps.busy)
    for (const lost of expired) {
      const { sessionId, runId } = lost
      if (this.#runsHere(lost)) continue
      const about = { what: 'expired lease', sessionId, runId }
      this.#reaps.start(keyOf(sessionId, runId), about, () => this.#reap(lost))
    }
  }

  /** This process stood still for longer than the lease, or cannot renew it; as long as the run works it is not lost. */
  #runsHere({ sessionId, runId, token }: ExpiredLease): boolean {
    if (token !== this.#token) return false
    for (const run of this.#runs) if (run.lease.runId === runId && run.sessionId === sessionId) return true
    return false
  }

  async #reap(lost: ExpiredLease): Promise<void> {
    const { sessionId, epoch, runId, token } = lost
    if (await this.#takeOver(lost)) return
    const data = { code: 'producer-lost', message: 'the process that ran it is gone', retryable: true }
    const appended = await this.#journal.append(sessionId, [{ type: 'run.failed', runId, data }], {
      epoch,
      once: [{ key: keys.end(runId), note: { type: 'run.failed' } }],
      leases: [{ ...this.lease(runId), from: token }],
      release: [runId],
    })
    // The run may have its terminal, with a lease that its end could not give up.
    if (!appended.accepted && appended.reason === 'key') {
      await this.#journal.append(sessionId, [], { epoch, release: [runId] })
    }
  }

  /** Goes on with a lost run, where its agent can; `false` when nobody will. */
  async #takeOver({ sessionId, epoch, runId, token }: ExpiredLease): Promise<boolean> {
    const [start] = await this.#journal.lookup(sessionId, [keys.run(runId)])
    if (!start) return false
    const started = (await this.#journal.event(sessionId, start.seq))?.event
    if (started?.type !== 'run.started') return false
    const agent = this.#options.agents.get(started.data.agent)
    if (!agent?.resume) return false
    const input = agent.input.safeParse(started.data.input)
    if (!input.success) return false

    const taken = await this.#journal.append(sessionId, [], {
      epoch,
      absent: [keys.end(runId)],
      leases: [{ ...this.lease(runId), from: token }],
    })
    // Another node was faster, or the one that had it is back; a terminal without a release is seen to by the caller.
    if (!taken.accepted) return taken.reason !== 'key'
    const history = await this.#eventsOf(sessionId, runId, start.seq)
    if (history.some(({ type }) => isTerminal(type))) return true
    const { onNoViewers = 'continue' } = start.note as RunNote
    this.start({
      agent,
      sessionId,
      runId,
      epoch,
      startSeq: start.seq,
      input: input.data,
      by: started.by ?? '',
      onNoViewers,
      history,
    })
    return true
  }

  async #eventsOf(sessionId: string, runId: string, from: number): Promise<TwinrailEvent[]> {
    const events: TwinrailEvent[] = []
    for await (const event of this.#journal.events(sessionId, from - 1)) {
      if (event.runId === runId) events.push(event.event)
    }
    return events
  }
}

/** Ids hold no blank. */
const keyOf = (sessionId: string, runId: string) => `${sessionId} ${runId}`
