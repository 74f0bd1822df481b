/** Caches the states of sessions, so that a request reads only the events that are new. */
import type { Journal } from '../bus/journal.ts'
import { shareLoop } from '../bus/share-loop.ts'
import type { SessionInfo } from '../log/log.ts'
import { FoldedState, type PendingInput, type SessionState } from './state.ts'

/** Number of events between two snapshots in the log. */
const SNAPSHOT_EVERY = 1000

/** Number of cached states; the least recently used one is dropped first. */
const MAX_CACHED = 1000

/** Memory of all cached states, in bytes. One alone may be larger. */
const MAX_CACHED_BYTES = 64 * 1024 * 1024

const PAGE = { events: 1000, bytes: 1024 * 1024 }

interface Entry {
  epoch: number
  state: FoldedState
  /** What the state was last counted with, see {@link MAX_CACHED_BYTES}. */
  bytes: number
  snapshotSeq: number
  /** The last update of the state. Updates run one after the other. */
  work: Promise<unknown>
}

export class SessionStates {
  readonly #journal: Journal
  readonly #entries = new Map<string, Entry>()
  /** Bytes of all cached states. */
  #bytes = 0

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** The state that includes at least the events up to the head of `session`. It does not change afterwards. */
  async get(session: SessionInfo): Promise<SessionState> {
    return (await this.#current(session)).snapshot()
  }

  /** A question that waits for its answer, as of the head of `session`; `undefined` when there is none of that id. */
  async pendingInput(session: SessionInfo, requestId: string): Promise<PendingInput | undefined> {
    return (await this.#current(session)).pendingInput(requestId)
  }

  /**
   * Saves a snapshot if the append passed a multiple of {@link SNAPSHOT_EVERY}.
   * @param first number of the first event appended
   * @param head number of the last one
   */
  async appended(sessionId: string, epoch: number, first: number, head: number): Promise<void> {
    if (Math.floor((first - 1) / SNAPSHOT_EVERY) === Math.floor(head / SNAPSHOT_EVERY)) return
    const entry = await this.#entry(sessionId, epoch)
    await this.#update(sessionId, entry, head, true)
  }

  /** Drops the cached state of a session. */
  forget(sessionId: string): void {
    this.#bytes -= this.#entries.get(sessionId)?.bytes ?? 0
    this.#entries.delete(sessionId)
  }

  async #current({ sessionId, epoch, head }: SessionInfo): Promise<FoldedState> {
    const entry = await this.#entry(sessionId, epoch)
    await this.#update(sessionId, entry, head)
    return entry.state
  }

  /** The cached entry, or one made from the latest snapshot. */
  async #entry(sessionId: string, epoch: number): Promise<Entry> {
    const known = this.#entries.get(sessionId)
    if (known?.epoch === epoch) {
      this.#entries.delete(sessionId)
      this.#entries.set(sessionId, known)
      return known
    }
    const snapshot = await this.#journal.loadSnapshot(sessionId, epoch)
    const state = new FoldedState(snapshot?.state as SessionState | undefined)
    const entry = { epoch, state, bytes: 0, snapshotSeq: snapshot?.seq ?? 0, work: Promise.resolve() }
    const concurrent = this.#entries.get(sessionId)
    if (concurrent?.epoch === epoch) return concurrent
    this.forget(sessionId)
    this.#entries.set(sessionId, entry)
    return entry
  }

  /** Brings the state up to `head`, after the updates that are under way, and counts it anew. */
  async #update(sessionId: string, entry: Entry, head: number, mustSave = false): Promise<void> {
    const work = entry.work.then(() => this.#advance(sessionId, entry, head, mustSave))
    entry.work = work.catch(() => {})
    await work
    if (this.#entries.get(sessionId) !== entry) return
    this.#bytes += entry.state.bytes - entry.bytes
    entry.bytes = entry.state.bytes
    for (const oldest of this.#entries.keys()) {
      const isOver = this.#bytes > MAX_CACHED_BYTES || this.#entries.size > MAX_CACHED
      if (!isOver || oldest === sessionId) return
      this.forget(oldest)
    }
  }

  /** Includes the events up to `head`. @param mustSave saves a snapshot even if fewer than {@link SNAPSHOT_EVERY} are new */
  async #advance(sessionId: string, entry: Entry, head: number, mustSave = false): Promise<void> {
    const { epoch } = entry
    const sharing = shareLoop()
    while (entry.state.seq < head) {
      const page = await this.#journal.read(sessionId, entry.state.seq, PAGE)
      if (!page || page.epoch !== epoch || page.events.length === 0) break
      if (page.earliest > entry.state.seq + 1) {
        // Another process trimmed events that are not included here. Its snapshot includes them.
        const snapshot = await this.#journal.loadSnapshot(sessionId, epoch)
        if (snapshot && snapshot.seq > entry.state.seq) {
          entry.state = new FoldedState(snapshot.state as SessionState)
          continue
        }
      }
      for (const event of page.events) {
        entry.state.add(event)
        const pause = sharing()
        if (pause) await pause
      }
    }
    const { seq } = entry.state
    if (mustSave || seq - entry.snapshotSeq >= SNAPSHOT_EVERY) {
      entry.snapshotSeq = seq
      await this.#journal.saveSnapshot(sessionId, epoch, { seq, state: entry.state.snapshot() })
    }
  }
}
