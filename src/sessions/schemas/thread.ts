/** The thread that applies JSON Schemas from outside: see {@link SchemaChecker}, which stops it when it takes too long. */
import { parentPort } from 'node:worker_threads'
import { dereference, type Schema, validate } from '@cfworker/json-schema'
import { LinearRegExp } from './linear-regexp.ts'
import { metaSchema } from './meta-schema.ts'

/** A schema to be checked, or a value to be checked against one. */
export type SchemaJob = { readonly schema: JsonSchema; readonly value?: { readonly json: unknown } }

export type JsonSchema = Record<string, unknown> | boolean

/** A place in a schema or in a value that is wrong: a JSON pointer, and what was expected there. */
export interface SchemaProblem {
  readonly pointer: string
  readonly message: string
}

/** No problems: the schema can be used, or the value meets it. */
export type SchemaVerdict = { readonly problems: readonly SchemaProblem[] }

/** What the thread says: once that it is there, then for each job that it begins, and how it ended. */
export type ThreadMessage = 'ready' | 'begun' | SchemaVerdict

/** Problems that are told of one value. */
const TOLD = 5

/** Kinds of value that a new schema is tried on: what it cannot be applied to at all shows there. */
const samples = [null, true, 0, '', [], {}]

/** The validator's words for a pattern that {@link LinearRegExp} cannot compile, and ours. */
const NOT_A_PATTERN = 'String does not match format "regex".'
const PATTERN_SYNTAX = 'not a pattern of RE2 syntax, which has neither look-around nor backreferences'

// The validator compiles patterns by the global constructor. This thread runs nothing else that does.
globalThis.RegExp = LinearRegExp as unknown as RegExpConstructor

const meta = dereference(metaSchema)

parentPort?.on('message', (job: SchemaJob) => {
  say('begun')
  say({ problems: job.value ? problemsOfValue(job.schema, job.value.json) : problemsOfSchema(job.schema) })
})
say('ready')

function say(message: ThreadMessage): void {
  parentPort?.postMessage(message)
}

function problemsOfSchema(schema: JsonSchema): SchemaProblem[] {
  try {
    const problems = applied(metaSchema, schema, meta)
    if (problems.length > 0) return problems
    const parts = dereference(schema)
    for (const { $ref, __absolute_ref__: at } of Object.values(parts) as Schema[]) {
      if (at !== undefined && parts[at] === undefined)
        return [problem(new Error(`$ref ${$ref} names no part of the schema`))]
    }
    for (const sample of samples) applied(schema, sample, parts)
    return []
  } catch (error) {
    return [problem(error)]
  }
}

function problemsOfValue(schema: JsonSchema, value: unknown): SchemaProblem[] {
  try {
    return applied(schema, value, dereference(schema))
  } catch (error) {
    return [problem(error)]
  }
}

/** The problems of the first place that is wrong, the innermost last. @param parts the schema's parts by their URI */
function applied(
  schema: Schema | boolean,
  value: unknown,
  parts: Record<string, Schema | boolean>,
): SchemaProblem[] {
  const { valid, errors } = validate(value, schema, '2020-12', parts)
  if (valid) return []
  return errors
    .map(({ instanceLocation, error }) => ({
      pointer: decodeURIComponent(instanceLocation.slice(1)),
      message: error === NOT_A_PATTERN ? PATTERN_SYNTAX : error,
    }))
    .sort((a, b) => a.pointer.length - b.pointer.length)
    .slice(-TOLD)
}

function problem(error: unknown): SchemaProblem {
  const endless = error instanceof RangeError
  return { pointer: '', message: endless ? 'a $ref leads back to itself' : (error as Error).message }
}
