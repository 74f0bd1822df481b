/** What the nodes of a log tell each other about workers: their agents, and the runs that wait. */
import type { Journal } from '../../bus/journal.ts'
import type { WorkerAgent } from '../../protocol/index.ts'
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import type { WaitingRun } from './waiting-runs.ts'

/** The session whose followers get it; nothing is stored in it. No id from outside begins with `~`. */
const WORKERS_SESSION = '~workers'

/** How long after its start a node asks the others once more what agents they have, in ms. */
const JOIN_AGAIN_MS = 500

type Message =
  | { readonly type: 'x.agent'; readonly data: { node: string; agent: WorkerAgent; at: number } }
  | { readonly type: 'x.waiting'; readonly data: { node: string; run: WaitingRun } }
  | { readonly type: 'x.joined'; readonly data: { node: string } }

export interface NodesParts {
  readonly journal: Journal
  /** Names this node. */
  readonly node: string
  /** Another node has an agent. Must not throw. */
  onAgent(agent: WorkerAgent, at: number): void
  /** Another node has started, and knows no agents yet. Must not throw. */
  onJoined(): void
  /** A run waits on another node. Must not throw. */
  onWaiting(run: WaitingRun): void
  onError(error: unknown, about: Record<string, unknown>): void
}

/** Messages may be lost: whatever matters is said again at intervals. Says nothing where the log has one node. */
export class WorkerNodes {
  readonly #parts: NodesParts
  readonly #unfollow: () => void
  readonly #cancelJoin: Cancel

  constructor(parts: NodesParts) {
    this.#parts = parts
    const { journal, node } = parts
    this.#unfollow = journal.isShared
      ? journal.follow(WORKERS_SESSION, {
          events: () => {},
          ephemeral: json => {
            const message = JSON.parse(json) as Message
            if (message.data.node === node) return
            if (message.type === 'x.agent') parts.onAgent(message.data.agent, message.data.at)
            else if (message.type === 'x.joined') parts.onJoined()
            else parts.onWaiting(message.data.run)
          },
          deleted: () => {},
        })
      : () => {}
    const join = () => void this.#tell({ type: 'x.joined', data: { node } })
    join()
    // The first answers may come before this node hears others.
    this.#cancelJoin = startTimer(JOIN_AGAIN_MS, join, { unref: true })
  }

  /** Resolves once the log has passed it on, or could not. */
  async tellAgent(agent: WorkerAgent, at: number): Promise<void> {
    await this.#tell({ type: 'x.agent', data: { node: this.#parts.node, agent, at } })
  }

  tellWaiting(run: WaitingRun): void {
    void this.#tell({ type: 'x.waiting', data: { node: this.#parts.node, run } })
  }

  close(): void {
    this.#cancelJoin()
    this.#unfollow()
  }

  async #tell(message: Message): Promise<void> {
    const { journal, onError } = this.#parts
    if (!journal.isShared) return
    await journal
      .publishEphemeral(WORKERS_SESSION, message)
      .catch(error => onError(error, { what: 'workers' }))
  }
}
