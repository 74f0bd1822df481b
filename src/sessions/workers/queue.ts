/** The runs that workers are to execute: each has a slot of a worker, or waits for one. */
import type { Journal } from '../../bus/journal.ts'
import { keys } from '../../log/keys.ts'
import type { ExpiredLease, Lease } from '../../log/log.ts'
import { type Cancel, startInterval } from '../../protocol/timers.ts'
import type { RunNote } from '../key-notes.ts'
import { KeyedJobs } from '../keyed-jobs.ts'
import type { Reservation, StartedWork, WorkerConnections } from './connections.ts'
import { type WaitingRun, WaitingRuns } from './waiting-runs.ts'

/** Renewals of leases of waiting runs at a time. */
const RENEWALS = 64

/** How often runs that wait are offered to the other nodes, and how many of each agent, oldest first. */
const OFFER_EVERY_MS = 1000
const OFFERS = 50

export interface QueueParts {
  readonly journal: Journal
  /** Names this node as the holder of the leases of waiting runs. */
  readonly node: string
  readonly connections: Pick<WorkerConnections, 'reserve' | 'release' | 'begin' | 'hasFree' | 'workOf'>
  /** Lifetime of a lease in ms: a run is given to another worker, or failed, that long after its worker died. */
  readonly leaseMs: number
  /** How long a run waits for a worker, in ms. */
  readonly queueMs: number
  /** A run waits on this node; called again at intervals. Must not throw. */
  onWaiting(run: WaitingRun): void
  onError(error: unknown, context: Record<string, unknown>): void
}

/** Where a run that is about to start will be executed. */
export interface Place {
  /** Taken with the append of `run.started`. */
  readonly lease: Omit<Lease, 'runId'>
  /** Whether the run must wait for a worker. */
  readonly waits: boolean
  /** The run has started. */
  begin(started: StartedWork): void
  /** The run has not started. */
  cancel(): void
}

/** Every change of a run's holder is an append with the lease of the one before: of several takers one succeeds. */
export class WorkQueue {
  readonly #parts: QueueParts
  readonly #journal: Journal
  readonly #connections: QueueParts['connections']
  readonly #waiting = new WaitingRuns()
  readonly #renewals: KeyedJobs
  /** The agents whose waiting runs are being given away; `true`: look again afterwards. */
  readonly #serving = new Map<string, boolean>()
  readonly #cancels: Cancel[]

  constructor(parts: QueueParts) {
    this.#parts = parts
    this.#journal = parts.journal
    this.#connections = parts.connections
    const { leaseMs, onError } = parts
    this.#renewals = new KeyedJobs({
      concurrency: RENEWALS,
      pauseMs: OFFER_EVERY_MS,
      maxPauseMs: leaseMs / 3,
      onError,
    })
    this.#cancels = [
      startInterval(leaseMs / 3, () => this.#renew(), { unref: true }),
      startInterval(OFFER_EVERY_MS, () => this.#offer(), { unref: true }),
    ]
  }

  /**
   * Finds the place of a run that is about to start. Call `begin` or `cancel`.
   * @throws TwinrailError `rate-limited` when it would have to wait, and too many do
   */
  async place(agent: string, sessionId: string): Promise<Place> {
    const reservation = this.#waiting.hasOwn(agent)
      ? undefined
      : await this.#connections.reserve(agent, sessionId)
    const { leaseMs } = this.#parts
    if (reservation) {
      return {
        lease: { token: reservation.token, ttlMs: leaseMs },
        waits: false,
        begin: started => this.#begin(reservation, agent, started, false),
        cancel: () => {
          this.#connections.release(reservation)
          for (const name of reservation.worker.agents.keys()) this.serve(name)
        },
      }
    }
    this.#waiting.mustHaveRoom(agent)
    const token = this.#waitingToken(false)
    return {
      lease: { token, ttlMs: leaseMs },
      waits: true,
      begin: ({ runId, epoch, startSeq }) =>
        this.#wait({ agent, sessionId, runId, epoch, startSeq, token, resumed: false }, this.#parts.queueMs),
      cancel: () => {},
    }
  }

  /** How many runs wait on this node. */
  get size(): number {
    return this.#waiting.size
  }

  /** A run has ended. It waits for no worker any more. */
  runEnded(sessionId: string, runId: string): void {
    this.#waiting.ended(sessionId, runId)
  }

  /** Another node has said that a run waits there. */
  offered(run: WaitingRun): void {
    this.#waiting.offer(run)
    this.serve(run.agent)
  }

  /** Gives runs of the agent that wait to workers with free slots, one after the other. */
  serve(agent: string): void {
    if (this.#serving.has(agent)) {
      this.#serving.set(agent, true)
      return
    }
    const first = this.#waiting.of(agent).next()
    if (first.done) return
    this.#serving.set(agent, false)
    void this.#serveAll(agent).finally(() => {
      const again = this.#serving.get(agent)
      this.#serving.delete(agent)
      if (again) this.serve(agent)
    })
  }

  /**
   * Handles a lease that expired: its worker is gone, or the node on which its run waited.
   * @param onTaken called when the run waits for another worker
   * @returns whether the run goes on, or ended otherwise; if not, it is to be failed
   */
  async recover(lost: ExpiredLease, startSeq: number, note: RunNote, onTaken: () => void): Promise<boolean> {
    const { sessionId, epoch, runId, token } = lost
    const { agent } = note
    const waited = parseWaitingToken(token)
    if (!waited) {
      const here = this.#connections.workOf(lost)
      // The renewal of its worker may have come while this process was blocked.
      if (here && !here.isLate) {
        here.isLate = true
        return true
      }
      if (!note.work?.resume) return false
    }
    const resumed = waited ? waited.resumed : true
    const run = { agent, sessionId, runId, epoch, startSeq, token: this.#waitingToken(resumed), resumed }
    const status = waited ? [] : [{ type: 'run.status', runId, data: { status: 'queued' } }]
    const taken = await this.#journal.append(sessionId, status, {
      epoch,
      absent: [keys.end(runId)],
      leases: [{ runId, token: run.token, from: token, ttlMs: this.#parts.leaseMs }],
    })
    if (!taken.accepted) return taken.reason !== 'key'
    onTaken()
    this.#connections.workOf(lost)?.over('forbidden', 'the run’s lease is lost')
    this.#wait(run, await this.#waitOf(run))
    return true
  }

  async close(): Promise<void> {
    for (const cancel of this.#cancels) cancel()
    this.#waiting.close()
    await this.#renewals.close()
  }

  #begin(reservation: Reservation, agent: string, started: StartedWork, resumed: boolean): void {
    if (this.#connections.begin(reservation, agent, started, resumed)) return
    const { sessionId, runId, epoch, startSeq } = started
    const { token } = reservation
    void this.#passOn({ agent, sessionId, runId, epoch, startSeq, token, resumed })
  }

  /** The worker was gone before it got the run: the run waits for another one. @param run with the worker's token */
  async #passOn(run: WaitingRun): Promise<void> {
    const { sessionId, runId, epoch, token: from, resumed } = run
    const token = this.#waitingToken(resumed)
    const appended = await this.#journal
      .append(sessionId, [{ type: 'run.status', runId, data: { status: 'queued' } }], {
        epoch,
        absent: [keys.end(runId)],
        leases: [{ runId, token, from, fromLive: true, ttlMs: this.#parts.leaseMs }],
      })
      // Its lease runs out, and it is handled like a run whose worker died.
      .catch(error => this.#report(error, run))
    if (appended?.accepted) this.#wait({ ...run, token }, this.#parts.queueMs)
  }

  #wait(run: WaitingRun, waitMs: number): void {
    this.#waiting.add(run, Math.max(0, waitMs), () => void this.#failUnserved(run))
    this.#parts.onWaiting(run)
    this.serve(run.agent)
  }

  /** How much longer a run may wait that another node, or a worker, has left. */
  async #waitOf({ sessionId, startSeq, resumed }: WaitingRun): Promise<number> {
    const { queueMs } = this.#parts
    if (resumed) return queueMs
    const started = await this.#journal.event(sessionId, startSeq)
    return queueMs - (Date.now() - (started?.event.time ?? 0))
  }

  async #serveAll(agent: string): Promise<void> {
    const refused = new Set<string>()
    for (const run of [...this.#waiting.of(agent)]) {
      // Nobody who has a free slot may execute runs of that session.
      if (refused.has(run.sessionId)) continue
      const reservation = await this.#connections.reserve(agent, run.sessionId)
      if (reservation) await this.#claim(run, reservation)
      else if (this.#connections.hasFree(agent)) refused.add(run.sessionId)
      else return
    }
  }

  /** Takes a run that waits, here or on another node; only one taker succeeds. */
  async #claim(run: WaitingRun, reservation: Reservation): Promise<void> {
    const { agent, sessionId, runId, epoch, startSeq, token: from, resumed } = run
    let isTaken = false
    try {
      const [start] = await this.#journal.lookup(sessionId, [keys.run(runId)])
      const started = start && (await this.#journal.event(sessionId, startSeq))?.event
      if (started?.type === 'run.started') {
        const { token } = reservation
        const appended = await this.#journal.append(
          sessionId,
          [{ type: 'run.status', runId, data: { status: 'started' } }],
          {
            epoch,
            absent: [keys.end(runId)],
            leases: [{ runId, token, from, fromLive: true, ttlMs: this.#parts.leaseMs }],
          },
        )
        isTaken = appended.accepted
      }
      this.#waiting.remove(run)
      if (!isTaken || !start || started?.type !== 'run.started') return
      const { input, traceparent } = started.data
      const { onNoViewers = 'continue' } = start.note as RunNote
      const begun = { sessionId, runId, epoch, startSeq, input, by: started.by, onNoViewers, traceparent }
      this.#begin(reservation, agent, begun, resumed)
    } catch (error) {
      // It waits on: the log is away.
      this.#report(error, run)
    } finally {
      if (!isTaken) this.#connections.release(reservation)
    }
  }

  async #failUnserved(run: WaitingRun): Promise<void> {
    const { sessionId, runId, epoch, token } = run
    const { leaseMs, queueMs } = this.#parts
    const seconds = Math.round(queueMs / 1000)
    const message = `no worker had a free slot within ${seconds} s; start more workers`
    const data = { code: 'no-worker', message, retryable: true }
    await this.#journal
      .append(sessionId, [{ type: 'run.failed', runId, data }], {
        epoch,
        once: [{ key: keys.end(runId), note: { type: 'run.failed' } }],
        leases: [{ runId, token, ttlMs: leaseMs }],
        release: [runId],
      })
      // Its lease runs out, and a node takes the run over, for which its time is over as well.
      .catch(error => this.#report(error, run))
  }

  #renew(): void {
    for (const run of this.#waiting.own()) {
      const { sessionId, runId, token } = run
      const about = { what: 'lease renewal', sessionId, runId }
      this.#renewals.start(`${sessionId} ${runId}`, about, async () => {
        const ttlMs = this.#parts.leaseMs
        // Otherwise another node has claimed it, or it has ended.
        if (!(await this.#journal.renew(sessionId, { runId, token, ttlMs }))) this.#waiting.remove(run)
      })
    }
  }

  /** Workers of this node may have been heard of again, or the log may be back. */
  #offer(): void {
    for (const run of this.#waiting.own(OFFERS)) {
      this.#parts.onWaiting(run)
      this.serve(run.agent)
    }
  }

  #waitingToken(resumed: boolean): string {
    return `${resumed ? 'waiting-again' : 'waiting'}:${this.#parts.node}`
  }

  #report(error: unknown, { sessionId, runId }: WaitingRun): undefined {
    this.#parts.onError(error, { what: 'a run for a worker', sessionId, runId })
  }
}

/** Whether a lease is that of a run that waits, and whether a worker had begun the run before. */
function parseWaitingToken(token: string): { resumed: boolean } | undefined {
  const [, again] = /^waiting(-again)?:/.exec(token) ?? []
  return token.startsWith('waiting') ? { resumed: again !== undefined } : undefined
}
