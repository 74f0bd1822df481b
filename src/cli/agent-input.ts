/** Converts text from the command line to an agent's input. */

/** An agent as `GET /v1/agents` lists it. */
export interface AgentInfo {
  name: string
  description: string
  /** JSON Schema of its input. */
  input: unknown
}

/** Wrong usage; the message says what to do instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Property names under which agents take plain text, the most likely first. */
const TEXT_FIELDS = ['query', 'prompt', 'text', 'message', 'input']

/**
 * A JSON object or array is used as the input. Any other text becomes the value of a text property in the agent's
 * schema.
 * @throws UsageError when the schema has no text property, or the JSON is invalid
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
    `The agent ${agent.name} takes no plain text. Pass its input as JSON` +
      (known.length > 0 ? `, with some of: ${known.join(', ')}` : ''),
  )
}

interface ObjectSchema {
  type?: unknown
  properties?: Record<string, unknown>
  required?: string[]
}

/** The object that a schema describes. Alternatives count as one object with all their properties. */
function schemaOf(schema: unknown): ObjectSchema {
  const { anyOf, oneOf, ...own } = (schema ?? {}) as ObjectSchema & { anyOf?: unknown[]; oneOf?: unknown[] }
  const alternatives = (anyOf ?? oneOf ?? []).map(schemaOf)
  return alternatives.length === 0
    ? own
    : { ...own, properties: Object.assign({}, own.properties, ...alternatives.map(each => each.properties)) }
}
