/** Events as producers outside send them, checked one by one. */
import type { Body } from '../bus/journal.ts'
import { commandOnlyTypes, parseEventBody, TwinrailError } from '../protocol/index.ts'
import { checkSchema } from './input-schema.ts'

/** Types that make no sense without their run. */
const needsRun = (type: string) => type.startsWith('run.') || type.startsWith('input.')

/** Checks an event from a producer outside. @param what names it in messages @throws TwinrailError `bad-request` */
export function parseIngested(value: unknown, what: string): Body {
  const body = parseEventBody(value, what)
  if (commandOnlyTypes.has(body.type)) {
    throw new TwinrailError('bad-request', `${what}: only commands make this type`, {
      details: { path: 'type' },
    })
  }
  if (needsRun(body.type) && body.runId === undefined) {
    throw new TwinrailError('bad-request', `${what}: this type needs a runId`, { details: { path: 'runId' } })
  }
  if (body.type === 'input.requested') checkSchema(body.data.schema as Record<string, unknown> | undefined)
  return body
}

/** The values of the lines up to the first that is not JSON or not an event. Empty lines are passed over. */
export function parseLines(
  lines: readonly string[],
  before: number,
): { values: unknown[]; error?: TwinrailError } {
  const values: unknown[] = []
  for (const line of lines) {
    if (line.trim() === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return { values, error: new TwinrailError('bad-request', 'not JSON; expected one event a line') }
    }
    try {
      parseIngested(value, `line ${before + values.length + 1}`)
    } catch (error) {
      if (error instanceof TwinrailError) return { values, error }
      throw error
    }
    values.push(value)
  }
  return { values }
}
