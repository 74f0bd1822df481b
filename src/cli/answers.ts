/** Converts a typed line to the answer to a question. */
import { type EventOf, readJson } from '../protocol/index.ts'

export type Question = EventOf<'input.requested'>['data']

/** The answer, or why the line is not one. */
export type Parsed = { value: unknown } | { complaint: string }

interface Schema {
  type?: string | string[]
  enum?: unknown[]
  properties?: Record<string, Schema>
  required?: string[]
  anyOf?: Schema[]
  oneOf?: Schema[]
}

/** The value that means yes or no under the schema of an approval; `undefined` when there is none. */
export function approval(schema: Question['schema'], yes: boolean): unknown {
  if (schema === undefined || typeof schema === 'boolean') return yes
  const { type, properties = {}, required = [], anyOf, oneOf } = schema as Schema
  if (type === 'boolean') return yes
  for (const alternative of anyOf ?? oneOf ?? []) {
    const value = approval(alternative as Record<string, unknown>, yes)
    if (value !== undefined) return value
  }
  const flags = Object.keys(properties).filter(name => properties[name]?.type === 'boolean')
  const flag = flags.find(name => required.includes(name)) ?? flags[0]
  if (flag !== undefined) return { [flag]: yes }
  return type === undefined && !anyOf && !oneOf ? yes : undefined
}

/** The prompt's hint at what may be typed. */
export function hintOf({ kind, schema }: Question): string {
  if (kind === 'approval' && approval(schema, true) !== undefined) return '[y/n, or JSON]'
  const { enum: choices } = (typeof schema === 'object' ? schema : {}) as Schema
  if (choices)
    return `[${choices.map(choice => (typeof choice === 'string' ? choice : JSON.stringify(choice))).join('/')}]`
  return takesText(schema) ? '' : '[JSON]'
}

/** Converts a line to an answer. The server validates it against the whole schema. */
export function parseAnswer({ kind, schema }: Question, line: string): Parsed {
  const typed = line.trim()
  const yes = /^y(es)?$/i.test(typed)
  if (kind === 'approval' && (yes || /^no?$/i.test(typed))) {
    const value = approval(schema, yes)
    if (value !== undefined) return { value }
  }
  const textual = kind !== 'approval' && takesText(schema)
  if (textual && !/^[{[]/.test(typed))
    return typed === '' ? { complaint: 'Type an answer.' } : { value: typed }
  try {
    const { value, fault } = readJson(typed, 'answer')
    return fault ? { complaint: fault.message } : { value }
  } catch {
    if (textual) return { value: typed }
    return {
      complaint: kind === 'approval' ? 'Type y, n, or the whole answer as JSON.' : 'Type the answer as JSON.',
    }
  }
}

function takesText(schema: Question['schema']): boolean {
  if (schema === undefined || typeof schema === 'boolean') return true
  const { type, enum: choices, anyOf, oneOf } = schema as Schema
  const alternatives = anyOf ?? oneOf
  if (alternatives) return alternatives.some(alternative => takesText(alternative as Record<string, unknown>))
  if (choices) return choices.some(choice => typeof choice === 'string')
  return type === undefined || type === 'string' || (Array.isArray(type) && type.includes('string'))
}
