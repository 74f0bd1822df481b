/** Converts text from the command line to an agent's input. */
import { readJson } from '../protocol/index.ts'

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
 * @throws UsageError when the schema has no text property, or the JSON is invalid or holds an integer that is too large
 */
export function agentInput(agent: AgentInfo, typed: string): unknown {
  if (/^\s*[{[]/.test(typed)) {
    const { value, fault } = readInput(typed)
    if (fault) throw new UsageError(`The input cannot be sent: ${fault.message}`)
    return value
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

function readInput(typed: string): ReturnType<typeof readJson> {
  try {
    return readJson(typed, 'input')
  } catch (error) {
    throw new UsageError(`The input looks like JSON but is not: ${(error as Error).message}`)
  }
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
