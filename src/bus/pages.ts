/** Pages of a session's log for subscribers that catch up: read from the ring or the log, folded and encoded once, and shared. */
import type { LogEvent } from '../log/event.ts'
import type { Encoding } from './encoding.ts'
import { fold } from './fold.ts'
import type { Journal } from './journal.ts'
import { areLarge } from './large-events.ts'
import type { KeptPage, PageBudget } from './page-budget.ts'
import type { Ring } from './ring.ts'

/** The events that a subscriber gets next. */
export interface CatchUpPage {
  /** In order; folded if that was asked for. */
  readonly events: readonly LogEvent[]
  /** Number of the last event that the page covers. */
  readonly last: number
  /** UTF-16 units of the events it covers, before folding. */
  readonly covered: number
  /** Number of the oldest event that the log held; greater than the first wanted where some were trimmed. */
  readonly earliest: number
  /** The page in a wire's form; made once, for all subscribers that share the page. */
  encoded<B>(encoding: Encoding<B>): B
}

/** Raw events of one page, at the most. */
const PAGE_EVENTS = 1000

/** UTF-16 units of one page's raw events, at the most: what one subscriber may have waiting in its socket. */
const PAGE_BYTES = 64 * 1024

/**
 * Shared pages end at multiples of this number, so that subscribers with different cursors come to share them. The first
 * of twenty may have finished before the last begins, so a page is kept for as long as there is room. Twenty subscribers
 * that are 170,000 events behind cost 1.4 to 1.7 times the CPU of one; with only the last 32 pages kept, 2.3 to 2.8.
 */
const SHARED_EVENTS = 2048

/** UTF-16 units of raw events behind one shared page. */
const SHARED_BYTES = 1024 * 1024

/** A page that is larger than this once folded is not shared: it would be too much for a slow socket at once. */
const SHARED_FOLDED_BYTES = 128 * 1024

/** Memory of a kept page: bytes for its objects, and bytes per unit of text, which is held as a string and for two wires. */
const KEPT = { own: 1024, ofText: 3 }

class Page implements CatchUpPage {
  readonly events: readonly LogEvent[]
  readonly last: number
  readonly covered: number
  readonly earliest: number
  #encoded: { name: string; bytes: unknown }[] = []
  #folded: Page | undefined

  constructor(events: readonly LogEvent[], last: number, covered: number, earliest: number) {
    this.events = events
    this.last = last
    this.covered = covered
    this.earliest = earliest
  }

  /** The page, folded; made once. */
  folded(epoch: number): Page {
    this.#folded ??= this.#fold(epoch)
    return this.#folded
  }

  /** Where nothing was joined it is the page itself, so that its bytes are made and kept once. */
  #fold(epoch: number): Page {
    const events = fold(epoch, this.events)
    return events.length === this.events.length
      ? this
      : new Page(events, this.last, this.covered, this.earliest)
  }

  encoded<B>(encoding: Encoding<B>): B {
    const known = this.#encoded.find(({ name }) => name === encoding.name)
    if (known) return known.bytes as B
    const bytes = encoding.events(this.events)
    this.#encoded.push({ name: encoding.name, bytes })
    return bytes
  }
}

const sizeOf = (events: readonly LogEvent[]) => events.reduce((sum, event) => sum + event.json.length, 0)

/** @param page nothing where only a note is kept that it was read */
const keptPage = (page: Page | undefined, drop: () => void): KeptPage => ({
  bytes: KEPT.own + KEPT.ofText * (page ? sizeOf(page.events) : 0),
  drop,
})

/** The first events that fit a page; at least one. */
function fitting(events: readonly LogEvent[]): readonly LogEvent[] {
  let bytes = 0
  const end = events.findIndex((event, i) => {
    bytes += event.json.length
    return i > 0 && (i >= PAGE_EVENTS || bytes > PAGE_BYTES)
  })
  return end < 0 ? events : events.slice(0, end)
}

/** A page that is being read or kept, or was read once. */
interface Reading {
  /** Absent where the page was read for one subscriber and not kept. */
  page: Promise<Page | undefined> | undefined
  /** The number up to which it is read. */
  readonly through: number
  /** Whether a second subscriber asked for it. */
  wanted: boolean
  kept: KeptPage | undefined
}

/** A page that is being made or kept. `undefined` records that the page is too large to be shared. */
interface SharedPage {
  readonly page: Promise<Page | undefined>
  kept: KeptPage | undefined
}

export class Pages {
  readonly #journal: Pick<Journal, 'read'>
  readonly #sessionId: string
  readonly #ring: Ring
  readonly #budget: PageBudget
  /** By the number they begin after. */
  readonly #shared = new Map<number, SharedPage>()
  /** The same, of pages that end anywhere. */
  readonly #reading = new Map<number, Reading>()

  constructor(journal: Pick<Journal, 'read'>, sessionId: string, ring: Ring, budget: PageBudget) {
    this.#journal = journal
    this.#sessionId = sessionId
    this.#ring = ring
    this.#budget = budget
  }

  /**
   * The page after `cursor`, at most up to `through`; `undefined` when the session was deleted, or is of another epoch. Pages
   * from the ring come at once, without a turn in between. Those from the log are shared by subscribers at the same cursor.
   */
  raw(epoch: number, cursor: number, through: number): Page | Promise<Page | undefined> {
    const held = this.#ring.after(cursor, through)
    if (held) {
      const events = fitting(held)
      return new Page(events, events.at(-1)?.seq ?? through, sizeOf(events), 0)
    }
    return this.#readTogether(epoch, cursor, through)
  }

  /** As `raw`, folded. Long backlogs come in pages that all subscribers share. */
  async folded(epoch: number, cursor: number, through: number): Promise<Page | undefined> {
    const boundary = (Math.floor(cursor / SHARED_EVENTS) + 1) * SHARED_EVENTS
    if (cursor % SHARED_EVENTS === 0 && boundary <= through) {
      const page = await this.#sharedPage(epoch, cursor, boundary)
      if (page) return page
    }
    const page = await this.raw(epoch, cursor, Math.min(boundary, through))
    return page?.folded(epoch)
  }

  /** Drops all shared pages. */
  close(): void {
    for (const pages of [this.#shared, this.#reading]) {
      for (const { kept } of pages.values()) if (kept) this.#budget.release(kept)
      pages.clear()
    }
  }

  /**
   * Subscribers at the same cursor share a page while it is being read. After that a page is kept only where its events
   * are large and a second subscriber asked for it: each reading and each encoding of it is garbage until V8's next full
   * collection, some 100 MB of it where hundreds of clients ask for the same megabyte. Kept pages of small events outlive
   * the young generation: 100,000 events to 20 subscribers then took 150 MB more of resident memory, not 50.
   */
  async #readTogether(epoch: number, cursor: number, through: number): Promise<Page | undefined> {
    let known = this.#reading.get(cursor)
    while (known?.page) {
      known.wanted = true
      const page = await known.page
      const latest = this.#reading.get(cursor)
      // A page that ends before it had to is full, wherever the log ends now.
      if (page && page.last <= through && (page.last === through || page.last < known.through)) {
        if (known.kept && latest === known) this.#budget.use(known.kept)
        return page
      }
      if (latest === known) break
      known = latest
    }
    const bounds = { events: PAGE_EVENTS, bytes: PAGE_BYTES }
    const page = this.#read(epoch, cursor, through, bounds)
    const reading: Reading = { page, through, wanted: known !== undefined, kept: undefined }
    const drop = () => {
      if (this.#reading.get(cursor) === reading) this.#reading.delete(cursor)
    }
    const replaced = this.#reading.get(cursor)?.kept
    if (replaced) this.#budget.release(replaced)
    this.#reading.set(cursor, reading)
    try {
      const read = await page
      // Another reading may have taken its place meanwhile, or `close` has dropped it.
      if (read && areLarge(read.covered, read.events.length) && this.#reading.get(cursor) === reading) {
        if (!reading.wanted) reading.page = undefined
        reading.kept = keptPage(reading.wanted ? read : undefined, drop)
        this.#budget.use(reading.kept)
      }
      return read
    } finally {
      if (!reading.kept) drop()
    }
  }

  /** The page between two boundaries, if there is one that may be shared. */
  async #sharedPage(epoch: number, cursor: number, boundary: number): Promise<Page | undefined> {
    const known = this.#shared.get(cursor)
    if (known?.kept) this.#budget.use(known.kept)
    if (known) return known.page
    const shared: SharedPage = { page: this.#fold(epoch, cursor, boundary), kept: undefined }
    this.#shared.set(cursor, shared)
    const drop = () => {
      if (this.#shared.get(cursor) === shared) this.#shared.delete(cursor)
    }
    try {
      const page = await shared.page
      // `close` dropped it meanwhile.
      if (this.#shared.get(cursor) !== shared) return page
      shared.kept = keptPage(page, drop)
      this.#budget.use(shared.kept)
      return page
    } catch (error) {
      drop()
      throw error
    }
  }

  async #fold(epoch: number, cursor: number, boundary: number): Promise<Page | undefined> {
    const bounds = { events: SHARED_EVENTS, bytes: SHARED_BYTES }
    const page = await this.#read(epoch, cursor, boundary, bounds)
    const folded = page?.folded(epoch)
    return folded && sizeOf(folded.events) <= SHARED_FOLDED_BYTES ? folded : undefined
  }

  async #read(
    epoch: number,
    cursor: number,
    through: number,
    bounds: { events: number; bytes: number },
  ): Promise<Page | undefined> {
    const page = await this.#journal.read(this.#sessionId, cursor, { ...bounds, through })
    if (!page || page.epoch !== epoch) return undefined
    const last = page.events.at(-1)?.seq ?? Math.max(cursor, Math.min(through, page.earliest - 1))
    return new Page(page.events, last, sizeOf(page.events), page.earliest)
  }
}
