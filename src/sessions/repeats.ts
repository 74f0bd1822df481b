/** Answers to repeated commands. A repeat is recognised by its key, id or value and gets the ack of the first one. */
import { createHash } from 'node:crypto'
import { offsetOf } from '../bus/journal.ts'
import type { KeyEntry } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import type { AnswerNote, RunNote } from './key-notes.ts'
import type { Principal } from './principal.ts'
import { alreadyAnswered } from './refused-append.ts'

/** The fields of an `ack` other than its id. */
export interface AckFields {
  /** Offset of the event that the command caused; absent when it caused none. */
  offset?: string
  runId?: string
  inputId?: string
}

/** SHA-256 of a JSON value, base64url. Equal values have equal digests, whatever the order of their keys. */
export function digest(value: unknown): string {
  const sorted = (_: string, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part
  return createHash('sha256')
    .update(JSON.stringify(value, sorted) ?? 'undefined')
    .digest('base64url')
}

/** The ack of the command that took the key first. */
export function ackOf(epoch: number, { seq, note }: KeyEntry): AckFields {
  return { ...(note as AckFields), ...(seq > 0 && { offset: offsetOf({ epoch }, seq) }) }
}

/** The ack of an earlier `run.start` with this runId. @throws TwinrailError `conflict` when its agent or input differs */
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

/**
 * The ack of an earlier answer to this question.
 * @throws TwinrailError `already-answered` when its value or sender differs; `input-expired`
 */
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
