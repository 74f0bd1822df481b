/** Starts the runs of this process, renews their leases, and takes over or ends runs whose process is gone. */
import { randomUUID } from 'node:crypto'
import type { Agent } from '../agents/agent.ts'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { Tracing } from '../bus/tracing.ts'
import { keys } from '../log/keys.ts'
import type { ExpiredLease, Lease } from '../log/log.ts'
import type { Presence } from '../presence/presence.ts'
import { isTerminal, type OnNoViewers, type TwinrailEvent } from '../protocol/index.ts'
import { type Cancel, startInterval, startTimer } from '../protocol/timers.ts'
import type { Expiry } from './expiry.ts'
import type { RunNote } from './key-notes.ts'
import { KeyedJobs } from './keyed-jobs.ts'
import type { OpenRun } from './principal.ts'
import { Run } from './run.ts'
import type { Takeover } from './run-meter.ts'
import type { SchemaChecker } from './schemas/checker.ts'
import type { Workers } from './workers/workers.ts'

export interface RunnerOptions {
  journal: Journal
  bus: Bus
  presence: Presence
  schemas: SchemaChecker
  /** The agents of this server by name, for runs that are taken over. */
  agents: ReadonlyMap<string, Agent>
  /** Handles the expired leases of runs that workers execute. */
  workers: Pick<Workers, 'recover'>
  /** Time limit of a run in ms, not counting time spent waiting for users. */
  maxRunMs: number
  /** Lifetime of a lease in ms: other nodes take this process's runs over that long after it dies. */
  leaseMs: number
  expiry: Expiry
  /** Counts a run of a principal as open until the returned function is called. */
  openRun: OpenRun
  tracing?: Tracing | undefined
  /** A run whose holder is gone was taken over: it goes on, or was failed. */
  onTakeover?(how: Takeover): void
  /** Reports exceptions of agents and of the log, which users do not see. */
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
  /** The trace context of the command that started it. */
  traceparent: string | undefined
  /** Is called when the run is over. */
  onDone(): void
  /** Set for a run that was taken over: the run's events so far. */
  history?: readonly TwinrailEvent[]
}

/** Expired leases read in one call, in addition to those that are being handled or failed recently. */
const EXPIRED_PAGE = 100

/** Interval of renewing leases and looking for expired ones, in ms; a third of the lease where that is shorter. */
const TICK_MS = 1000

/** Concurrent renewals. They are small calls, which a log handles in batches. */
const RENEWALS = 64

/** Concurrent takeovers. Each may read all events of its run. */
const TAKEOVERS = 16

/** Longest pause before a failed takeover is tried again, in ms. */
const MAX_TAKEOVER_PAUSE_MS = 30_000

/** Lifetime of the lease of a run that this process leaves to another one, in ms: long enough for a log to take it. */
const HANDOVER_MS = 100

/** The terminal event of a run that is cut short because the server stops. */
const stoppedByServer = {
  type: 'run.failed',
  data: { code: 'restart', message: 'the server was stopped before the run ended', retryable: true },
} as const

export class Runner {
  readonly #journal: Journal
  readonly #options: RunnerOptions
  readonly #runs = new Set<Run>()
  /** Identifies the leases of this process. */
  readonly #token = randomUUID()
  readonly #renewals: KeyedJobs
  readonly #reaps: KeyedJobs
  readonly #stopTicking: Cancel
  /** The search for expired leases that is under way. */
  #searching: Promise<void> | undefined
  #closed = false

  constructor(options: RunnerOptions) {
    this.#journal = options.journal
    this.#options = options
    const tickMs = Math.min(TICK_MS, options.leaseMs / 3)
    const { onError } = options
    this.#renewals = new KeyedJobs({
      concurrency: RENEWALS,
      pauseMs: tickMs,
      maxPauseMs: options.leaseMs / 3,
      onError,
    })
    this.#reaps = new KeyedJobs({
      concurrency: TAKEOVERS,
      pauseMs: TICK_MS,
      maxPauseMs: MAX_TAKEOVER_PAUSE_MS,
      onError,
    })
    this.#stopTicking = startInterval(tickMs, () => this.#tick(), { unref: true })
  }

  /** Number of runs in this process. */
  get active(): number {
    return this.#runs.size
  }

  /** The lease that a run of this process holds. */
  lease(runId: string): Lease {
    return { runId, token: this.#token, ttlMs: this.#options.leaseMs }
  }

  /** Runs the agent of a run whose `run.started` is in the log. */
  start(started: StartedRun): void {
    const { runId } = started
    const { journal, bus, presence, schemas, expiry, maxRunMs, tracing, onError } = this.#options
    const { sessionId, traceparent } = started
    const agent = started.agent.name
    const isResumed = started.history !== undefined
    const trace = tracing?.run({ sessionId, runId, agent, isResumed, traceparent })
    const begin = () =>
      new Run({
        ...started,
        journal,
        bus,
        presence,
        schemas,
        maxMs: maxRunMs,
        lease: this.lease(runId),
        expiry,
        onAgentError: (error, errorId) => onError(error, { runId, agent, errorId }),
      })
    // Spans that the agent makes are children of the run's.
    const run = trace ? trace.within(begin) : begin()
    this.#runs.add(run)
    void run.done.then(() => {
      trace?.end(run.terminal)
      this.#runs.delete(run)
      started.onDone()
    })
    // The start was accepted just before the server stopped.
    if (this.#closed) this.#leave(run).catch(error => onError(error, { runId }))
  }

  /**
   * Waits up to `graceMs` for the runs to end. Then those that another process can resume are left to it, and the others
   * fail with the code `restart`. Stops all timers.
   */
  async close(graceMs: number): Promise<void> {
    let stopWaiting: Cancel = () => {}
    const grace = new Promise<void>(resolve => {
      stopWaiting = startTimer(graceMs, resolve)
    })
    await Promise.race([Promise.all([...this.#runs].map(run => run.done)), grace])
    stopWaiting()
    this.#closed = true
    this.#stopTicking()
    await Promise.allSettled([...this.#runs].map(run => this.#leave(run)))
    await this.#searching
    await Promise.all([this.#renewals.close(), this.#reaps.close()])
  }

  async #leave(run: Run): Promise<void> {
    if (!run.isResumable || !this.#journal.isDurable) return run.end(stoppedByServer)
    await run.leave()
    // The lease ends now: the others need not wait until it expires. It is lost where another process was faster.
    await this.#journal.renew(run.sessionId, { ...run.lease, ttlMs: HANDOVER_MS })
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
    // The log returns the oldest first. Those that are being handled must not hide the younger ones.
    const expired = await this.#journal.expired(EXPIRED_PAGE + this.#reaps.busy)
    for (const lost of expired) {
      const { sessionId, runId } = lost
      if (this.#runsHere(lost)) continue
      const about = { what: 'expired lease', sessionId, runId }
      this.#reaps.start(keyOf(sessionId, runId), about, () => this.#reap(lost))
    }
  }

  /** True for an expired lease of a run that still works here: this process was blocked, or could not renew it. */
  #runsHere({ sessionId, runId, token }: ExpiredLease): boolean {
    if (token !== this.#token) return false
    for (const run of this.#runs) if (run.lease.runId === runId && run.sessionId === sessionId) return true
    return false
  }

  async #reap(lost: ExpiredLease): Promise<void> {
    const { sessionId, epoch, runId, token } = lost
    if (await this.#takeOver(lost)) return
    const data = {
      code: 'producer-lost',
      message: 'the process that executed the run is gone',
      retryable: true,
    }
    const appended = await this.#journal.append(sessionId, [{ type: 'run.failed', runId, data }], {
      epoch,
      once: [{ key: keys.end(runId), note: { type: 'run.failed' } }],
      leases: [{ ...this.lease(runId), from: token }],
      release: [runId],
    })
    if (appended.accepted) this.#options.onTakeover?.('failed')
    // The run may have a terminal event and still a lease, if the append of its end did not release it.
    if (!appended.accepted && appended.reason === 'key') {
      await this.#journal.append(sessionId, [], { epoch, release: [runId] })
    }
  }

  /** Resumes a lost run if its agent can. Resolves with `false` when the run must be ended instead. */
  async #takeOver(lost: ExpiredLease): Promise<boolean> {
    const { sessionId, epoch, runId, token } = lost
    const [start] = await this.#journal.lookup(sessionId, [keys.run(runId)])
    if (!start) return false
    const note = start.note as RunNote
    if (note.work) {
      const { workers, onTakeover } = this.#options
      return workers.recover(lost, start.seq, note, () => onTakeover?.('queued'))
    }
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
    // Another node was faster, or the owner is back. With the reason `key` the run has ended: the caller frees its lease.
    if (!taken.accepted) return taken.reason !== 'key'
    this.#options.onTakeover?.('resumed')
    const history = await this.#eventsOf(sessionId, runId, start.seq)
    if (history.some(({ type }) => isTerminal(type))) return true
    const { onNoViewers = 'continue' } = note
    this.start({
      agent,
      sessionId,
      runId,
      epoch,
      startSeq: start.seq,
      input: input.data,
      by: started.by ?? '',
      onNoViewers,
      traceparent: started.data.traceparent,
      history,
      onDone: this.#options.openRun(started.by ?? '', { mayExceed: true }),
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

/** Unique, because ids contain no spaces. */
const keyOf = (sessionId: string, runId: string) => `${sessionId} ${runId}`
