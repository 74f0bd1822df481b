/** Makes the error that a caller gets when the log refused an append. */
import { offsetOf, sessionNotFound } from '../bus/journal.ts'
import { RUNS } from '../bus/open-limits.ts'
import { keys } from '../log/keys.ts'
import type { Appended, KeyEntry } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import type { AnswerNote, EndNote } from './key-notes.ts'

/** An append that the log refused, with the reason. */
export type RefusedAppend = Appended & { accepted: false }

/** `run-ended`. @param entry the entry of the key `end:<runId>` */
export function runEnded(epoch: number, runId: string, entry: KeyEntry): TwinrailError {
  const { type } = entry.note as EndNote
  return new TwinrailError('run-ended', 'the run has ended; start another one', {
    details: { runId, type, offset: offsetOf({ epoch }, entry.seq) },
  })
}

/** `already-answered` or `input-expired`. @param entry the entry of the key `answer:<requestId>` */
export function alreadyAnswered(epoch: number, requestId: string, entry: KeyEntry): TwinrailError {
  const note = entry.note as AnswerNote
  const offset = offsetOf({ epoch }, entry.seq)
  if ('expired' in note) {
    return new TwinrailError('input-expired', 'the question expired before it was answered', {
      details: { requestId, offset },
    })
  }
  return new TwinrailError('already-answered', 'another answer was accepted first; see details', {
    details: { requestId, offset, value: note.value, by: note.by },
  })
}

/** `conflict`: as many runs or questions are open as may be. */
export function tooManyOpen({
  tally,
  max,
  group,
  isSize,
}: RefusedAppend & { reason: 'open' }): TwinrailError {
  if (isSize) {
    return new TwinrailError(
      'conflict',
      `the session's open questions would take more than ${max} bytes of JSON; answer some first`,
      { details: { open: 'questionBytes', max } },
    )
  }
  const [holder, what, first] =
    tally === RUNS
      ? ['session', 'runs', 'end or cancel some']
      : [group === undefined ? 'session' : 'run', 'questions', 'answer some']
  return new TwinrailError(
    'conflict',
    `the ${holder} has ${max} open ${what}, which is the maximum; ${first} first`,
    { details: { open: tally, max, ...(group !== undefined && { runId: group }) } },
  )
}

/** The error for any refusal. Callers handle the refusals that are an answer of their own before they call this. */
export function refusalError(sessionId: string, refused: RefusedAppend): TwinrailError {
  switch (refused.reason) {
    case 'session':
    case 'epoch':
      // A session that was deleted and created again is a different session.
      return sessionNotFound(sessionId)
    case 'lease':
      return new TwinrailError('forbidden', 'another producer holds the lease of this run')
    case 'producer':
      return new TwinrailError(
        'conflict',
        `the producer skipped a number; send again from ${refused.expected}`,
        { details: { expected: refused.expected } },
      )
    case 'metadata':
      return new TwinrailError('unavailable', 'others change the metadata at the same time; try again')
    case 'open':
      return tooManyOpen(refused)
    case 'key': {
      const { key, entry, epoch } = refused
      const id = key.slice(key.indexOf(':') + 1)
      if (key === keys.end(id)) return runEnded(epoch, id, entry)
      if (key === keys.answer(id)) return alreadyAnswered(epoch, id, entry)
      return new TwinrailError('conflict', 'the id is already in use in this session; choose another', {
        details: { id, offset: offsetOf({ epoch }, entry.seq) },
      })
    }
  }
}
