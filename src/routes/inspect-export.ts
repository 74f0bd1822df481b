/** One session as a file that `twinrail import` reads; see `src/protocol/archive.ts`. */
import type { Journal } from '../bus/journal.ts'
import { copiesOf, type SessionCopy } from '../sessions/archive/copies.ts'
import { archiveLines } from '../sessions/archive/write.ts'

/** Size of the pieces that the file is sent in, in UTF-16 units. One event may be larger. */
const PIECE_CHARS = 64 * 1024

/**
 * The bytes of the file, piece by piece; at most one page of the log is in memory. Its events are those that the session
 * has when it begins.
 * @throws TwinrailError `conflict` when the session is deleted or trimmed meanwhile: the file has no `end` line then
 */
export async function* archiveOf(journal: Journal, sessionId: string): AsyncGenerator<Buffer, void, void> {
  let piece = ''
  for await (const line of archiveLines('server', withoutRecords(journal, sessionId))) {
    piece += line
    if (piece.length < PIECE_CHARS) continue
    yield Buffer.from(piece)
    piece = ''
  }
  yield Buffer.from(piece)
}

/** The records hold tokens of leases, which whoever may read events must not have. */
async function* withoutRecords(journal: Journal, sessionId: string): AsyncGenerator<SessionCopy, void, void> {
  for await (const copy of copiesOf(journal, [sessionId])) yield { ...copy, records: none() }
}

async function* none(): AsyncGenerator<never, void, void> {}
