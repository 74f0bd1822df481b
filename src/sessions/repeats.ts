/** Commands that come again: told by key, id or value, and answered as the first one was. */
import { createHash } from 'node:crypto'
import { offsetOf } from '../bus/journal.ts'
import type { KeyEntry } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import { type AnswerNote, alreadyAnswered, type RunNote } from './conditions.ts'
import type { Principal } from './principal.ts'

/** What an `ack` says beside its id. */
export interface AckFields {
  /** Where the event stands that the command became. */
  offset?: string
  runId?: string
  inputId?: string
}

/** Tells whether two JSON values are the same without keeping either: the order of keys does not matter. */
export function digest(value: unknown): string {
  const sorted = (_: string, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part
  return createHash('sha256')
    .update(JSON.stringify(value, sorted) ?? 'undefined')
    .digest('base64url')
}

/** The ack of the command that was first under its key. */
export function ackOf(epoch: number, { seq, note }: KeyEntry): AckFields {
  return { ...(note as AckFields), ...(seq > 0 && { offset: offsetOf({ epoch }, seq) }) }
}

/** The ack of a start that was made before. @throws TwinrailError `conflict` when that was another one's */
export function repeatedStart(epoch: number, runId: string, entry: KeyEntry, note: RunNote): AckFields {
  const first = entry.note as RunNote
  const offset = offsetOf({ epoch }, entry.seq)
  if (first.agent !== note.agent || first.digest !== note.digest) {
    throw new TwinrailError('conflict', 'the runId is in use for another agent or input; choose a new one', {
      details: { runId, offset },
    })
  }
  return { runId, offset }
}

/** The ack of an answer that was given before. @throws TwinrailError when that was another one's */
export function repeatedAnswer(
  epoch: number,
  requestId: string,
  entry: KeyEntry,
  value: unknown,
  principal: Principal,
): AckFields {
  const note = entry.note as AnswerNote
  if (!('expired' in note) && note.by === principal.id && digest(note.value) === digest(value)) {
    return { offset: offsetOf({ epoch }, entry.seq) }
  }
  throw alreadyAnswered(epoch, requestId, entry)
}
