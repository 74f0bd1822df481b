/** Appends the events that a worker sends of its run. */
import type { Bus } from '../../bus/bus.ts'
import { type Journal, offsetOf } from '../../bus/journal.ts'
import { keys } from '../../log/keys.ts'
import type { OnceKey } from '../../log/log.ts'
import { type Command, type EventBody, isTerminal, TwinrailError } from '../../protocol/index.ts'
import type { Expiry } from '../expiry.ts'
import type { OwnEvents } from '../own-events.ts'
import { parseIngestedEvent } from '../parse-ingest.ts'
import { checkQuestion } from '../question.ts'
import { refusalError } from '../refused-append.ts'
import type { AckFields } from '../repeats.ts'
import type { SchemaChecker } from '../schemas/checker.ts'
import type { Work } from './work.ts'

export interface AppendParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly schemas: SchemaChecker
  readonly expiry: Expiry
}

/**
 * Appends all events of a frame or none, as long as the worker holds the run's lease. A repeated frame appends nothing
 * again.
 * @throws TwinrailError the reason of a refusal; nothing was appended then
 */
export async function appendWork(
  parts: AppendParts,
  work: Work,
  { sessionId, workId, seq, events }: Extract<Command, { type: 'work.append' }>,
): Promise<AckFields> {
  const { runId, epoch, lease } = work.parts
  const bodies = events.map((event, i) => parseWorkEvent(event, runId, `event ${i}`, parts.schemas.own))
  const { once, ends } = await keysOf(parts, runId, bodies)
  work.isEnding ||= ends
  const appended = await parts.journal
    .append(sessionId, bodies, {
      epoch,
      once,
      absent: ends ? [] : [keys.end(runId)],
      leases: [lease],
      release: ends ? [runId] : [],
      producer: { id: `work ${workId}`, seq },
    })
    .catch(error => {
      work.isEnding = false
      throw error
    })
  if (!appended.accepted) {
    work.isEnding = false
    if (appended.reason === 'lease') work.over('forbidden', 'the run’s lease is lost')
    throw refusalError(sessionId, appended)
  }
  for (const { type, data } of bodies) {
    if (type === 'input.requested' && data.expiresAt !== undefined)
      parts.expiry.schedule(sessionId, epoch, runId, data.requestId, data.expiresAt)
  }
  if (ends) work.ended(bodies.at(-1) as EventBody, true)
  else await parts.bus.admitted(sessionId)
  return appended.first > 0 ? { offset: offsetOf(appended, appended.first) } : {}
}

/** The keys that the events take, and whether the last one ends the run. @throws TwinrailError for a bad question */
async function keysOf(
  parts: AppendParts,
  runId: string,
  bodies: readonly EventBody[],
): Promise<{ once: OnceKey[]; ends: boolean }> {
  const once: OnceKey[] = []
  let ends = false
  for (const [index, body] of bodies.entries()) {
    const { type } = body
    if (ends) {
      throw new TwinrailError('bad-request', `event ${index}: an earlier event of the frame ends the run`)
    }
    if (isTerminal(type)) {
      ends = true
      once.push({ key: keys.end(runId), note: { type }, index })
    } else if (body.type === 'input.requested') {
      await checkQuestion(body, parts)
      once.push({ key: keys.input(body.data.requestId), note: { runId }, index })
    } else if (body.type === 'input.expired') {
      once.push({ key: keys.answer(body.data.requestId), note: { expired: true }, index })
    }
  }
  return { once, ends }
}

/** @throws TwinrailError `bad-request` */
function parseWorkEvent(value: unknown, runId: string, what: string, own: OwnEvents): EventBody {
  const body = parseIngestedEvent(
    value !== null && typeof value === 'object' ? { ...value, runId } : value,
    what,
    own,
  )
  if (body.type === 'run.started') {
    throw new TwinrailError('bad-request', `${what}: the run has started already`, {
      details: { path: 'type' },
    })
  }
  return body
}
