/**
 * Trims sessions to the configured limits. A subscriber that misses trimmed events gets `gap`; a session's state and
 * keys stay complete.
 */
import type { Journal } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import { type Cancel, startInterval } from '../protocol/timers.ts'
import { KeyedJobs } from './keyed-jobs.ts'
import type { SessionStates } from './states.ts'

/** Limits on what each session keeps. The strictest limit applies. */
export interface RetentionLimits {
  /** Number of events. @default no limit */
  events?: number | undefined
  /** UTF-8 bytes of the events' JSON, with a tolerance of 64 KiB. @default no limit */
  bytes?: number | undefined
  /** Age of events, in ms. @default no limit */
  ageMs?: number | undefined
}

/** Interval between sweeps of the sessions that changed, in ms. */
const EVERY_MS = 5000

/** Sessions per interval that are checked for old events, whether they changed or not. */
const AGE_CHECKS = 100

/** Sessions that are swept concurrently. Each sweep may hold a page of 1 MiB. */
const SWEEPS = 8

/** The same, sweeps included that wait for a slow log. */
const MAX_SWEEPS = 64

/** Longest pause of a session whose sweep keeps failing, in intervals. */
const MAX_PAUSE_INTERVALS = 12

/** Sessions whose sizes this process remembers; the least recently used is dropped first. */
const MAX_LEDGERS = 1000

const CHUNK_BYTES = 64 * 1024
const PAGE = { events: 1000, bytes: 1024 * 1024 }

/** The sizes of a session's events, summed in chunks of at most {@link CHUNK_BYTES}. */
interface Ledger {
  epoch: number
  /** Number of the last event counted. */
  seq: number
  totalBytes: number
  /** `through` is the number of the last event of the chunk. */
  chunks: { through: number; bytes: number }[]
}

export interface RetentionParts {
  readonly journal: Journal
  readonly states: SessionStates
  readonly limits: RetentionLimits
  /** Interval between sweeps, in ms. @default 5 s */
  readonly everyMs?: number | undefined
  onError(error: unknown, about: Record<string, unknown>): void
}

export class Retention {
  readonly #parts: RetentionParts
  /** Sessions that grew since their last sweep, or whose last sweep failed. */
  readonly #changed = new Set<string>()
  readonly #ledgers = new Map<string, Ledger>()
  readonly #jobs: KeyedJobs
  readonly #stopTicking: Cancel | undefined
  #checkingAge: Promise<void> | undefined
  /** Where the next age check goes on in the list of sessions; `undefined` at its start. */
  #checkedTo: string | undefined

  constructor(parts: RetentionParts) {
    this.#parts = parts
    const { limits, everyMs = EVERY_MS } = parts
    this.#jobs = new KeyedJobs({
      concurrency: SWEEPS,
      maxConcurrency: MAX_SWEEPS,
      pauseMs: everyMs,
      maxPauseMs: MAX_PAUSE_INTERVALS * everyMs,
      onError: (error, about) => parts.onError(error, about),
    })
    const { events, bytes, ageMs } = limits
    if (events === undefined && bytes === undefined && ageMs === undefined) return
    this.#stopTicking = startInterval(everyMs, () => this.#tick(), { unref: true })
  }

  /** Notes that events were appended to the session. */
  appended(sessionId: string): void {
    if (this.#stopTicking) this.#changed.add(sessionId)
  }

  /** Stops sweeping; resolves when the sweeps under way have ended. */
  async close(): Promise<void> {
    this.#stopTicking?.()
    await this.#checkingAge
    await this.#jobs.close()
  }

  #tick(): void {
    for (const sessionId of this.#changed) this.#sweep(sessionId)
    if (this.#parts.limits.ageMs === undefined) return
    this.#checkingAge ??= this.#checkAge()
      .catch(error => this.#parts.onError(error, { after: this.#checkedTo }))
      .finally(() => {
        this.#checkingAge = undefined
      })
  }

  /** Sweeps the next sessions of the list: events also grow old in sessions that do not change. */
  async #checkAge(): Promise<void> {
    const sessions = await this.#parts.journal.list(this.#checkedTo, AGE_CHECKS)
    this.#checkedTo = sessions.length < AGE_CHECKS ? undefined : sessions.at(-1)?.sessionId
    for (const { sessionId } of sessions) this.#sweep(sessionId)
  }

  /** Queues a sweep of the session. It stays in `#changed` until the sweep begins, and returns there if the sweep fails. */
  #sweep(sessionId: string): void {
    this.#jobs.start(sessionId, { sessionId }, async () => {
      this.#changed.delete(sessionId)
      try {
        const session = await this.#parts.journal.findSession(sessionId)
        if (session) await this.#apply(session)
      } catch (error) {
        this.#changed.add(sessionId)
        throw error
      }
    })
  }

  async #apply(session: SessionInfo): Promise<void> {
    const { journal, states, limits } = this.#parts
    const { sessionId, epoch, head, earliest } = session
    const through = Math.max(
      limits.events === undefined ? 0 : head - limits.events,
      limits.bytes === undefined ? 0 : await this.#lastBeyondSize(session, limits.bytes),
      limits.ageMs === undefined ? 0 : await this.#lastBefore(session, Date.now() - limits.ageMs),
    )
    if (through < earliest) return
    const state = await states.get(session)
    if (state.seq >= through) await journal.trim(sessionId, epoch, through, { seq: state.seq, state })
  }

  /** Number of the last event that must go for the rest to fit into `bytes`; 0 when all fit. */
  async #lastBeyondSize({ sessionId, epoch, head, earliest }: SessionInfo, bytes: number): Promise<number> {
    let ledger = this.#ledgers.get(sessionId)
    if (ledger?.epoch !== epoch) ledger = { epoch, seq: 0, totalBytes: 0, chunks: [] }
    this.#ledgers.delete(sessionId)
    this.#ledgers.set(sessionId, ledger)
    if (this.#ledgers.size > MAX_LEDGERS) this.#ledgers.delete(this.#ledgers.keys().next().value as string)

    while (ledger.seq < head) {
      const page = await this.#parts.journal.read(sessionId, ledger.seq, PAGE)
      if (!page || page.epoch !== epoch || page.events.length === 0) break
      for (const event of page.events) {
        const last = ledger.chunks.at(-1)
        if (last && last.bytes + event.bytes <= CHUNK_BYTES) {
          last.bytes += event.bytes
          last.through = event.seq
        } else {
          ledger.chunks.push({ through: event.seq, bytes: event.bytes })
        }
        ledger.totalBytes += event.bytes
        ledger.seq = event.seq
      }
    }
    let through = 0
    for (let oldest = ledger.chunks[0]; oldest; oldest = ledger.chunks[0]) {
      const isTrimmed = oldest.through < earliest
      if (!isTrimmed && ledger.totalBytes - oldest.bytes < bytes) break
      ledger.chunks.shift()
      ledger.totalBytes -= oldest.bytes
      if (!isTrimmed) through = oldest.through
    }
    return through
  }

  /** Number of the last event before `time` (ms since 1970), by binary search; 0 when all events are younger. */
  async #lastBefore({ sessionId, head, earliest }: SessionInfo, time: number): Promise<number> {
    const isOld = async (seq: number) => {
      const event = await this.#parts.journal.event(sessionId, seq)
      return event !== undefined && event.event.time < time
    }
    if (head < earliest || !(await isOld(earliest))) return 0
    let old = earliest
    for (let young = head + 1; old + 1 < young; ) {
      const middle = Math.floor((old + young) / 2)
      if (await isOld(middle)) old = middle
      else young = middle
    }
    return old
  }
}
