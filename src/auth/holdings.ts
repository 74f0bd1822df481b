/** What each name has open: connections, subscriptions, runs. */
import type { Use } from './shared-use.ts'

/** What can be open. */
export const openKinds = ['connections', 'subscriptions', 'runs'] as const
export type OpenKind = (typeof openKinds)[number]

type Counts = Record<OpenKind, number>
const none = (): Counts => ({ connections: 0, subscriptions: 0, runs: 0 })

interface Holding {
  readonly own: Counts
  /** What the other nodes have open, as they last said. */
  others: Counts
  toldAt: number
}

/** Counts what is open. It remembers only names that have something open here. */
export class Holdings implements Use {
  readonly #held = new Map<string, Holding>()
  readonly #changed = new Set<string>()
  readonly #toldMs: number
  readonly #clock: () => number

  /**
   * @param toldMs how long other nodes believe what they were told, in ms; what is open without a change is told again
   * after a third of it
   * @param clock monotonic, in ms
   */
  constructor(toldMs: number, clock: () => number) {
    this.#toldMs = toldMs
    this.#clock = clock
  }

  /** How many are open on all nodes, as far as is known. */
  count(name: string, kind: OpenKind): number {
    const held = this.#held.get(name)
    return held ? held.own[kind] + held.others[kind] : 0
  }

  /** Asks the other nodes again, soon: they may have closed what a refusal here was for. */
  ask(name: string): void {
    if (this.#held.has(name)) this.#changed.add(name)
  }

  /** Counts one of each kind until the returned function is called. */
  open(name: string, kinds: readonly OpenKind[]): () => void {
    let held = this.#held.get(name)
    if (!held) {
      held = { own: none(), others: none(), toldAt: -Infinity }
      this.#held.set(name, held)
    }
    for (const kind of kinds) held.own[kind]++
    this.#changed.add(name)
    let closed = false
    return () => {
      if (closed) return
      closed = true
      for (const kind of kinds) held.own[kind]--
      this.#changed.add(name)
      if (openKinds.every(kind => held.own[kind] === 0)) this.#held.delete(name)
    }
  }

  *untold(): Iterable<string> {
    yield* this.#changed
    const before = this.#clock() - this.#toldMs / 3
    for (const [name, { toldAt }] of this.#held) if (toldAt <= before && !this.#changed.has(name)) yield name
  }

  async tell(name: string, nodes: Parameters<Use['tell']>[1]): Promise<void> {
    const held = this.#held.get(name)
    this.#changed.delete(name)
    const { own } = held ?? { own: none() }
    try {
      const [connections = 0, subscriptions = 0, runs = 0] = await nodes.hold(
        openKinds.map(kind => own[kind]),
        this.#toldMs,
      )
      if (held) Object.assign(held, { others: { connections, subscriptions, runs }, toldAt: this.#clock() })
    } catch (error) {
      if (held && this.#held.get(name) === held) this.#changed.add(name)
      throw error
    }
  }
}
