/** Checks foreign values against a schema at the door. */
import type { z } from 'zod'
import { TwinrailError } from './errors.ts'
import { NESTING } from './limits.ts'

/**
 * Gives the parsed value or throws `bad-request`. The message names the first bad field and `details.issues` the
 * first five, by path; the value itself is never repeated.
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

/** Whether arrays and objects stand within each other more than `depth` times. */
export function isDeeper(value: unknown, depth: number): boolean {
  if (value === null || typeof value !== 'object') return false
  if (depth === 0) return true
  if (Array.isArray(value)) return value.some(part => isDeeper(part, depth - 1))
  for (const key in value) if (isDeeper((value as Record<string, unknown>)[key], depth - 1)) return true
  return false
}
