/** Runs that programs outside the server execute. PROTOCOL.md, "Workers". */
import { randomUUID } from 'node:crypto'
import type { Journal } from '../../bus/journal.ts'
import type { ExpiredLease } from '../../log/log.ts'
import { type Command, TwinrailError, type WorkerAgent } from '../../protocol/index.ts'
import { type Cancel, startInterval } from '../../protocol/timers.ts'
import type { Expiry } from '../expiry.ts'
import type { RunNote } from '../key-notes.ts'
import type { AckFields } from '../repeats.ts'
import { appendWork } from './append-work.ts'
import type { ConnectedWorker, WorkerLink } from './connected-worker.ts'
import { type ConnectionsParts, WorkerConnections } from './connections.ts'
import { WorkerNodes } from './nodes.ts'
import { type Place, type QueueParts, WorkQueue } from './queue.ts'
import { WorkerAgents } from './worker-agents.ts'

export type { WorkerLink } from './connected-worker.ts'
export type { Place } from './queue.ts'

type Of<T extends Command['type']> = Extract<Command, { type: T }>

export interface WorkersParts
  extends Omit<ConnectionsParts, 'agents' | 'onAgent' | 'onFree'>,
    Pick<QueueParts, 'queueMs'> {
  readonly expiry: Expiry
}

/** How often the other nodes are told of the agents, in ms. */
const TELL_AGENTS_MS = 10_000

/** Joins the connected workers, the queue of runs, and the other nodes of the log. */
export class Workers {
  readonly #parts: WorkersParts
  readonly #journal: Journal
  readonly #agents: WorkerAgents
  readonly #connections: WorkerConnections
  readonly #queue: WorkQueue
  readonly #nodes: WorkerNodes
  readonly #stopTelling: Cancel
  #isClosed = false

  constructor(parts: WorkersParts) {
    this.#parts = parts
    this.#journal = parts.journal
    const { journal, leaseMs, queueMs, onError } = parts
    const node = randomUUID()
    this.#agents = new WorkerAgents(Math.max(queueMs, 3 * TELL_AGENTS_MS))
    this.#connections = new WorkerConnections({
      ...parts,
      agents: this.#agents,
      onAgent: (agent, at) => this.#nodes.tellAgent(agent, at),
      onFree: agent => this.#queue.serve(agent),
    })
    this.#queue = new WorkQueue({
      journal,
      node,
      connections: this.#connections,
      leaseMs,
      queueMs,
      onWaiting: run => this.#nodes.tellWaiting(run),
      onError,
    })
    this.#nodes = new WorkerNodes({
      journal,
      node,
      onAgent: (agent, at) => this.#agents.heard(agent, at),
      onJoined: () => this.#tellAgents(),
      onWaiting: run => this.#queue.offered(run),
      onError,
    })
    this.#stopTelling = startInterval(TELL_AGENTS_MS, () => this.#tellAgents(), { unref: true })
  }

  /** The time after which a worker must have renewed its leases, in ms. */
  get renewMs(): number {
    return Math.floor(this.#parts.leaseMs / 3)
  }

  /** The agents of workers, of all nodes. */
  list(): WorkerAgent[] {
    return this.#agents.list().filter(({ name }) => !this.#parts.isOwn(name))
  }

  /** Workers that are connected to this node, their slots, and the runs that wait here, for metrics. */
  get figures(): { connected: number; free: number; busy: number; queued: number } {
    return { ...this.#connections.figures, queued: this.#queue.size }
  }

  agent(name: string): WorkerAgent | undefined {
    return this.#agents.get(name)
  }

  connect(link: WorkerLink): ConnectedWorker {
    return this.#connections.connect(link)
  }

  /** Its runs go on by their leases: the worker may come back, to any node. */
  disconnect(worker: ConnectedWorker): void {
    this.#connections.disconnect(worker)
  }

  /**
   * Takes note of what a worker says of itself, renews the leases of its runs, and gives it runs that wait.
   * @throws TwinrailError `conflict` for the name of an agent of the server's own; `bad-request` or `too-large` for an input
   * schema
   */
  async update(worker: ConnectedWorker, command: Of<'worker'>): Promise<void> {
    if (this.#isClosed) throw stopping()
    await this.#connections.update(worker, command)
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
  place(agent: string, sessionId: string): Promise<Place> {
    return this.#queue.place(agent, sessionId)
  }

  /** A run has ended. It waits for no worker any more. */
  runEnded(sessionId: string, runId: string): void {
    this.#queue.runEnded(sessionId, runId)
  }

  /**
   * Handles a lease that expired: its worker is gone, or the node on which its run waited.
   * @param onTaken called when the run waits for another worker
   * @returns whether the run goes on, or ended otherwise; if not, it is to be failed
   */
  recover(lost: ExpiredLease, startSeq: number, note: RunNote, onTaken: () => void): Promise<boolean> {
    return this.#queue.recover(lost, startSeq, note, onTaken)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopTelling()
    this.#connections.close()
    this.#nodes.close()
    await this.#queue.close()
  }

  #tellAgents(): void {
    for (const { agent, at } of this.#agents.own()) void this.#nodes.tellAgent(agent, at)
  }
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
