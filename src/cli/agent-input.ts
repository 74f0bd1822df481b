/** Makes an agent's input of what was typed. */

/** An agent as `GET /v1/agents` lists it. */
export interface AgentInfo {
  name: string
  description: string
  /** JSON Schema of its input. */
  input: unknown
}

/** What the user asked for cannot be done; the message says what to do instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Names under which agents take plain text, the likeliest first. */
const TEXT_FIELDS = ['query', 'prompt', 'text', 'message', 'input']

/**
 * JSON objects and arrays are the input as they are; anything else is text, put where the agent's schema has a
 * place for it.
 * @throws UsageError when the schema has none, or when what looks like JSON is not
 */
export function agentInput(agent: AgentInfo, typed: string): unknown {
  if (/^\s*[{[]/.test(typed)) {
    try {
      return JSON.parse(typed)
    } catch (error) {
      throw new UsageError(`The input looks like JSON but is not: ${(error as Error).message}`)
    }
  }
  const { type, properties = {}, required = [] } = schemaOf(agent.input)
  if (type === 'string') return typed
  const fitting = TEXT_FIELDS.filter(field => field in properties)
  const needed = fitting.filter(field => required.includes(field))
  const fields = needed.length > 0 ? needed : fitting.slice(0, 1)
  if (fields.length > 0) return Object.fromEntries(fields.map(field => [field, typed]))
  const known = Object.keys(properties)
  throw new UsageError(
    `The agent ${agent.name} takes no plain text. Give its input as JSON` +
      (known.length > 0 ? `, with some of: ${known.join(', ')}` : ''),
  )
}

interface ObjectSchema {
  type?: unknown
  properties?: Record<string, unknown>
  required?: string[]
}

/** The object that a schema describes; alternatives count as one with the properties of all. */
function schemaOf(schema: unknown): ObjectSchema {
  const { anyOf, oneOf, ...own } = (schema ?? {}) as ObjectSchema & { anyOf?: unknown[]; oneOf?: unknown[] }
  const alternatives = (anyOf ?? oneOf ?? []).map(schemaOf)
  return alternatives.length === 0
    ? own
    : { ...own, properties: Object.assign({}, own.properties, ...alternatives.map(each => each.properties)) }
}
