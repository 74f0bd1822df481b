/** Checks values from outside against a schema. */
import type { z } from 'zod'
import { TwinrailError } from './errors.ts'
import { NESTING } from './limits.ts'

/**
 * Returns the value as the schema parsed it. The message of the error names the first wrong field, and `details.issues`
 * the first five, by path; neither repeats the value.
 * @param what the name of the value in the message
 * @throws TwinrailError `bad-request` when the value does not match, or is nested more than {@link NESTING} deep
 */
export function check<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  if (isDeeper(value, NESTING)) {
    throw new TwinrailError('bad-request', `${what}: nested more than ${NESTING} deep`, {
      details: { path: '' },
    })
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = result.error.issues.slice(0, 5).map(issue => ({
    path: issue.path.map(String).join('.'),
    message: issue.message.slice(0, 200),
  }))
  const first = issues[0]
  throw new TwinrailError(
    'bad-request',
    `${what}${first?.path ? `: ${first.path}` : ''}: ${first?.message ?? 'wrong shape'}`,
    { details: { path: first?.path ?? '', issues } },
  )
}

/** Whether arrays and objects are nested more than `depth` deep. */
export function isDeeper(value: unknown, depth: number): boolean {
  if (value === null || typeof value !== 'object') return false
  if (depth === 0) return true
  if (Array.isArray(value)) return value.some(part => isDeeper(part, depth - 1))
  for (const key in value) if (isDeeper((value as Record<string, unknown>)[key], depth - 1)) return true
  return false
}
