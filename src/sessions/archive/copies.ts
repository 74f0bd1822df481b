/** Copies of a log's sessions, for an export. */
import type { Journal } from '../../bus/journal.ts'
import type { SessionInfo, SessionRecord, Snapshot } from '../../log/log.ts'
import { type ArchiveSession, formatOffset, TwinrailError } from '../../protocol/index.ts'

/** A session as an archive holds it. Read `events` before `records`. */
export interface SessionCopy {
  readonly session: ArchiveSession['session']
  /** The JSON of each event from `earliest` to `head`, in order. */
  readonly events: AsyncIterable<string>
  readonly records: AsyncIterable<SessionRecord>
}

/** Sessions that are read at a time. */
const LIST = 100

/** How often a copy begins again because the session was trimmed meanwhile. */
const ATTEMPTS = 10

/**
 * Copies sessions as they are when their turn comes. The log may be in use: a copy ends at the session's head of that
 * moment, and its records are those up to this head.
 * @param ids the sessions; default all, in the order of their ids
 * @throws TwinrailError `session-not-found` when one of `ids` does not exist; `conflict` when events of a session were
 * deleted or trimmed while they were read
 */
export async function* copiesOf(
  journal: Journal,
  ids?: readonly string[],
): AsyncGenerator<SessionCopy, void, void> {
  for await (const sessionId of ids ?? allIds(journal)) {
    const copy = await copyOf(journal, sessionId)
    if (copy) yield copy
    else if (ids) await journal.session(sessionId)
  }
}

async function* allIds(journal: Journal): AsyncGenerator<string, void, void> {
  for (let after: string | undefined; ; ) {
    const page = await journal.list(after, LIST)
    for (const { sessionId } of page) yield sessionId
    if (page.length === 0) return
    after = page.at(-1)?.sessionId
  }
}

async function copyOf(journal: Journal, sessionId: string): Promise<SessionCopy | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = await journal.findSession(sessionId)
    if (!before) return undefined
    const snapshot = before.earliest > 1 ? await journal.loadSnapshot(sessionId, before.epoch) : undefined
    // The head is read after the snapshot, so that it is not before it.
    const info = await journal.findSession(sessionId)
    const fits = info?.epoch === before.epoch && info.earliest <= (snapshot?.seq ?? 0) + 1
    if (info && fits) {
      return {
        session: describe(info, snapshot),
        events: eventsOf(journal, info),
        records: recordsOf(journal, info),
      }
    }
  }
  throw changed(sessionId)
}

function describe(info: SessionInfo, snapshot: Snapshot | undefined): ArchiveSession['session'] {
  const { sessionId, epoch, head, earliest, createdAt, activeAt, createdBy, metadata } = info
  return {
    sessionId,
    ...(createdBy !== undefined && { createdBy }),
    createdAt,
    activeAt,
    metadata,
    earliest: formatOffset(epoch, earliest),
    head: formatOffset(epoch, head),
    ...(snapshot && { snapshot: snapshot as ArchiveSession['session']['snapshot'] }),
  }
}

async function* eventsOf(
  journal: Journal,
  { sessionId, epoch, earliest, head }: SessionInfo,
): AsyncGenerator<string, void, void> {
  let due = earliest
  for await (const event of journal.events(sessionId, earliest - 1, head)) {
    if (event.offset !== formatOffset(epoch, due)) throw changed(sessionId)
    due++
    yield event.json
  }
  if (due <= head) throw changed(sessionId)
}

async function* recordsOf(
  journal: Journal,
  { sessionId, epoch, head }: SessionInfo,
): AsyncGenerator<SessionRecord, void, void> {
  for await (const record of journal.records(sessionId, epoch)) {
    const kept = upTo(record, head)
    if (kept) yield kept
  }
}

/** The record as it was when the session had this head, or `undefined`. */
export function upTo(record: SessionRecord, head: number): SessionRecord | undefined {
  switch (record.kind) {
    case 'key':
      return record.seq <= head ? record : undefined
    case 'tally':
      return { ...record, open: record.open.filter(({ seq }) => seq <= head) }
    case 'producer': {
      const { stretches } = record
      if (!stretches) return record
      const kept = stretches.filter(([, seq]) => seq <= head)
      const last = kept.at(-1)
      if (!last) return undefined
      const end = stretches[kept.length]?.[0] ?? record.next
      return { ...record, next: Math.min(end, last[0] + head - last[1] + 1), stretches: kept }
    }
    case 'lease':
      return record
  }
}

function changed(sessionId: string): TwinrailError {
  return new TwinrailError(
    'conflict',
    `events of the session ${sessionId} were deleted while it was exported; export it again`,
    { details: { sessionId } },
  )
}
