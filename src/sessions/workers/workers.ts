/** Runs that programs outside the server execute. PROTOCOL.md, "Workers". */
import { randomUUID } from 'node:crypto'
import type { Bus } from '../../bus/bus.ts'
import type { Journal } from '../../bus/journal.ts'
import { keys } from '../../log/keys.ts'
import type { ExpiredLease, Lease } from '../../log/log.ts'
import type { Presence } from '../../presence/presence.ts'
import {
  type Command,
  faultOf,
  formatOffset,
  type OnNoViewers,
  type OpenWork,
  parseOffset,
  TwinrailError,
  type WorkerAgent,
} from '../../protocol/index.ts'
import { type Cancel, startInterval } from '../../protocol/timers.ts'
import type { Expiry } from '../expiry.ts'
import type { RunNote } from '../key-notes.ts'
import { KeyedJobs } from '../keyed-jobs.ts'
import { QUESTION_BYTES, SCHEMA_NESTING } from '../question.ts'
import type { AckFields } from '../repeats.ts'
import type { SchemaChecker } from '../schemas/checker.ts'
import { appendWork } from './append-work.ts'
import { ConnectedWorker, type WorkerLink } from './connected-worker.ts'
import { WorkerNodes } from './nodes.ts'
import { type WaitingRun, WaitingRuns } from './waiting-runs.ts'
import { Work } from './work.ts'
import { WorkerAgents } from './worker-agents.ts'

export type { WorkerLink } from './connected-worker.ts'

type Of<T extends Command['type']> = Extract<Command, { type: T }>

export interface WorkersParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly presence: Presence
  readonly schemas: SchemaChecker
  readonly expiry: Expiry
  /** Whether the server itself has an agent of that name. */
  isOwn(name: string): boolean
  /** Time limit of a run in ms, not counting time spent waiting for users. */
  readonly maxRunMs: number
  /** Lifetime of a lease in ms: a run is given to another worker, or failed, that long after its worker died. */
  readonly leaseMs: number
  /** How long a run waits for a worker, in ms. */
  readonly queueMs: number
  onError(error: unknown, context: Record<string, unknown>): void
}

/** A run whose `run.started` is in the log. */
export interface StartedWork {
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  readonly startSeq: number
  readonly input: unknown
  readonly by: string | undefined
  readonly onNoViewers: OnNoViewers
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

/** A slot of a worker that is kept for a run. */
interface Reservation {
  readonly worker: ConnectedWorker
  readonly workId: string
  readonly token: string
}

/** Renewals of leases, of waiting runs and of workers' runs, at a time. */
const RENEWALS = 64

/** How often runs that wait are offered to the other nodes, and how many of each agent, oldest first. */
const OFFER_EVERY_MS = 1000
const OFFERS = 50

/** How often the other nodes are told of the agents, in ms. */
const TELL_AGENTS_MS = 10_000

export class Workers {
  readonly #parts: WorkersParts
  readonly #journal: Journal
  /** Names this node as the holder of the leases of waiting runs. */
  readonly #node = randomUUID()
  readonly #agents: WorkerAgents
  readonly #waiting = new WaitingRuns()
  readonly #connected = new Set<ConnectedWorker>()
  readonly #nodes: WorkerNodes
  readonly #renewals: KeyedJobs
  /** The agents whose waiting runs are being given away; `true`: look again afterwards. */
  readonly #serving = new Map<string, boolean>()
  readonly #cancels: Cancel[]
  #isClosed = false

  constructor(parts: WorkersParts) {
    this.#parts = parts
    this.#journal = parts.journal
    const { leaseMs, queueMs, onError } = parts
    this.#agents = new WorkerAgents(Math.max(queueMs, 3 * TELL_AGENTS_MS))
    this.#renewals = new KeyedJobs({
      concurrency: RENEWALS,
      pauseMs: OFFER_EVERY_MS,
      maxPauseMs: leaseMs / 3,
      onError,
    })
    this.#nodes = new WorkerNodes({
      journal: parts.journal,
      node: this.#node,
      onAgent: (agent, at) => this.#agents.heard(agent, at),
      onWaiting: run => {
        this.#waiting.offer(run)
        this.#serve(run.agent)
      },
      onError,
    })
    this.#cancels = [
      startInterval(leaseMs / 3, () => this.#renewWaiting(), { unref: true }),
      startInterval(OFFER_EVERY_MS, () => this.#offerWaiting(), { unref: true }),
      startInterval(TELL_AGENTS_MS, () => this.#tellAgents(), { unref: true }),
    ]
  }

  /** The time after which a worker must have renewed its leases, in ms. */
  get renewMs(): number {
    return Math.floor(this.#parts.leaseMs / 3)
  }

  /** The agents of workers, of all nodes. */
  list(): WorkerAgent[] {
    return this.#agents.list().filter(({ name }) => !this.#parts.isOwn(name))
  }

  agent(name: string): WorkerAgent | undefined {
    return this.#agents.get(name)
  }

  connect(link: WorkerLink): ConnectedWorker {
    const worker = new ConnectedWorker(link)
    this.#connected.add(worker)
    return worker
  }

  /** Its runs go on by their leases: the worker may come back, to any node. */
  disconnect(worker: ConnectedWorker): void {
    if (worker.isGone) return
    worker.isGone = true
    this.#connected.delete(worker)
    for (const name of worker.agents.keys()) this.#agents.leave(name)
    for (const work of [...worker.works.values()]) work.over()
  }

  /**
   * Takes note of what a worker says of itself, renews the leases of its runs, and gives it runs that wait.
   * @throws TwinrailError `conflict` for the name of an agent of the server's own; `bad-request` or `too-large` for an input
   * schema
   */
  async update(worker: ConnectedWorker, { agents, slots, works = [] }: Of<'worker'>): Promise<void> {
    if (this.#isClosed) throw stopping()
    worker.heardAt = performance.now()
    if (agents) await this.#register(worker, agents)
    // None is given to it before it has those that it goes on with.
    worker.slots = Math.min(worker.slots, slots)
    await this.#eachOf([...worker.works.values()], async work => {
      const { sessionId, lease } = work.parts
      if (await this.#journal.renew(sessionId, lease)) work.isLate = false
      else work.over('forbidden', 'the run’s lease is lost')
    })
    await this.#eachOf(works, work => this.#continue(worker, work))
    worker.slots = slots
    worker.heardAt = performance.now()
    if (!worker.isGone) for (const name of worker.agents.keys()) this.#serve(name)
  }

  /** Appends events of a run. @throws TwinrailError the reason of a refusal; nothing was appended then */
  async append(worker: ConnectedWorker, command: Of<'work.append'>): Promise<AckFields> {
    worker.heardAt = performance.now()
    const work = worker.works.get(command.workId)
    // A worker that hears `restart` goes on at another node; with `forbidden` it would give its run up.
    if (this.#isClosed) throw stopping()
    if (!work || work.parts.sessionId !== command.sessionId) {
      // A session that the principal may not see is answered as a missing one, so a missing one is not told otherwise.
      await this.#journal.session(command.sessionId)
      throw notYours()
    }
    return appendWork(this.#parts, work, command)
  }

  /**
   * Finds the place of a run that is about to start. Call `begin` or `cancel`.
   * @throws TwinrailError `rate-limited` when it would have to wait, and too many do
   */
  async place(agent: string, sessionId: string): Promise<Place> {
    const reservation = this.#waiting.hasOwn(agent) ? undefined : await this.#reserve(agent, sessionId)
    const { leaseMs } = this.#parts
    if (reservation) {
      return {
        lease: { token: reservation.token, ttlMs: leaseMs },
        waits: false,
        begin: started => this.#begin(reservation, agent, started, false),
        cancel: () => this.#free(reservation),
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

  /** A run has ended. It waits for no worker any more. */
  runEnded(sessionId: string, runId: string): void {
    this.#waiting.ended(sessionId, runId)
  }

  /**
   * Handles a lease that expired: its worker is gone, or the node on which its run waited.
   * @returns whether the run goes on, or ended otherwise; if not, it is to be failed
   */
  async recover(lost: ExpiredLease, startSeq: number, note: RunNote): Promise<boolean> {
    const { sessionId, epoch, runId, token } = lost
    const { agent } = note
    const waited = parseWaitingToken(token)
    if (!waited) {
      const here = this.#workOf(lost)
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
    this.#workOf(lost)?.over('forbidden', 'the run’s lease is lost')
    this.#wait(run, await this.#waitOf(run))
    return true
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const cancel of this.#cancels) cancel()
    for (const worker of [...this.#connected]) this.disconnect(worker)
    this.#waiting.close()
    this.#nodes.close()
    await this.#renewals.close()
  }

  async #register(worker: ConnectedWorker, agents: readonly WorkerAgent[]): Promise<void> {
    for (const agent of agents) await this.#check(agent)
    if (worker.isGone) return
    const at = Date.now()
    const before = worker.agents
    const joined = new Map<string, WorkerAgent>()
    try {
      for (const agent of agents) {
        if (joined.has(agent.name)) continue
        this.#agents.join(agent, at)
        joined.set(agent.name, agent)
      }
    } catch (error) {
      for (const name of joined.keys()) this.#agents.leave(name)
      throw error
    }
    worker.agents = joined
    for (const name of before.keys()) this.#agents.leave(name)
    for (const agent of joined.values()) this.#nodes.tellAgent(agent, at)
  }

  async #check({ name, input }: WorkerAgent): Promise<void> {
    if (this.#parts.isOwn(name)) {
      throw new TwinrailError('conflict', 'the server itself has an agent of this name; choose another', {
        details: { agent: name },
      })
    }
    const bytes = Buffer.byteLength(JSON.stringify(input))
    if (bytes > QUESTION_BYTES) {
      throw new TwinrailError(
        'too-large',
        `the input schema has ${bytes} bytes of JSON, more than the ${QUESTION_BYTES} allowed`,
        { details: { agent: name, bytes, limit: QUESTION_BYTES } },
      )
    }
    const fault = faultOf(input, SCHEMA_NESTING)
    if (fault) {
      throw new TwinrailError('bad-request', `the input schema: ${fault.why}`, { details: { agent: name } })
    }
    await this.#parts.schemas.checkInputSchema(input)
  }

  /** Goes on with a run of an earlier connection, if its lease is still held. */
  async #continue(
    worker: ConnectedWorker,
    { workId, sessionId, runId, agent, after }: OpenWork,
  ): Promise<void> {
    if (worker.works.has(workId)) return
    const lease = this.#leaseOf(worker, runId, workId)
    const over = (code: 'forbidden' | 'run-ended', reason: string) =>
      worker.link.send({ type: 'work-over', workId, code, reason })
    const [start, end] = await this.#journal.lookup(sessionId, [keys.run(runId), keys.end(runId)])
    if (end) return over('run-ended', 'the run has ended')
    const session = start && (await this.#journal.findSession(sessionId))
    if (!start || !session || !(await this.#journal.renew(sessionId, lease)))
      return over('forbidden', 'the run’s lease is lost')
    if (!worker.agents.has(agent) || !(await worker.link.mayTake(agent, sessionId)))
      return over('forbidden', 'the worker may not execute this run')
    const { onNoViewers = 'continue' } = start.note as RunNote
    const { epoch } = session
    const work = this.#work(worker, {
      workId,
      agent,
      sessionId,
      runId,
      epoch,
      startSeq: start.seq,
      onNoViewers,
    })
    const has = after === undefined ? undefined : parseOffset(after)
    await work?.follow(has?.epoch === epoch ? has.seq : start.seq)
  }

  /** Keeps a slot of the worker with the most free ones that may execute the agent's runs in this session. */
  async #reserve(agent: string, sessionId: string): Promise<Reservation | undefined> {
    const now = performance.now()
    const able = [...this.#connected]
      .filter(({ agents, heardAt }) => agents.has(agent) && now - heardAt < this.#parts.leaseMs)
      .sort((a, b) => b.free - a.free)
    for (const worker of able) {
      if (worker.free <= 0) continue
      worker.reserved++
      const mayTake = await worker.link.mayTake(agent, sessionId).catch(() => false)
      if (mayTake && !worker.isGone) {
        const workId = randomUUID()
        return { worker, workId, token: tokenOf(worker, workId) }
      }
      worker.reserved--
    }
    return undefined
  }

  /** Gives a slot up. Others may have waited for it. */
  #free({ worker }: Reservation): void {
    worker.reserved--
    for (const name of worker.agents.keys()) this.#serve(name)
  }

  /** Gives a run to the worker whose slot was kept for it. The worker's lease is in the log. */
  #begin(reservation: Reservation, agent: string, started: StartedWork, resumed: boolean): void {
    const { worker, workId, token } = reservation
    const { sessionId, runId, epoch, startSeq, input, by, onNoViewers } = started
    worker.reserved--
    const work = this.#work(worker, { workId, agent, sessionId, runId, epoch, startSeq, onNoViewers })
    if (!work) {
      void this.#passOn({ agent, sessionId, runId, epoch, startSeq, token, resumed })
      return
    }
    worker.link.send({
      type: 'work',
      workId,
      sessionId,
      runId,
      agent,
      input,
      ...(by !== undefined && { by }),
      start: formatOffset(epoch, startSeq),
      ...(resumed && { resumed }),
    })
    void work.follow(startSeq)
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

  /** The work of a connected worker; `undefined` when it is gone. */
  #work(
    worker: ConnectedWorker,
    about: {
      workId: string
      agent: string
      sessionId: string
      runId: string
      epoch: number
      startSeq: number
      onNoViewers: OnNoViewers
    },
  ): Work | undefined {
    if (worker.isGone) return undefined
    const { journal, bus, presence, maxRunMs, onError } = this.#parts
    const { workId, runId } = about
    const work = new Work({
      ...about,
      journal,
      bus,
      presence,
      lease: this.#leaseOf(worker, runId, workId),
      maxMs: maxRunMs,
      send: control => worker.link.send(control),
      onOver: () => {
        worker.works.delete(workId)
        if (!worker.isGone) for (const name of worker.agents.keys()) this.#serve(name)
      },
      onUnfollowed: () =>
        worker.link.close(new TwinrailError('unavailable', 'the log cannot be reached now')),
      onError,
    })
    worker.works.set(workId, work)
    return work
  }

  #wait(run: WaitingRun, waitMs: number): void {
    this.#waiting.add(run, Math.max(0, waitMs), () => void this.#failUnserved(run))
    this.#nodes.tellWaiting(run)
    this.#serve(run.agent)
  }

  /** How much longer a run may wait that another node, or a worker, has left. */
  async #waitOf({ sessionId, startSeq, resumed }: WaitingRun): Promise<number> {
    const { queueMs } = this.#parts
    if (resumed) return queueMs
    const started = await this.#journal.event(sessionId, startSeq)
    return queueMs - (Date.now() - (started?.event.time ?? 0))
  }

  /** Gives runs that wait to workers with free slots, one after the other. */
  #serve(agent: string): void {
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
      if (again) this.#serve(agent)
    })
  }

  async #serveAll(agent: string): Promise<void> {
    const refused = new Set<string>()
    for (const run of [...this.#waiting.of(agent)]) {
      // Nobody who has a free slot may execute runs of that session.
      if (refused.has(run.sessionId)) continue
      const reservation = await this.#reserve(agent, run.sessionId)
      if (reservation) await this.#claim(run, reservation)
      else if ([...this.#connected].some(({ agents, free }) => agents.has(agent) && free > 0))
        refused.add(run.sessionId)
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
      const { input } = started.data
      const { onNoViewers = 'continue' } = start.note as RunNote
      const begun = { sessionId, runId, epoch, startSeq, input, by: started.by, onNoViewers }
      this.#begin(reservation, agent, begun, resumed)
    } catch (error) {
      // It waits on: the log is away.
      this.#report(error, run)
    } finally {
      if (!isTaken) reservation.worker.reserved--
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

  #renewWaiting(): void {
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
  #offerWaiting(): void {
    for (const run of this.#waiting.own(OFFERS)) {
      this.#nodes.tellWaiting(run)
      this.#serve(run.agent)
    }
  }

  #tellAgents(): void {
    for (const { agent, at } of this.#agents.own()) this.#nodes.tellAgent(agent, at)
  }

  #workOf({ sessionId, runId, token }: ExpiredLease): Work | undefined {
    for (const worker of this.#connected)
      for (const work of worker.works.values()) {
        const { parts } = work
        if (parts.runId === runId && parts.sessionId === sessionId && parts.lease.token === token) return work
      }
    return undefined
  }

  #leaseOf(worker: ConnectedWorker, runId: string, workId: string): Lease {
    return { runId, token: tokenOf(worker, workId), ttlMs: this.#parts.leaseMs }
  }

  #waitingToken(resumed: boolean): string {
    return `${resumed ? 'waiting-again' : 'waiting'}:${this.#node}`
  }

  /** Calls `act` for all of them, a bounded number at a time. */
  async #eachOf<T>(list: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
    for (let at = 0; at < list.length; at += RENEWALS)
      await Promise.all(list.slice(at, at + RENEWALS).map(act))
  }

  #report(error: unknown, { sessionId, runId }: WaitingRun): undefined {
    this.#parts.onError(error, { what: 'a run for a worker', sessionId, runId })
  }
}

/** Holder of the lease of a worker's run: only the same principal can go on with it. */
function tokenOf({ link }: ConnectedWorker, workId: string): string {
  return `work:${workId}:${link.principal}`
}

/** Whether a lease is that of a run that waits, and whether a worker had begun the run before. */
function parseWaitingToken(token: string): { resumed: boolean } | undefined {
  const [, again] = /^waiting(-again)?:/.exec(token) ?? []
  return token.startsWith('waiting') ? { resumed: again !== undefined } : undefined
}

function stopping(): TwinrailError {
  return new TwinrailError('restart', 'the server is stopping; connect again')
}

function notYours(): TwinrailError {
  return new TwinrailError(
    'forbidden',
    'this connection does not have that work; stop it, or send `worker` with `works` first',
  )
}
