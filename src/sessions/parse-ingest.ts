/** Parses and checks the events that external producers send. */
import {
  commandOnlyTypes,
  type EventBody,
  parseEventBody,
  parseJson,
  TwinrailError,
} from '../protocol/index.ts'
import type { OwnEvents } from './own-events.ts'

/** Events of these types must name their run. */
const needsRun = (type: string) => type.startsWith('run.') || type.startsWith('input.')

/**
 * Checks one event.
 * @param what names the event in messages
 * @throws TwinrailError `bad-request`
 */
export function parseIngestedEvent(value: unknown, what: string, own: OwnEvents): EventBody {
  const body = own.checked(parseEventBody(value, what), what)
  if (commandOnlyTypes.has(body.type)) {
    throw new TwinrailError(
      'bad-request',
      `${what}: ${body.type} is made by the server only; send the command instead, or change the session`,
      {
        details: { path: 'type' },
      },
    )
  }
  if (needsRun(body.type) && body.runId === undefined) {
    throw new TwinrailError('bad-request', `${what}: an event of type ${body.type} needs a runId`, {
      details: { path: 'runId' },
    })
  }
  return body
}

/**
 * Parses and checks lines of NDJSON up to the first bad one, whose refusal is returned as `error`. Empty lines are skipped.
 * @param before number of events before these lines; messages count lines from it
 */
export function parseIngestedLines(
  lines: readonly string[],
  before: number,
  own: OwnEvents,
): { bodies: EventBody[]; error?: TwinrailError } {
  const bodies: EventBody[] = []
  for (const line of lines) {
    if (line.trim() === '') continue
    const what = `line ${before + bodies.length + 1}`
    try {
      bodies.push(parseIngestedEvent(parseJson(line, what), what, own))
    } catch (error) {
      if (error instanceof TwinrailError) return { bodies, error }
      throw error
    }
  }
  return { bodies }
}
