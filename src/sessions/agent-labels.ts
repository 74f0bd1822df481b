/** The names of agents in metrics and traces. */

/** Names that are used; clients could otherwise make metrics grow without end. */
const AGENT_LABELS = 100

/** Stands for all further agents. */
const OTHER = 'other'

/** Gives an agent its own name while there is room, and `other` when the server does not know it or knows too many. */
export class AgentLabels {
  readonly #isKnown: (agent: string) => boolean
  readonly #labels: Set<string>

  /**
   * @param own names that have a label from the beginning
   * @param isKnown whether a name is that of an agent now, such as one of a worker
   */
  constructor(own: Iterable<string>, isKnown: (agent: string) => boolean) {
    this.#labels = new Set([...own].slice(0, AGENT_LABELS))
    this.#isKnown = isKnown
  }

  /** The label of an agent of this name. */
  of(agent: string): string {
    if (this.#labels.has(agent)) return agent
    if (this.#labels.size >= AGENT_LABELS || !this.#isKnown(agent)) return OTHER
    this.#labels.add(agent)
    return agent
  }
}
