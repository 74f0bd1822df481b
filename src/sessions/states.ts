/** Caches the states of sessions, so that a request reads only the events that are new. */
import type { Journal } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import { applyEvent, emptyState, type SessionState } from './state.ts'

/** Number of events between two snapshots in the log. */
const SNAPSHOT_EVERY = 1000

/** Number of cached states; the least recently used one is dropped first. */
const MAX_CACHED = 1000

const PAGE = { events: 10_000, bytes: 4 * 1024 * 1024 }

interface Entry {
  epoch: number
  state: SessionState
  snapshotSeq: number
  /** The last update of the state. Updates run one after the other. */
  work: Promise<unknown>
}

export class SessionStates {
  readonly #journal: Journal
  readonly #entries = new Map<string, Entry>()

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** A copy of the state that includes at least the events up to the head of `session`. */
  async get({ sessionId, epoch, head }: SessionInfo): Promise<SessionState> {
    const entry = await this.#entry(sessionId, epoch)
    const work = entry.work.then(() => this.#advance(sessionId, entry, head))
    entry.work = work.catch(() => {})
    await work
    return structuredClone(entry.state)
  }

  /**
   * Saves a snapshot if the append passed a multiple of {@link SNAPSHOT_EVERY}.
   * @param first number of the first event appended
   * @param head number of the last one
   */
  async appended(sessionId: string, epoch: number, first: number, head: number): Promise<void> {
    if (Math.floor((first - 1) / SNAPSHOT_EVERY) === Math.floor(head / SNAPSHOT_EVERY)) return
    const entry = await this.#entry(sessionId, epoch)
    const work = entry.work.then(() => this.#advance(sessionId, entry, head, true))
    entry.work = work.catch(() => {})
    await work
  }

  /** Drops the cached state of a session. */
  forget(sessionId: string): void {
    this.#entries.delete(sessionId)
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
    const state = snapshot ? structuredClone(snapshot.state as SessionState) : emptyState()
    const entry = { epoch, state, snapshotSeq: snapshot?.seq ?? 0, work: Promise.resolve() }
    const concurrent = this.#entries.get(sessionId)
    if (concurrent?.epoch === epoch) return concurrent
    this.#entries.set(sessionId, entry)
    if (this.#entries.size > MAX_CACHED) this.#entries.delete(this.#entries.keys().next().value as string)
    return entry
  }

  /** Includes the events up to `head`. @param mustSave saves a snapshot even if fewer than {@link SNAPSHOT_EVERY} are new */
  async #advance(sessionId: string, entry: Entry, head: number, mustSave = false): Promise<void> {
    const { state, epoch } = entry
    while (state.seq < head) {
      const page = await this.#journal.read(sessionId, state.seq, PAGE)
      if (!page || page.epoch !== epoch || page.events.length === 0) break
      if (page.earliest > state.seq + 1) {
        // Another process trimmed events that are not included here. Its snapshot includes them.
        const snapshot = await this.#journal.loadSnapshot(sessionId, epoch)
        if (snapshot && snapshot.seq > state.seq) {
          Object.assign(state, structuredClone(snapshot.state))
          continue
        }
      }
      for (const event of page.events) applyEvent(state, epoch, event)
    }
    if (mustSave || state.seq - entry.snapshotSeq >= SNAPSHOT_EVERY) {
      entry.snapshotSeq = state.seq
      await this.#journal.saveSnapshot(sessionId, epoch, { seq: state.seq, state: structuredClone(state) })
    }
  }
}
