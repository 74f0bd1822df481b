/** Writes archives: `src/protocol/archive.ts` has the format. */
import { createHash } from 'node:crypto'
import { ARCHIVE_VERSION, type ArchiveEnd, type ArchiveHeader } from '../../protocol/index.ts'
import type { SessionCopy } from './copies.ts'

/** Is called after each session line and each event, with how many there were so far. */
export type Progress = (sessions: number, events: number) => void

/** Yields the lines of an archive, each with its newline. */
export async function* archiveLines(
  source: ArchiveHeader['source'],
  copies: AsyncIterable<SessionCopy>,
  progress: Progress = () => {},
): AsyncGenerator<string, void, void> {
  const hash = createHash('sha256')
  const line = (text: string) => {
    const whole = `${text}\n`
    hash.update(whole)
    return whole
  }
  let sessions = 0
  let events = 0
  const header: ArchiveHeader = {
    format: 'twinrail',
    version: ARCHIVE_VERSION,
    exportedAt: Date.now(),
    source,
  }
  yield line(JSON.stringify(header))
  for await (const { session, events: texts, records } of copies) {
    yield line(JSON.stringify({ session }))
    progress(++sessions, events)
    for await (const text of texts) {
      yield line(text)
      progress(sessions, ++events)
    }
    for await (const record of records) yield line(JSON.stringify({ record }))
  }
  const end: ArchiveEnd = { end: { sessions, events, sha256: hash.digest('hex') } }
  yield `${JSON.stringify(end)}\n`
}
