/** Keeps sessions' states at hand, so that asking for one folds only what is new. */
import type { Journal } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import { applyEvent, emptyState, type SessionState } from './state.ts'

/** Events folded before the state is kept in the log as a snapshot. */
const SNAPSHOT_EVERY = 1000

/** States held in this process; the least recently used one goes first. */
const CACHED = 1000

const PAGE = { events: 10_000, bytes: 4 * 1024 * 1024 }

interface Entry {
  epoch: number
  state: SessionState
  snapshotSeq: number
  /** The folding under way; the next one waits for it. */
  work: Promise<unknown>
}

export class SessionStates {
  readonly #journal: Journal
  readonly #entries = new Map<string, Entry>()

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** The state at least as of `session`'s head. A copy: it does not change afterwards. */
  async get({ sessionId, epoch, head }: SessionInfo): Promise<SessionState> {
    const entry = await this.#entry(sessionId, epoch)
    const work = entry.work.then(() => this.#advance(sessionId, entry, head))
    entry.work = work.catch(() => {})
    await work
    return structuredClone(entry.state)
  }

  /** Takes a snapshot when an append crossed a multiple of {@link SNAPSHOT_EVERY}; else costs nothing. */
  async appended(sessionId: string, epoch: number, first: number, head: number): Promise<void> {
    if (Math.floor((first - 1) / SNAPSHOT_EVERY) === Math.floor(head / SNAPSHOT_EVERY)) return
    const entry = await this.#entry(sessionId, epoch)
    const work = entry.work.then(() => this.#advance(sessionId, entry, head, true))
    entry.work = work.catch(() => {})
    await work
  }

  forget(sessionId: string): void {
    this.#entries.delete(sessionId)
  }

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
    const raced = this.#entries.get(sessionId)
    if (raced?.epoch === epoch) return raced
    this.#entries.set(sessionId, entry)
    if (this.#entries.size > CACHED) this.#entries.delete(this.#entries.keys().next().value as string)
    return entry
  }

  async #advance(sessionId: string, entry: Entry, head: number, keep = false): Promise<void> {
    const { state, epoch } = entry
    while (state.seq < head) {
      const page = await this.#journal.read(sessionId, state.seq, PAGE)
      if (!page || page.epoch !== epoch || page.events.length === 0) break
      if (page.earliest > state.seq + 1) {
        // Another process trimmed what was not folded here; its snapshot holds that.
        const snapshot = await this.#journal.loadSnapshot(sessionId, epoch)
        if (snapshot && snapshot.seq > state.seq) {
          Object.assign(state, structuredClone(snapshot.state))
          continue
        }
      }
      for (const event of page.events) applyEvent(state, epoch, event)
    }
    if (keep || state.seq - entry.snapshotSeq >= SNAPSHOT_EVERY) {
      entry.snapshotSeq = state.seq
      await this.#journal.saveSnapshot(sessionId, epoch, { seq: state.seq, state: structuredClone(state) })
    }
  }
}
