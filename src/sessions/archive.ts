/**
 * Export and import of a session as an NDJSON file. The first line describes the session, each further line is one
 * event as it was sent on the wire, and the last line holds the SHA-256 of all lines before it.
 */
import { createHash } from 'node:crypto'
import type { Journal } from '../bus/journal.ts'
import { encodeEvent } from '../log/event.ts'
import { keys } from '../log/keys.ts'
import type { OnceKey } from '../log/log.ts'
import {
  faultOf,
  isTerminal,
  NESTING,
  readJson,
  TwinrailError,
  type TwinrailEvent,
} from '../protocol/index.ts'
import type { AnswerNote, RunNote } from './key-notes.ts'
import { tooManyOpen } from './refused-append.ts'
import { digest } from './repeats.ts'

/** The first line of an archive. */
export interface ArchiveHeader {
  sessionId: string
  metadata: Record<string, unknown>
  head: string
  earliest: string
}

const VERSION = 1

/** Events per append of an import. */
const IMPORT_BATCH = 500

/** Yields the lines of an archive, each with its newline. @param events JSON texts, in order */
export async function* archiveLines(
  header: ArchiveHeader,
  events: AsyncIterable<string>,
): AsyncGenerator<string, void, void> {
  const hash = createHash('sha256')
  let count = 0
  const line = (text: string) => {
    hash.update(`${text}\n`)
    return `${text}\n`
  }
  yield line(JSON.stringify({ twinrail: VERSION, ...header }))
  for await (const text of events) {
    count++
    yield line(text)
  }
  yield `${JSON.stringify({ events: count, sha256: hash.digest('hex') })}\n`
}

/** Parses and verifies an archive. @throws TwinrailError `bad-request` when the file is not an archive or was changed */
export function readArchive(text: string): { header: ArchiveHeader; events: TwinrailEvent[] } {
  const end = text.trimEnd().lastIndexOf('\n') + 1
  const damaged = (why: string) =>
    new TwinrailError('bad-request', `${why}; export the session again, and import the file as it is`)
  let parts: unknown[]
  try {
    parts = text
      .trimEnd()
      .split('\n')
      // Large integers in it are as JavaScript wrote them: reading them again does not change them.
      .map(line => readJson(line, 'line').value)
  } catch {
    throw damaged('not an archive of a session: expected one JSON object per line')
  }
  const header = parts[0] as ArchiveHeader & { twinrail?: number }
  const seal = parts.at(-1) as { events?: number; sha256?: string }
  if (header?.twinrail !== VERSION)
    throw damaged(
      `expected version ${VERSION} of the archive format in the first line, got ${String(header?.twinrail)}`,
    )
  if (seal?.sha256 === undefined || end === 0)
    throw damaged('the last line is missing: the file is incomplete')
  const sha256 = createHash('sha256').update(text.slice(0, end)).digest('hex')
  if (seal.sha256 !== sha256 || seal.events !== parts.length - 2)
    throw damaged('the checksum does not match the content')
  for (const [i, part] of parts.entries()) {
    const fault = faultOf(part, NESTING)
    if (fault) throw damaged(`line ${i + 1}: ${fault.path && `${fault.path}: `}${fault.why}`)
  }
  return { header, events: parts.slice(1, -1) as TwinrailEvent[] }
}

/**
 * Creates a session from an archive, under its own id or another. Types, data, times and authors are kept; the log
 * assigns new offsets. A run that was open at the export gets `run.failed` with the code `producer-lost`.
 * @throws TwinrailError `conflict` when a session of that id exists, or when more runs or questions were open at one time
 * than may be; `bad-request` when an id occurs twice in the archive
 */
export async function importArchive(
  journal: Journal,
  { header, events }: ReturnType<typeof readArchive>,
  sessionId = header.sessionId,
): Promise<{ sessionId: string; events: number }> {
  const { created, session } = await journal.create(sessionId, header.metadata)
  if (!created) {
    throw new TwinrailError(
      'conflict',
      'a session of this id exists; delete it, or import under another id',
      {
        details: { sessionId },
      },
    )
  }
  const { epoch } = session
  const open = new Set<string>()
  for (const { type, runId } of events) {
    if (runId === undefined) continue
    if (type === 'run.started') open.add(runId)
    else if (isTerminal(type)) open.delete(runId)
  }
  const data = {
    code: 'producer-lost',
    message: 'the run was not finished when the session was exported',
    retryable: true,
  }
  const ends = [...open].map(
    runId => ({ type: 'run.failed', runId, time: Date.now(), data }) as TwinrailEvent,
  )
  const all = [...events, ...ends]
  for (let start = 0; start < all.length; start += IMPORT_BATCH) {
    const batch = all.slice(start, start + IMPORT_BATCH)
    const texts = batch.map(({ runId, type, time, by, data }) =>
      encodeEvent({ sessionId, runId, type, time, by, data }),
    )
    const appended = await journal.appendTexts(sessionId, texts, { epoch, once: batch.flatMap(keysOf) })
    if (!appended.accepted) {
      await journal.delete(sessionId)
      if (appended.reason === 'open') throw tooManyOpen(appended)
      throw new TwinrailError(
        'bad-request',
        `the archive is inconsistent, the log refused it: ${JSON.stringify(appended)}`,
      )
    }
  }
  return { sessionId, events: all.length }
}

/** The keys that the event took when it was first appended. Retries and late answers look them up. */
function keysOf(event: TwinrailEvent, index: number): OnceKey[] {
  const { runId, by = '' } = event
  switch (event.type) {
    case 'run.started': {
      const { agent, input } = event.data
      const note: RunNote = { agent, digest: digest(input), by }
      return runId === undefined ? [] : [{ key: keys.run(runId), note, index }]
    }
    case 'input.requested':
      return [{ key: keys.input(event.data.requestId), note: { runId }, index }]
    case 'input.answered': {
      const { requestId, value } = event.data
      return [{ key: keys.answer(requestId), note: { by, value } satisfies AnswerNote, index }]
    }
    case 'input.expired':
      return [{ key: keys.answer(event.data.requestId), note: { expired: true }, index }]
    default:
      return runId !== undefined && isTerminal(event.type)
        ? [{ key: keys.end(runId), note: { type: event.type }, index }]
        : []
  }
}
