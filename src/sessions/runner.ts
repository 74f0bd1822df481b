/** The runs of this process: starts them, keeps their leases, and ends those whose producer is lost. */
import { randomUUID } from 'node:crypto'
import type { Agent } from '../agents/agent.ts'
import type { Bus } from '../bus/bus.ts'
import { keys } from '../log/keys.ts'
import type { ExpiredLease, Lease } from '../log/log.ts'
import { isTerminal, type OnNoViewers, type TwinrailEvent } from '../protocol/index.ts'
import type { RunNote } from './conditions.ts'
import { Run } from './run.ts'

export interface RunnerOptions {
  /** What runs of lost processes are taken over with. */
  agents: ReadonlyMap<string, Agent>
  /** The longest that a run may work, without time spent waiting for its users, in ms. */
  maxRunMs: number
  /** How long after this process's death its runs are given up, in ms. */
  leaseMs: number
  /** Called after every append of a run. */
  onAppended(sessionId: string, epoch: number, first: number, head: number): void
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

/** Expired leases that are looked at in one go. */
const REAP_AT_ONCE = 100

/** The terminal of a run that the server's stop cut short. */
const stopped = {
  type: 'run.failed',
  data: { code: 'restart', message: 'the server was stopped while the run worked', retryable: true },
} as const

export class Runner {
  readonly #bus: Bus
  readonly #options: RunnerOptions
  readonly #runs = new Set<Run>()
  /** Tells this process's leases from every other's. */
  readonly #token = randomUUID()
  readonly #timer: NodeJS.Timeout
  #keeping: Promise<void> | undefined
  #closed = false

  constructor(bus: Bus, options: RunnerOptions) {
    this.#bus = bus
    this.#options = options
    // A third of the lease leaves two more tries when a renewal is late.
    this.#timer = setInterval(() => void this.#keep(), Math.min(1000, options.leaseMs / 3))
    this.#timer.unref()
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
    const { maxRunMs, onAppended, onExpiring, onError } = this.#options
    const run = new Run({
      ...started,
      bus: this.#bus,
      maxMs: maxRunMs,
      lease: this.lease(runId),
      onAppended: (first, head) => onAppended(sessionId, epoch, first, head),
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
    let timer: NodeJS.Timeout | undefined
    const grace = new Promise<void>(resolve => {
      timer = setTimeout(resolve, graceMs)
    })
    await Promise.race([Promise.all([...this.#runs].map(run => run.done)), grace])
    clearTimeout(timer)
    this.#closed = true
    await Promise.allSettled([...this.#runs].map(run => run.end(stopped)))
    clearInterval(this.#timer)
    await this.#keeping
  }

  /** One round: first this process's own leases, so that a long pause does not cost it its runs. */
  #keep(): Promise<void> {
    this.#keeping ??= (async () => {
      try {
        await this.#renew()
        await this.#reap()
      } catch (error) {
        this.#options.onError(error, { what: 'leases' })
      } finally {
        this.#keeping = undefined
      }
    })()
    return this.#keeping
  }

  async #renew(): Promise<void> {
    for (const run of this.#runs) {
      if (!(await this.#bus.log.renew(run.sessionId, run.lease))) run.fence()
    }
  }

  async #reap(): Promise<void> {
    for (const lost of await this.#bus.log.expired(REAP_AT_ONCE)) {
      const { sessionId, epoch, runId, token } = lost
      if (await this.#takeOver(lost)) continue
      const data = { code: 'producer-lost', message: 'the process that ran it is gone', retryable: true }
      const appended = await this.#bus.append(sessionId, [{ type: 'run.failed', runId, data }], {
        epoch,
        once: [{ key: keys.end(runId), note: { type: 'run.failed' } }],
        leases: [{ ...this.lease(runId), from: token }],
        release: [runId],
      })
      // The run may have its terminal, with a lease that its end could not give up.
      if (!appended.accepted && appended.reason === 'key') {
        await this.#bus.log.append(sessionId, [], { epoch, release: [runId] })
      }
      if (appended.accepted) this.#options.onAppended(sessionId, epoch, appended.first, appended.head)
    }
  }

  /** Goes on with a lost run, where its agent can; `false` when nobody will. */
  async #takeOver({ sessionId, epoch, runId, token }: ExpiredLease): Promise<boolean> {
    const [start] = await this.#bus.log.lookup(sessionId, [keys.run(runId)])
    if (!start) return false
    const started = (await this.#bus.event(sessionId, start.seq))?.event
    if (started?.type !== 'run.started') return false
    const agent = this.#options.agents.get(started.data.agent)
    if (!agent?.resume) return false
    const input = agent.input.safeParse(started.data.input)
    if (!input.success) return false

    const taken = await this.#bus.log.append(sessionId, [], {
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
    for (let after = from - 1; ; ) {
      const page = await this.#bus.log.read(sessionId, after, { events: 1000, bytes: 1024 * 1024 })
      const last = page?.events.at(-1)
      if (!page || !last) return events
      for (const event of page.events) if (event.runId === runId) events.push(event.event)
      after = last.seq
    }
  }
}
