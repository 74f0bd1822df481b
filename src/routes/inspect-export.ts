/** One session as a file that `twinrail import` reads; see `src/protocol/archive.ts`. */
import { createHash } from 'node:crypto'
import { type Journal, offsetOf } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import { ARCHIVE_VERSION, type ArchiveHeader, type ArchiveSession } from '../protocol/archive.ts'

/** Size of the pieces that the file is sent in, in UTF-16 units. One event may be larger. */
const PIECE_CHARS = 64 * 1024

/**
 * The bytes of the file, piece by piece; at most one page of the log is in memory. Its events are those that the session
 * has now.
 * @throws Error when the session is deleted or trimmed meanwhile: the file has no `end` line then
 */
export async function* archiveOf(journal: Journal, found: SessionInfo): AsyncGenerator<Buffer, void, void> {
  const { sessionId, epoch } = found
  const snapshot = found.earliest > 1 ? await journal.loadSnapshot(sessionId, epoch) : undefined
  // The head is read after the snapshot, so that it is not before it.
  const session = await journal.session(sessionId)
  const { earliest, head, createdBy, createdAt, activeAt, metadata } = session
  if (session.epoch !== epoch || earliest > (snapshot?.seq ?? 0) + 1) throw changed(sessionId)
  const digest = createHash('sha256')
  let piece = ''
  const flush = () => {
    const bytes = Buffer.from(piece)
    piece = ''
    digest.update(bytes)
    return bytes
  }
  const header: ArchiveHeader = {
    format: 'twinrail',
    version: ARCHIVE_VERSION,
    exportedAt: Date.now(),
    source: 'server',
  }
  const about: ArchiveSession = {
    session: {
      sessionId,
      ...(createdBy !== undefined && { createdBy }),
      createdAt,
      activeAt,
      metadata,
      earliest: offsetOf(session, earliest),
      head: offsetOf(session, head),
      ...(snapshot && { snapshot: { seq: snapshot.seq, state: snapshot.state } }),
    },
  }
  piece = `${JSON.stringify(header)}\n${JSON.stringify(about)}\n`
  let next = earliest
  for await (const { offset, json } of journal.events(sessionId, earliest - 1, head)) {
    if (offset !== offsetOf(session, next)) throw changed(sessionId)
    next++
    piece += `${json}\n`
    if (piece.length >= PIECE_CHARS) yield flush()
  }
  if (next !== head + 1) throw changed(sessionId)
  yield flush()
  const end = { sessions: 1, events: head + 1 - earliest, sha256: digest.digest('hex') }
  yield Buffer.from(`${JSON.stringify({ end })}\n`)
}

function changed(sessionId: string): Error {
  return new Error(`the session ${sessionId} was deleted or trimmed while it was exported`)
}
