/** The workers that are connected to this node: their agents, their slots, and the runs that they execute. */
import { randomUUID } from 'node:crypto'
import type { Bus } from '../../bus/bus.ts'
import type { Journal } from '../../bus/journal.ts'
import type { Tracing } from '../../bus/tracing.ts'
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
import type { RunNote } from '../key-notes.ts'
import { QUESTION_BYTES, SCHEMA_NESTING } from '../question.ts'
import type { SchemaChecker } from '../schemas/checker.ts'
import { ConnectedWorker, type WorkerLink } from './connected-worker.ts'
import { Work } from './work.ts'
import type { WorkerAgents } from './worker-agents.ts'

/** Leases of one worker that are renewed at a time. */
const RENEWALS = 64

export interface ConnectionsParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly presence: Presence
  readonly schemas: SchemaChecker
  readonly agents: WorkerAgents
  /** Whether the server itself has an agent of that name. */
  isOwn(name: string): boolean
  /** Time limit of a run in ms, not counting time spent waiting for users. */
  readonly maxRunMs: number
  readonly tracing?: Tracing | undefined
  /** Lifetime of a lease in ms. A worker that was not heard of for so long is given no run. */
  readonly leaseMs: number
  /** A worker of this node has registered an agent. Resolves once other nodes are told. Must not throw. */
  onAgent(agent: WorkerAgent, at: number): Promise<void>
  /** A worker with this agent may have a free slot. Must not throw. */
  onFree(agent: string): void
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
  /** The trace context of the command that started it. */
  readonly traceparent: string | undefined
}

/** A slot of a worker that is kept for a run. End it by `begin` or `release`. */
export interface Reservation {
  readonly worker: ConnectedWorker
  readonly workId: string
  /** Holder of the run's lease from now on. */
  readonly token: string
}

export class WorkerConnections {
  readonly #parts: ConnectionsParts
  readonly #journal: Journal
  readonly #connected = new Set<ConnectedWorker>()

  constructor(parts: ConnectionsParts) {
    this.#parts = parts
    this.#journal = parts.journal
  }

  /** Workers and their slots, for metrics. */
  get figures(): { connected: number; free: number; busy: number } {
    let [connected, free, busy] = [0, 0, 0]
    for (const worker of this.#connected) {
      // A connection is a worker once it has registered.
      if (worker.agents.size === 0) continue
      connected++
      busy += worker.works.size + worker.reserved
      free += Math.max(0, worker.free)
    }
    return { connected, free, busy }
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
    for (const name of worker.agents.keys()) this.#parts.agents.leave(name)
    for (const work of [...worker.works.values()]) work.over()
  }

  /**
   * Takes note of what a worker says of itself, and renews the leases of its runs.
   * @throws TwinrailError `conflict` for the name of an agent of the server's own; `bad-request` or `too-large` for an input
   * schema
   */
  async update(
    worker: ConnectedWorker,
    { agents, slots, works = [] }: Extract<Command, { type: 'worker' }>,
  ): Promise<void> {
    worker.heardAt = performance.now()
    if (agents) await this.#register(worker, agents)
    // None is given to it before it has those that it goes on with.
    worker.slots = Math.min(worker.slots, slots)
    await eachOf([...worker.works.values()], async work => {
      const { sessionId, lease } = work.parts
      if (await this.#journal.renew(sessionId, lease)) work.isLate = false
      else work.over('forbidden', 'the run’s lease is lost')
    })
    await eachOf(works, work => this.#continue(worker, work))
    worker.slots = slots
    worker.heardAt = performance.now()
    this.#offerSlots(worker)
  }

  /** Keeps a slot of the worker with the most free ones that may execute the agent's runs in this session. */
  async reserve(agent: string, sessionId: string): Promise<Reservation | undefined> {
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

  /** Gives a slot up that was kept. Runs that wait are not given it here: the caller may be giving them away. */
  release({ worker }: Reservation): void {
    worker.reserved--
  }

  /** Whether a worker with this agent has a free slot. */
  hasFree(agent: string): boolean {
    for (const { agents, free } of this.#connected) if (agents.has(agent) && free > 0) return true
    return false
  }

  /**
   * Gives a run to the worker whose slot was kept for it. The worker's lease is in the log.
   * @returns whether it was given; if not, the worker is gone
   */
  begin(reservation: Reservation, agent: string, started: StartedWork, resumed: boolean): boolean {
    const { worker, workId } = reservation
    const { sessionId, runId, epoch, startSeq, input, by, onNoViewers, traceparent } = started
    worker.reserved--
    const about = { workId, agent, sessionId, runId, epoch, startSeq, onNoViewers }
    const work = this.#work(worker, about, resumed, traceparent)
    if (!work) return false
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
      ...(traceparent !== undefined && { traceparent }),
    })
    void work.follow(startSeq)
    return true
  }

  /** The work of this node that holds a lease. */
  workOf({ sessionId, runId, token }: ExpiredLease): Work | undefined {
    for (const worker of this.#connected)
      for (const work of worker.works.values()) {
        const { parts } = work
        if (parts.runId === runId && parts.sessionId === sessionId && parts.lease.token === token) return work
      }
    return undefined
  }

  /** Disconnects all workers. */
  close(): void {
    for (const worker of [...this.#connected]) this.disconnect(worker)
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
        this.#parts.agents.join(agent, at)
        joined.set(agent.name, agent)
      }
    } catch (error) {
      for (const name of joined.keys()) this.#parts.agents.leave(name)
      throw error
    }
    worker.agents = joined
    for (const name of before.keys()) this.#parts.agents.leave(name)
    // Whoever knows that the worker is registered may start a run on another node.
    await Promise.all([...joined.values()].map(agent => this.#parts.onAgent(agent, at)))
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
    const started = this.#parts.tracing && (await this.#journal.event(sessionId, start.seq))?.event
    const traceparent = started?.type === 'run.started' ? started.data.traceparent : undefined
    const about = { workId, agent, sessionId, runId, epoch, startSeq: start.seq, onNoViewers }
    const work = this.#work(worker, about, true, traceparent)
    const has = after === undefined ? undefined : parseOffset(after)
    await work?.follow(has?.epoch === epoch ? has.seq : start.seq)
  }

  /**
   * The work of a connected worker; `undefined` when it is gone.
   * @param isResumed whether the run was begun before: by another worker, or on another connection
   */
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
    isResumed: boolean,
    traceparent: string | undefined,
  ): Work | undefined {
    if (worker.isGone) return undefined
    const { journal, bus, presence, maxRunMs, tracing, onError } = this.#parts
    const { workId, sessionId, runId, agent } = about
    const work = new Work({
      ...about,
      journal,
      bus,
      presence,
      lease: this.#leaseOf(worker, runId, workId),
      maxMs: maxRunMs,
      trace: tracing?.run({ sessionId, runId, agent, isResumed, traceparent }),
      send: control => worker.link.send(control),
      onOver: () => {
        worker.works.delete(workId)
        this.#offerSlots(worker)
      },
      onUnfollowed: () =>
        worker.link.close(new TwinrailError('unavailable', 'the log cannot be reached now')),
      onError,
    })
    worker.works.set(workId, work)
    return work
  }

  #offerSlots(worker: ConnectedWorker): void {
    if (!worker.isGone) for (const name of worker.agents.keys()) this.#parts.onFree(name)
  }

  #leaseOf(worker: ConnectedWorker, runId: string, workId: string): Lease {
    return { runId, token: tokenOf(worker, workId), ttlMs: this.#parts.leaseMs }
  }
}

/** Holder of the lease of a worker's run: only the same principal can go on with it. */
function tokenOf({ link }: ConnectedWorker, workId: string): string {
  return `work:${workId}:${link.principal}`
}

/** Calls `act` for all of them, a bounded number at a time. */
async function eachOf<T>(list: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < list.length; at += RENEWALS) await Promise.all(list.slice(at, at + RENEWALS).map(act))
}
