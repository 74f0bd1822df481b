/** Checks answers against the JSON Schema of their question. */
import { type Schema, Validator } from '@cfworker/json-schema'
import { TwinrailError } from '../protocol/index.ts'

type JsonSchema = Record<string, unknown> | boolean

function validate(schema: JsonSchema, value: unknown) {
  return new Validator(schema as Schema | boolean, '2020-12').validate(value)
}

/** Checks a schema itself. @throws TwinrailError `bad-request` when it is not a usable JSON Schema */
export function checkSchema(schema: JsonSchema | undefined): void {
  if (schema === undefined) return
  try {
    validate(schema, null)
  } catch {
    throw new TwinrailError('bad-request', 'input.requested: data.schema is not a usable JSON Schema', {
      details: { path: 'data.schema' },
    })
  }
}

/** Checks an answer. @throws TwinrailError `bad-request` with up to 5 issues, each with its path */
export function checkAnswer(schema: JsonSchema | undefined, value: unknown): void {
  if (schema === undefined) return
  const { valid, errors } = validate(schema, value)
  if (valid) return
  const issues = errors.slice(-5).map(error => ({
    path: `value${error.instanceLocation.slice(1).replaceAll('/', '.')}`,
    message: error.error.slice(0, 200),
  }))
  const last = issues.at(-1)
  throw new TwinrailError(
    'bad-request',
    `the answer does not match the question's schema: ${last?.path}: ${last?.message}`,
    {
      details: { path: last?.path, issues },
    },
  )
}
