/** Refused appends, told to who asked. */
import { offsetOf, sessionNotFound } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { Appended, KeyEntry } from '../log/log.ts'
import { type OnNoViewers, TwinrailError } from '../protocol/index.ts'

/** What stands under `end:<runId>`. */
export interface EndNote {
  type: string
}

/** What stands under `answer:<requestId>`. */
export type AnswerNote = { by: string; value: unknown } | { expired: true }

/** What stands under `run:<runId>`. */
export interface RunNote {
  agent: string
  /** Tells the same input again without holding it. */
  digest: string
  by: string
  /** What happens when nobody watches; absent: it goes on. */
  onNoViewers?: OnNoViewers
  /** A producer outside opened it by ingest. */
  external?: boolean
}

export function runEnded(epoch: number, runId: string, entry: KeyEntry): TwinrailError {
  const { type } = entry.note as EndNote
  return new TwinrailError('run-ended', 'the run has ended; start another one', {
    details: { runId, type, offset: offsetOf({ epoch }, entry.seq) },
  })
}

export function alreadyAnswered(epoch: number, requestId: string, entry: KeyEntry): TwinrailError {
  const note = entry.note as AnswerNote
  const offset = offsetOf({ epoch }, entry.seq)
  if ('expired' in note) {
    return new TwinrailError('input-expired', 'the question expired before an answer came', {
      details: { requestId, offset },
    })
  }
  return new TwinrailError('already-answered', 'another answer was first', {
    details: { requestId, offset, value: note.value, by: note.by },
  })
}

/** A refusal for a reason that the caller did not expect itself. */
export function refused(sessionId: string, appended: Appended & { accepted: false }): TwinrailError {
  switch (appended.reason) {
    case 'session':
    case 'epoch':
      // A session that was deleted and made again is another one.
      return sessionNotFound(sessionId)
    case 'lease':
      return new TwinrailError('forbidden', 'the run belongs to another producer')
    case 'producer':
      return new TwinrailError(
        'conflict',
        `the producer's numbers have a hole; send from ${appended.expected} on`,
        { details: { expected: appended.expected } },
      )
    case 'key': {
      const { key, entry, epoch } = appended
      const id = key.slice(key.indexOf(':') + 1)
      if (key === keys.end(id)) return runEnded(epoch, id, entry)
      if (key === keys.answer(id)) return alreadyAnswered(epoch, id, entry)
      return new TwinrailError('conflict', 'the id is already in use in this session', {
        details: { id, offset: offsetOf({ epoch }, entry.seq) },
      })
    }
  }
}
