/** The agents that workers of any node have registered. */
import { TwinrailError, type WorkerAgent } from '../../protocol/index.ts'

/** Agents of workers that a node knows. */
const MAX_AGENTS = 1000

interface Known {
  agent: WorkerAgent
  /** When it was registered, in ms since 1970: of several registrations the latest counts. */
  at: number
  /** Connections of this node that have it. */
  connections: number
  /** Until when it is listed without such a connection, by `performance.now()`. */
  until: number
}

/** Keeps an agent for some time after its last worker is gone, so that workers may be restarted. */
export class WorkerAgents {
  readonly #keepMs: number
  readonly #known = new Map<string, Known>()

  /** @param keepMs how long an agent without a worker is kept, in ms */
  constructor(keepMs: number) {
    this.#keepMs = keepMs
  }

  /** A connection of this node has it, until `leave`. @throws TwinrailError `rate-limited` */
  join(agent: WorkerAgent, at: number): void {
    const known = this.#add(agent, at)
    if (!known) {
      throw new TwinrailError(
        'rate-limited',
        `the server knows ${MAX_AGENTS} agents of workers, the most that it keeps; stop some workers, or use one name for several`,
        { retryAfterMs: 10_000, details: { limit: 'agents' } },
      )
    }
    known.connections++
  }

  leave(name: string): void {
    const known = this.#known.get(name)
    if (!known) return
    known.connections--
    known.until = performance.now() + this.#keepMs
  }

  /** Another node has said that it has it. */
  heard(agent: WorkerAgent, at: number): void {
    this.#add(agent, at)
  }

  get(name: string): WorkerAgent | undefined {
    const known = this.#known.get(name)
    return known && this.#isListed(known) ? known.agent : undefined
  }

  /** All agents. Forgets those whose time is over. */
  list(): WorkerAgent[] {
    for (const [name, known] of this.#known) if (!this.#isListed(known)) this.#known.delete(name)
    return [...this.#known.values()].map(({ agent }) => agent)
  }

  /** The agents of this node's connections, and when they were registered. */
  *own(): Generator<{ agent: WorkerAgent; at: number }> {
    for (const known of this.#known.values()) if (known.connections > 0) yield known
  }

  #add(agent: WorkerAgent, at: number): Known | undefined {
    let known = this.#known.get(agent.name)
    if (!known) {
      if (this.#known.size >= MAX_AGENTS && this.list().length >= MAX_AGENTS) return undefined
      known = { agent, at, connections: 0, until: 0 }
      this.#known.set(agent.name, known)
    }
    if (at >= known.at) Object.assign(known, { agent, at })
    known.until = performance.now() + this.#keepMs
    return known
  }

  #isListed({ connections, until }: Known): boolean {
    return connections > 0 || until > performance.now()
  }
}
