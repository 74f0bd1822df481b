/** Imports archives into a log. */
import type { Journal } from '../../bus/journal.ts'
import { encodeEvent, LogEvent } from '../../log/event.ts'
import type { SessionRecord } from '../../log/log.ts'
import { formatOffset, parseOffset, TwinrailError, type TwinrailEvent } from '../../protocol/index.ts'
import { FoldedState, type SessionState } from '../state.ts'
import { keyOf, keysOf, talliesOf } from './derive.ts'
import { type ArchivedSession, type ArchivePart, readArchive } from './read.ts'
import type { Progress } from './write.ts'

/** What happens with a session whose id is in use: everything is refused, the session is skipped, or it is replaced. */
export const existingModes = ['refuse', 'skip', 'replace'] as const

export interface ImportOptions {
  /** @default 'refuse' */
  existing?: (typeof existingModes)[number]
  /** Another id for the session of an archive that holds one. */
  sessionId?: string | undefined
  progress?: Progress
}

export interface Imported {
  sessions: number
  events: number
  /** Sessions that existed and were left as they are. */
  skipped: number
  /** Sessions whose epoch was in use. They have a new one, so their clients get `reset`. */
  renewed: string[]
}

/** Events and records that are appended at a time. */
const BATCH = 500

/** Characters of events that are appended at a time. */
const BATCH_CHARS = 1024 * 1024

/** The holder of a run that nobody executes. */
const NOBODY = 'imported'

/**
 * Imports all sessions of an archive, with the same ids, offsets, times and states. Keys, and how far producers have come,
 * are the same when the archive is of a log, and follow from the events when it is of a server. The archive is checked to
 * its end before the log is changed. A run that was open has a lease: when it expires, or at once if nobody held one, a
 * server ends the run as `producer-lost` or its agent resumes it.
 * @param open opens the file; it is called twice
 * @throws TwinrailError `bad-request` when the file is not as it was written; `conflict` when a session exists. When the log
 * fails in the middle of a session, that session is deleted, and the sessions before it stay
 */
export async function importArchive(
  journal: Journal,
  open: () => AsyncIterable<Uint8Array>,
  { existing = 'refuse', sessionId: as, progress = () => {} }: ImportOptions = {},
): Promise<Imported> {
  await mustBeImportable(journal, open, existing, as)
  const imported: Imported = { sessions: 0, events: 0, skipped: 0, renewed: [] }
  let hasRecords = false
  let current: Import | undefined
  for await (const part of readArchive(open())) {
    if (part.part === 'header') hasRecords = part.header.source === 'log'
    else if (part.part === 'session') {
      await current?.end()
      const session = as === undefined ? part.session : { ...part.session, sessionId: as }
      const { sessionId } = session
      if (existing === 'skip' && (await journal.findSession(sessionId))) {
        current = undefined
        imported.skipped++
        continue
      }
      if (existing === 'replace') await journal.delete(sessionId)
      current = await Import.begin(journal, session, hasRecords)
      if (current.isRenewed) imported.renewed.push(sessionId)
      progress(++imported.sessions, imported.events)
    } else if (current) {
      await current.add(part)
      if (part.part === 'event') progress(imported.sessions, ++imported.events)
    }
  }
  await current?.end()
  return imported
}

/** Reads the archive to its end. @throws TwinrailError */
async function mustBeImportable(
  journal: Journal,
  open: () => AsyncIterable<Uint8Array>,
  existing: ImportOptions['existing'],
  as: string | undefined,
): Promise<void> {
  const ids = new Set<string>()
  for await (const part of readArchive(open())) {
    if (part.part !== 'session') continue
    const sessionId = as ?? part.session.sessionId
    if (ids.has(sessionId)) {
      throw new TwinrailError(
        'bad-request',
        as === undefined
          ? `the session ${sessionId} is in the file twice`
          : 'another id can only be given to the session of a file that holds one; this file holds several',
      )
    }
    ids.add(sessionId)
    if (existing === 'refuse' && (await journal.findSession(sessionId))) {
      throw new TwinrailError(
        'conflict',
        `the session ${sessionId} exists; nothing was imported: delete it, replace or skip what exists, or import under another id`,
        { details: { sessionId } },
      )
    }
  }
}

/** The import of one session. */
class Import {
  /** Whether the session has another epoch than in the archive. */
  readonly isRenewed: boolean
  readonly #journal: Journal
  readonly #session: ArchivedSession
  readonly #epoch: number
  readonly #state: FoldedState
  readonly #hasRecords: boolean
  /** Runs with a lease. */
  readonly #leased = new Set<string>()
  #texts: string[] = []
  #chars = 0
  #records: SessionRecord[] = []

  private constructor(journal: Journal, session: ArchivedSession, epoch: number, hasRecords: boolean) {
    this.#journal = journal
    this.#session = session
    this.#epoch = epoch
    this.#hasRecords = hasRecords
    this.isRenewed = epoch !== session.epoch
    const snapshot = session.snapshot?.state as SessionState | undefined
    const seq = session.snapshot?.seq ?? 0
    this.#state = new FoldedState(snapshot && { ...inEpoch(snapshot, epoch), seq })
    if (!hasRecords && snapshot) this.#records.push(...keysOf(this.#state.snapshot()))
  }

  /** Creates the session. @throws TwinrailError `conflict` when it exists */
  static async begin(journal: Journal, session: ArchivedSession, hasRecords: boolean): Promise<Import> {
    const { sessionId, epoch, earliest, createdAt, createdBy, metadata, snapshot } = session
    const copy = { earliest, createdAt, createdBy, metadata }
    let made = await journal.restore(sessionId, { ...copy, epoch, snapshot })
    // Another session has the epoch. The offsets in the snapshot become those of the new epoch at the end.
    if (!made.restored && made.reason === 'epoch') made = await journal.restore(sessionId, copy)
    if (!made.restored) {
      throw new TwinrailError('conflict', `the session ${sessionId} was created during the import`)
    }
    return new Import(journal, session, made.epoch, hasRecords)
  }

  async add(part: ArchivePart): Promise<void> {
    try {
      if (part.part === 'event') await this.#addEvent(part.event, part.seq)
      else if (part.part === 'record') await this.#addRecord(part.record as SessionRecord)
    } catch (error) {
      throw await this.#failed(error)
    }
  }

  async end(): Promise<void> {
    try {
      await this.#append()
      const { sessionId, snapshot } = this.#session
      const state = this.#state.snapshot()
      if (!this.#hasRecords) this.#records.push(...talliesOf(state))
      for (const { runId, endOffset } of state.runs) {
        if (endOffset !== undefined || this.#leased.has(runId)) continue
        this.#records.push({ kind: 'lease', name: runId, token: NOBODY, expiresAt: Date.now() })
      }
      if (state.seq > (snapshot?.seq ?? 0) || this.isRenewed) {
        await this.#journal.saveSnapshot(sessionId, this.#epoch, { seq: state.seq, state })
      }
      await this.#write()
    } catch (error) {
      throw await this.#failed(error)
    }
  }

  async #addEvent({ runId, type, time, by, data }: TwinrailEvent, seq: number): Promise<void> {
    const text = encodeEvent({ sessionId: this.#session.sessionId, runId, type, time, by, data })
    const event = new LogEvent(this.#epoch, seq, text)
    if (seq > this.#state.seq) this.#state.add(event)
    if (!this.#hasRecords) this.#records.push(...keyOf(event.event, seq))
    this.#texts.push(text)
    this.#chars += text.length
    if (this.#texts.length >= BATCH || this.#chars >= BATCH_CHARS) await this.#append()
  }

  async #addRecord(record: SessionRecord): Promise<void> {
    await this.#append()
    if (record.kind === 'lease') this.#leased.add(record.name)
    this.#records.push(record)
    if (this.#records.length >= BATCH) await this.#write()
  }

  async #append(): Promise<void> {
    if (this.#texts.length === 0) return
    const { sessionId } = this.#session
    const appended = await this.#journal.appendTexts(sessionId, this.#texts, { epoch: this.#epoch })
    if (!appended.accepted) {
      throw new TwinrailError('conflict', `the session ${sessionId} was changed during the import`)
    }
    this.#texts = []
    this.#chars = 0
    // Leases come last.
    if (this.#records.length >= BATCH) await this.#write()
  }

  async #write(): Promise<void> {
    const { sessionId, activeAt } = this.#session
    await this.#journal.restoreRecords(sessionId, this.#epoch, this.#records, activeAt)
    this.#records = []
  }

  /** Deletes what was imported of the session. @returns the error */
  async #failed(error: unknown): Promise<unknown> {
    await this.#journal.delete(this.#session.sessionId).catch(() => {})
    return error
  }
}

/** The state with the offsets of an epoch. */
function inEpoch(state: SessionState, epoch: number): SessionState {
  const moved = (offset: string) => formatOffset(epoch, parseOffset(offset)?.seq ?? 0)
  return {
    ...state,
    runs: state.runs.map(run => ({
      ...run,
      startOffset: moved(run.startOffset),
      ...(run.endOffset !== undefined && { endOffset: moved(run.endOffset) }),
    })),
    pendingInputs: state.pendingInputs.map(input => ({ ...input, offset: moved(input.offset) })),
  }
}
