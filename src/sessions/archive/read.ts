/** Reads and checks archives: `src/protocol/archive.ts` has the format. */
import { createHash } from 'node:crypto'
import {
  ARCHIVE_LINE_BYTES,
  ARCHIVE_VERSION,
  ArchiveEnd,
  ArchiveHeader,
  ArchiveRecord,
  ArchiveSession,
  check,
  EventSchema,
  formatOffset,
  limits,
  type Position,
  parseOffset,
  readJson,
  TwinrailError,
  type TwinrailEvent,
} from '../../protocol/index.ts'

/** A part of an archive. A session's events come after it, and its records after them. */
export type ArchivePart =
  | { readonly part: 'header'; readonly header: ArchiveHeader }
  | { readonly part: 'session'; readonly session: ArchivedSession }
  | { readonly part: 'event'; readonly event: TwinrailEvent; readonly seq: number }
  | { readonly part: 'record'; readonly record: ArchiveRecord['record'] }

/** A session line, with its range as numbers. */
export interface ArchivedSession extends Omit<NonNullable<ArchiveSession['session']>, 'head' | 'earliest'> {
  readonly epoch: number
  readonly head: number
  readonly earliest: number
}

/** What the offset and the name of its field add to the bytes of an event. */
const OFFSET_BYTES = 128

/**
 * Yields the parts of an archive, each checked: the shape of each line, that each session has all events from `earliest` to
 * `head` in order, and at the end the counts and the digest. A caller that must not begin with a damaged archive reads it
 * to the end first.
 * @throws TwinrailError `bad-request` with the number of the line; `too-large` for a line or an event over its limit
 */
export async function* readArchive(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ArchivePart, void, void> {
  const hash = createHash('sha256')
  const counts = { sessions: 0, events: 0 }
  let number = 0
  let session: ArchivedSession | undefined
  /** Number of the next event of the session. */
  let due = 1
  let hasRecords = false
  let end: ArchiveEnd['end'] | undefined

  const damaged = (why: string) => broken(number === 0 ? why : `line ${number}: ${why}`)
  const mustBeWhole = () => {
    if (!session || due > session.head) return
    throw damaged(`the session ${session.sessionId} has no event ${formatOffset(session.epoch, due)}`)
  }

  for await (const line of linesOf(chunks)) {
    number++
    if (end) throw damaged('there is something behind the end')
    const what = `line ${number}`
    let value: unknown
    try {
      // Large integers in it are as JavaScript wrote them: reading them again does not change them.
      value = readJson(line.toString('utf8'), what).value
    } catch (error) {
      throw damaged((error as Error).message.replace(`${what}: `, ''))
    }
    const parsed = <S extends Parameters<typeof check>[0]>(schema: S) => {
      try {
        return check(schema, value, what)
      } catch (error) {
        throw broken((error as Error).message)
      }
    }
    const [first] = Object.keys(value !== null && typeof value === 'object' ? value : {})
    if (number === 1) {
      mustBeHeader(value)
      yield { part: 'header', header: parsed(ArchiveHeader) as ArchiveHeader }
    } else if (first === 'session') {
      mustBeWhole()
      session = rangeOf((parsed(ArchiveSession) as ArchiveSession).session, damaged)
      due = session.earliest
      hasRecords = false
      counts.sessions++
      yield { part: 'session', session }
    } else if (first === 'offset') {
      if (line.length > limits.eventBytes + OFFSET_BYTES) {
        throw new TwinrailError('too-large', `${what}: an event has at most ${limits.eventBytes} bytes`)
      }
      const event = parsed(EventSchema) as TwinrailEvent
      if (!session) throw damaged(`expected a session here, got the event ${event.offset}`)
      const isDue = !hasRecords && due <= session.head
      const expected = isDue ? formatOffset(session.epoch, due) : 'no event'
      if (event.offset !== expected) {
        throw damaged(`expected ${expected} here, got the event ${event.offset}`)
      }
      if (event.sessionId !== session.sessionId) {
        throw damaged(`the event is of the session ${event.sessionId}, not of ${session.sessionId}`)
      }
      counts.events++
      yield { part: 'event', event, seq: due++ }
    } else if (first === 'record') {
      mustBeWhole()
      if (!session) throw damaged('a record before the first session')
      hasRecords = true
      yield { part: 'record', record: (parsed(ArchiveRecord) as ArchiveRecord).record }
    } else if (first === 'end') {
      mustBeWhole()
      end = (parsed(ArchiveEnd) as ArchiveEnd).end
    } else {
      throw damaged('expected a line that begins with session, offset, record or end')
    }
    if (!end) hash.update(line).update('\n')
  }
  number = 0
  if (!end) throw damaged('the last line is missing: the file is incomplete')
  if (end.sha256 !== hash.digest('hex')) throw damaged('the checksum does not match the content')
  if (end.sessions !== counts.sessions || end.events !== counts.events) {
    throw damaged('the last line counts other sessions or events than there are')
  }
}

function mustBeHeader(value: unknown): void {
  const { format, version } = (value ?? {}) as { format?: unknown; version?: unknown }
  if (format !== 'twinrail') throw broken('the first line is not that of a file of twinrail export')
  if (version !== ARCHIVE_VERSION) {
    throw broken(`the file has version ${String(version)} of the format, expected ${ARCHIVE_VERSION}`)
  }
}

function rangeOf(
  { head, earliest, ...session }: ArchiveSession['session'],
  damaged: (why: string) => Error,
): ArchivedSession {
  const [last, first] = [parseOffset(head), parseOffset(earliest)] as [Position, Position]
  if (last.epoch !== first.epoch) throw damaged('head and earliest have different epochs')
  if (first.seq < 1 || first.seq > last.seq + 1) throw damaged(`earliest ${earliest} is behind head ${head}`)
  const reached = session.snapshot?.seq ?? 0
  if (first.seq > reached + 1 || reached > last.seq) {
    throw damaged('the snapshot does not reach the first event, or reaches behind the last one')
  }
  return { ...session, epoch: last.epoch, head: last.seq, earliest: first.seq }
}

function broken(why: string): TwinrailError {
  return new TwinrailError('bad-request', `${why}; export again, and import the file as it is`)
}

const NEWLINE = 10

/** The lines of a stream, without their newlines. @throws TwinrailError `too-large` */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  let parts: Buffer[] = []
  let size = 0
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let start = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...parts, bytes.subarray(start, end)])
      parts = []
      size = 0
      start = end + 1
    }
    if (start === bytes.length) continue
    // A copy: the stream may use the chunk's memory again.
    parts.push(Buffer.from(bytes.subarray(start)))
    size += bytes.length - start
    if (size > ARCHIVE_LINE_BYTES) {
      throw new TwinrailError(
        'too-large',
        `a line has more than ${ARCHIVE_LINE_BYTES} bytes; the file is no export`,
      )
    }
  }
  if (size > 0) throw broken('the last line is incomplete')
}
