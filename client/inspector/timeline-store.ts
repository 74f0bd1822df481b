/** A window on a session's log: it pages backwards and forwards, and follows the log while it is at its end. */
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import type { EventPage, Session, SessionEvent } from '../index.ts'
import { wordsOf } from './api.ts'
import { seqOf } from './format.ts'
import { joined, type Row, rowOf } from './rows.ts'

/** Events that one page asks for. */
const PAGE_EVENTS = 200

/** Rows in the window. Those at the other end are dropped for more: the log has them. */
const MOST_ROWS = 1000

/** New events are shown together after this time, in ms. */
const FLUSH_MS = 100

export interface TimelineState {
  readonly rows: readonly Row[]
  /** The log has older events than the first row. */
  readonly hasOlder: boolean
  /** The last row is the newest event, and new ones are added. */
  readonly isFollowing: boolean
  readonly isLoading: boolean
  readonly problem: string
  /** Why nothing more comes. */
  readonly over: string
}

const EMPTY: TimelineState = {
  rows: [],
  hasOlder: false,
  isFollowing: false,
  isLoading: true,
  problem: '',
  over: '',
}

export class TimelineStore {
  readonly #session: Session
  readonly #run: string | undefined
  readonly #listeners = new Set<() => void>()
  #state = EMPTY
  /** The `before` of the next older page. */
  #before = ''
  /** The `after` of the next newer page. */
  #after = ''
  /** Ends what is under way. */
  #leave = new AbortController()
  #fresh: TwinrailEvent[] = []
  #flushing: ReturnType<typeof setTimeout> | undefined

  /** @param run only the events of this run */
  constructor(session: Session, run: string | undefined) {
    this.#session = session
    this.#run = run
  }

  get state(): TimelineState {
    return this.#state
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Shows the newest events, and follows. */
  async newest(): Promise<void> {
    const signal = this.#anew()
    await this.#try(signal, async () => {
      const { head } = await this.#session.state()
      await this.#around(signal, offsetAfter(head))
      if (!signal.aborted) void this.#follow(signal, head)
    })
  }

  /** Shows what stands before and at this offset. */
  async at(offset: string): Promise<void> {
    const signal = this.#anew()
    await this.#try(signal, () => this.#around(signal, offsetAfter(offset)))
  }

  /** Adds a page at the beginning. */
  async older(): Promise<void> {
    const { signal } = this.#leave
    this.#change({ isLoading: true })
    await this.#try(signal, async () => {
      const page = await this.#page({ before: this.#before })
      if (signal.aborted) return
      this.#before = page.next
      const rows = joined(page.events.map(rowOf), this.#state.rows)
      const kept = rows.slice(0, MOST_ROWS)
      this.#change({ rows: kept, hasOlder: !page.caughtUp, isLoading: false })
      if (kept.length < rows.length) this.#stopFollowing(kept.at(-1)!.offset)
    })
  }

  /** Adds a page at the end; follows once that is the end of the log. */
  async newer(): Promise<void> {
    const { signal } = this.#leave
    this.#change({ isLoading: true })
    await this.#try(signal, async () => {
      const page = await this.#page({ after: this.#after })
      if (signal.aborted) return
      this.#after = page.next
      this.#append(page.events)
      this.#change({ isLoading: false })
      if (page.caughtUp) void this.#follow(signal, page.next)
    })
  }

  close(): void {
    this.#leave.abort()
    clearTimeout(this.#flushing)
  }

  async #around(signal: AbortSignal, before: string): Promise<void> {
    const page = await this.#page({ before })
    if (signal.aborted) return
    this.#before = page.next
    this.#after = offsetBefore(before)
    this.#change({ rows: joined([], page.events.map(rowOf)), hasOlder: !page.caughtUp, isLoading: false })
  }

  #page(where: { before: string } | { after: string }): Promise<EventPage> {
    return this.#session.page({ ...where, run: this.#run, limit: PAGE_EVENTS, replay: 'compact' })
  }

  async #follow(signal: AbortSignal, after: string): Promise<void> {
    this.#change({ isFollowing: true })
    await this.#try(signal, async () => {
      for await (const event of this.#session.events({ after, run: this.#run, signal })) {
        if (this.#isOver(event, signal)) return
      }
    })
  }

  /** Takes one message of the stream. Returns whether the stream is of no more use. */
  #isOver(event: SessionEvent, signal: AbortSignal): boolean {
    if (event.type === 'reset') {
      // The log is another one now.
      queueMicrotask(() => void this.newest())
      return true
    }
    if (event.type === 'end') {
      const reason = (event as { reason?: string }).reason
      const over = reason === 'deleted' ? 'The session was deleted.' : 'The run has ended.'
      this.#change({ isFollowing: false, over })
      return true
    }
    if (!('offset' in event) || !event.type.includes('.')) return signal.aborted
    this.#fresh.push(event as TwinrailEvent)
    this.#flushing ??= setTimeout(() => {
      this.#flushing = undefined
      if (!signal.aborted) this.#append(this.#fresh)
      this.#fresh = []
    }, FLUSH_MS)
    return signal.aborted
  }

  #append(events: readonly TwinrailEvent[]): void {
    const last = this.#state.rows.at(-1)?.last ?? 0
    const fresh = events.filter(({ offset }) => seqOf(offset) > last)
    const rows = joined(this.#state.rows, fresh.map(rowOf))
    const kept = rows.slice(-MOST_ROWS)
    const first = kept[0]
    if (kept.length < rows.length && first) this.#before = withSeq(first.offset, first.first)
    this.#change({ rows: kept, ...(kept.length < rows.length && { hasOlder: true }) })
  }

  #stopFollowing(after: string): void {
    this.#leave.abort()
    this.#leave = new AbortController()
    this.#after = after
    this.#change({ isFollowing: false })
  }

  #anew(): AbortSignal {
    this.#leave.abort()
    this.#leave = new AbortController()
    clearTimeout(this.#flushing)
    this.#flushing = undefined
    this.#fresh = []
    this.#change(EMPTY)
    return this.#leave.signal
  }

  async #try(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!signal.aborted) this.#change({ problem: wordsOf(error), isFollowing: false, isLoading: false })
    }
  }

  #change(change: Partial<TimelineState>): void {
    this.#state = { ...this.#state, ...change }
    for (const listener of this.#listeners) listener()
  }
}

function withSeq(offset: string, seq: number): string {
  return `${offset.slice(0, offset.indexOf('-'))}-${seq}`
}

const offsetAfter = (offset: string) => withSeq(offset, seqOf(offset) + 1)
const offsetBefore = (offset: string) => withSeq(offset, Math.max(0, seqOf(offset) - 1))
