/** Stretches of a session's log for subscribers that catch up: from the ring or the log, folded once for all. */
import type { LogEvent } from '../log/event.ts'
import type { EventLog } from '../log/log.ts'
import type { Encoding } from './encoding.ts'
import { fold } from './fold.ts'
import type { Ring } from './ring.ts'

/** What a subscriber gets next. */
export interface CatchUpPage {
  /** In order; folded if that was asked for. */
  readonly events: readonly LogEvent[]
  /** Number of the last event that the page covers. */
  readonly last: number
  /** UTF-16 units of the events it covers, before folding. */
  readonly covered: number
  /** Number of the oldest event that the log held; greater than the first wanted where some were trimmed. */
  readonly earliest: number
  /** The page in a wire's form; made once for all who share the page. */
  encoded<B>(encoding: Encoding<B>): B
}

/** Raw events of one page, at the most. */
const PAGE_EVENTS = 1000

/** UTF-16 units of one page's raw events, at the most: what one subscriber may have waiting in its socket. */
const PAGE_BYTES = 64 * 1024

/**
 * Shared pages end at multiples of this number, so that laggards with different cursors meet. Twenty that wake up
 * together cost 1.6 s instead of 8–10 s that way (170,000 events each, from the trial of the design).
 */
const SHARED_EVENTS = 2048

/** UTF-16 units of raw events behind one shared page. */
const SHARED_BYTES = 1024 * 1024

/** Shared pages kept per session. */
const SHARED_PAGES = 32

/** A page that is larger than this once folded is not shared: it would be too much for a slow socket at once. */
const SHARED_FOLDED_BYTES = 128 * 1024

class Page implements CatchUpPage {
  readonly events: readonly LogEvent[]
  readonly last: number
  readonly covered: number
  readonly earliest: number
  #encoded: { name: string; bytes: unknown }[] = []

  constructor(events: readonly LogEvent[], last: number, covered: number, earliest: number) {
    this.events = events
    this.last = last
    this.covered = covered
    this.earliest = earliest
  }

  encoded<B>(encoding: Encoding<B>): B {
    const known = this.#encoded.find(({ name }) => name === encoding.name)
    if (known) return known.bytes as B
    const bytes = encoding.events(this.events)
    this.#encoded.push({ name: encoding.name, bytes })
    return bytes
  }
}

const size = (events: readonly LogEvent[]) => events.reduce((sum, event) => sum + event.json.length, 0)

/** The first events that fit a page; at least one. */
function fitting(events: readonly LogEvent[]): readonly LogEvent[] {
  let bytes = 0
  const end = events.findIndex((event, i) => {
    bytes += event.json.length
    return i > 0 && (i >= PAGE_EVENTS || bytes > PAGE_BYTES)
  })
  return end < 0 ? events : events.slice(0, end)
}

export class Pages {
  readonly #log: EventLog
  readonly #sessionId: string
  readonly #ring: Ring
  /** By the number they begin after; the oldest goes first. */
  readonly #shared = new Map<number, Promise<Page | undefined>>()

  constructor(log: EventLog, sessionId: string, ring: Ring) {
    this.#log = log
    this.#sessionId = sessionId
    this.#ring = ring
  }

  /**
   * The page after `cursor`, up to `through` at the most; `undefined` when the session is gone or another one. Pages
   * from the ring come at once, without a turn in between.
   */
  raw(epoch: number, cursor: number, through: number): Page | Promise<Page | undefined> {
    const held = this.#ring.after(cursor, through)
    if (held) {
      const events = fitting(held)
      return new Page(events, events.at(-1)?.seq ?? through, size(events), 0)
    }
    return this.#read(epoch, cursor, through, { events: PAGE_EVENTS, bytes: PAGE_BYTES })
  }

  /** As `raw`, folded; of long backlogs in pages that everybody shares. */
  async folded(epoch: number, cursor: number, through: number): Promise<Page | undefined> {
    const boundary = (Math.floor(cursor / SHARED_EVENTS) + 1) * SHARED_EVENTS
    if (cursor % SHARED_EVENTS === 0 && boundary <= through) {
      const page = await this.#sharedPage(epoch, cursor, boundary)
      if (page && size(page.events) <= SHARED_FOLDED_BYTES) return page
    }
    const page = await this.raw(epoch, cursor, Math.min(boundary, through))
    return page && foldPage(epoch, page)
  }

  #sharedPage(epoch: number, cursor: number, boundary: number): Promise<Page | undefined> {
    const known = this.#shared.get(cursor)
    if (known) return known
    const bounds = { events: SHARED_EVENTS, bytes: SHARED_BYTES }
    const made = this.#read(epoch, cursor, boundary, bounds).then(page => page && foldPage(epoch, page))
    this.#shared.set(cursor, made)
    if (this.#shared.size > SHARED_PAGES) this.#shared.delete(this.#shared.keys().next().value as number)
    made.catch(() => this.#shared.delete(cursor))
    return made
  }

  async #read(
    epoch: number,
    cursor: number,
    through: number,
    bounds: { events: number; bytes: number },
  ): Promise<Page | undefined> {
    const page = await this.#log.read(this.#sessionId, cursor, { ...bounds, through })
    if (!page || page.epoch !== epoch) return undefined
    const last = page.events.at(-1)?.seq ?? Math.max(cursor, Math.min(through, page.earliest - 1))
    return new Page(page.events, last, size(page.events), page.earliest)
  }
}

function foldPage(epoch: number, { events, last, covered, earliest }: Page): Page {
  return new Page(fold(epoch, events), last, covered, earliest)
}
