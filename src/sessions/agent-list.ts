/** The agents of a server as clients see them: its own, and those of workers. */
import type { Agent, ForeignMessage } from '../agents/agent.ts'
import type { ChatFields } from '../agents/chat-fields.ts'
import { jsonSchemaOf } from '../protocol/index.ts'
import type { Workers } from './workers/workers.ts'

export interface ListedAgent {
  readonly name: string
  readonly description: string
  /** JSON Schema of the input. */
  readonly input: Record<string, unknown>
  /** See {@link Agent.chat}. */
  readonly chat?: ChatFields | undefined
  /** See {@link Agent.fromMessages}. */
  fromMessages?(messages: readonly ForeignMessage[], extra: Readonly<Record<string, unknown>>): unknown
}

export class AgentList {
  readonly #own: ReadonlyMap<string, ListedAgent>
  readonly #workers: Workers

  constructor(own: Iterable<Agent>, workers: Workers) {
    this.#own = new Map([...own].map(agent => [agent.name, listed(agent)]))
    this.#workers = workers
  }

  get(name: string): ListedAgent | undefined {
    return this.#own.get(name) ?? this.#workers.agent(name)
  }

  /** All agents, the server's own first. */
  all(): ListedAgent[] {
    return [...this.#own.values(), ...this.#workers.list()]
  }
}

function listed(agent: Agent): ListedAgent {
  const { name, description } = agent
  let input: Record<string, unknown> | undefined
  return {
    name,
    description,
    get input() {
      input ??= jsonSchemaOf(agent.input)
      return input
    },
    ...(agent.chat && { chat: agent.chat }),
    ...(agent.fromMessages && { fromMessages: agent.fromMessages.bind(agent) }),
  }
}
