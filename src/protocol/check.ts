/** Checks values from outside against a schema. */
import type { z } from 'zod'
import { TwinrailError } from './errors.ts'
import { faultOf } from './json.ts'
import { NESTING } from './limits.ts'
import { beginning } from './text.ts'

/**
 * Returns the value as the schema parsed it. The message of the error names the first wrong field, and `details.issues`
 * the first five, by path; neither repeats the value.
 * @param what the name of the value in the message
 * @throws TwinrailError `bad-request` when the value does not match, has a fault of {@link faultOf}, or is nested more than
 * {@link NESTING} deep
 */
export function check<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const fault = faultOf(value, NESTING)
  if (fault) {
    const { path, why } = fault
    throw new TwinrailError('bad-request', `${what}${path && `: ${path}`}: ${why}`, { details: { path } })
  }
  return checkShape(schema, value, what)
}

/** As {@link check}, for a URL's query: its values are texts, and unknown names of any kind are ignored. */
export function checkQuery<S extends z.ZodType>(schema: S, query: unknown): z.output<S> {
  return checkShape(schema, query, 'query')
}

function checkShape<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = result.error.issues.slice(0, 5).map(issue => ({
    path: issue.path.map(String).join('.'),
    message: beginning(issue.message, 200),
  }))
  const first = issues[0]
  throw new TwinrailError(
    'bad-request',
    `${what}${first?.path ? `: ${first.path}` : ''}: ${first?.message ?? 'wrong shape'}`,
    { details: { path: first?.path ?? '', issues } },
  )
}
