/** How much of a session's log is kept. What goes is told to subscribers by `gap`; state and keys stay complete. */
import type { Journal } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import { type Cancel, startInterval } from '../protocol/timers.ts'
import { SeparateJobs } from './separate-jobs.ts'
import type { SessionStates } from './states.ts'

/** Bounds on what each session keeps; the strictest counts. */
export interface RetentionLimits {
  /** Newest events. @default all */
  events?: number | undefined
  /** UTF-8 bytes of the newest events' JSON, give or take 64 KiB. @default all */
  bytes?: number | undefined
  /** Events that are not older, in ms. @default all */
  ageMs?: number | undefined
}

/** When sessions that changed are looked at, in ms. */
const EVERY_MS = 5000

/** Idle sessions whose events are checked for their age per sweep. */
const WALK = 100

/** Each may hold a page of 1 MiB. */
const SWEEP_AT_ONCE = 8

/** Sessions that are swept at the same time, those included whose log is slow to answer. */
const SWEEP_AT_MOST = 64

/** A session whose sweep keeps failing is tried again after at most so many rounds. */
const MAX_PAUSE_ROUNDS = 12

/** Sessions whose sizes are held in this process. */
const LEDGERS = 1000

const CHUNK_BYTES = 64 * 1024
const PAGE = { events: 1000, bytes: 1024 * 1024 }

/** Sizes of what a session holds, in stretches. */
interface Ledger {
  epoch: number
  /** Number of the last event counted. */
  seq: number
  total: number
  chunks: { through: number; bytes: number }[]
}

export interface RetentionParts {
  readonly journal: Journal
  readonly states: SessionStates
  readonly limits: RetentionLimits
  /** @default 5 s */
  readonly everyMs?: number | undefined
  onError(error: unknown, about: Record<string, unknown>): void
}

export class Retention {
  readonly #parts: RetentionParts
  /** Sessions that changed, or whose last sweep failed. */
  readonly #touched = new Set<string>()
  readonly #ledgers = new Map<string, Ledger>()
  readonly #jobs: SeparateJobs
  readonly #stopTicking: Cancel | undefined
  #walking: Promise<void> | undefined
  #walkedTo: string | undefined

  constructor(parts: RetentionParts) {
    this.#parts = parts
    const { limits, everyMs = EVERY_MS } = parts
    this.#jobs = new SeparateJobs({
      atOnce: SWEEP_AT_ONCE,
      atMost: SWEEP_AT_MOST,
      pauseMs: everyMs,
      maxPauseMs: MAX_PAUSE_ROUNDS * everyMs,
      onError: (error, about) => parts.onError(error, about),
    })
    const { events, bytes, ageMs } = limits
    if (events === undefined && bytes === undefined && ageMs === undefined) return
    this.#stopTicking = startInterval(everyMs, () => this.#tick(), { unref: true })
  }

  /** The session grew. */
  touched(sessionId: string): void {
    if (this.#stopTicking) this.#touched.add(sessionId)
  }

  async close(): Promise<void> {
    this.#stopTicking?.()
    await this.#walking
    await this.#jobs.close()
  }

  #tick(): void {
    for (const sessionId of this.#touched) this.#sweep(sessionId)
    if (this.#parts.limits.ageMs === undefined) return
    this.#walking ??= this.#walk()
      .catch(error => this.#parts.onError(error, { after: this.#walkedTo }))
      .finally(() => {
        this.#walking = undefined
      })
  }

  /** Sessions that nobody touches grow older, too. */
  async #walk(): Promise<void> {
    const walked = await this.#parts.journal.list(this.#walkedTo, WALK)
    this.#walkedTo = walked.length < WALK ? undefined : walked.at(-1)?.sessionId
    for (const { sessionId } of walked) this.#sweep(sessionId)
  }

  /** Sweeps the session soon. It counts as touched until then, and again when that fails. */
  #sweep(sessionId: string): void {
    this.#jobs.start(sessionId, { sessionId }, async () => {
      this.#touched.delete(sessionId)
      try {
        const session = await this.#parts.journal.findSession(sessionId)
        if (session) await this.#apply(session)
      } catch (error) {
        this.#touched.add(sessionId)
        throw error
      }
    })
  }

  async #apply(session: SessionInfo): Promise<void> {
    const { journal, states, limits } = this.#parts
    const { sessionId, epoch, head, earliest } = session
    const through = Math.max(
      limits.events === undefined ? 0 : head - limits.events,
      limits.bytes === undefined ? 0 : await this.#beyond(session, limits.bytes),
      limits.ageMs === undefined ? 0 : await this.#before(session, Date.now() - limits.ageMs),
    )
    if (through < earliest) return
    const state = await states.get(session)
    if (state.seq >= through) await journal.trim(sessionId, epoch, through, { seq: state.seq, state })
  }

  /** Number of the last event that is too many, by size; 0 when none is. */
  async #beyond({ sessionId, epoch, head, earliest }: SessionInfo, bytes: number): Promise<number> {
    let ledger = this.#ledgers.get(sessionId)
    if (ledger?.epoch !== epoch) ledger = { epoch, seq: 0, total: 0, chunks: [] }
    this.#ledgers.delete(sessionId)
    this.#ledgers.set(sessionId, ledger)
    if (this.#ledgers.size > LEDGERS) this.#ledgers.delete(this.#ledgers.keys().next().value as string)

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
        ledger.total += event.bytes
        ledger.seq = event.seq
      }
    }
    let through = 0
    for (let oldest = ledger.chunks[0]; oldest; oldest = ledger.chunks[0]) {
      const isGone = oldest.through < earliest
      if (!isGone && ledger.total - oldest.bytes < bytes) break
      ledger.chunks.shift()
      ledger.total -= oldest.bytes
      if (!isGone) through = oldest.through
    }
    return through
  }

  /** Number of the last event before that time; 0 when all are younger. Looks at log₂ of them. */
  async #before({ sessionId, head, earliest }: SessionInfo, time: number): Promise<number> {
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
