/** Pages that were read for one request and serve others, such as a thousand long-polls that wait for the same event. */
import { type Cancel, startTimer } from '../protocol/timers.ts'
import { bytesOf, type Page } from './page.ts'

/** Time for which a page is kept, in ms: requests that wait for the same event are answered within it. */
const KEPT_MS = 1000

/** Memory of all kept pages, in bytes. */
const KEPT_BYTES = 8 * 1024 * 1024

/** What a page takes besides its events, in bytes. */
const PAGE_BYTES = 1024

interface Kept {
  /** Number of the log's last event when the page was read. */
  readonly head: number
  readonly promise: Promise<Page>
  /** The page; until it has been read, the one that it takes the place of. */
  page: Page | undefined
  /** Text and encoded form; 0 until the page has been read. */
  bytes: number
}

/**
 * Keeps pages for a short time. Without it each of many equal requests would read and encode a megabyte of its own. A page
 * is given only while its log has the same head. A later one takes its place: each megabyte that is kept longer survives
 * V8's quick collections, and is garbage until the next full one.
 */
export class SharedPages {
  readonly #pages = new Map<string, Kept>()
  #bytes = 0
  #cancel: Cancel | undefined

  /** Memory of the pages that are kept now, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * The page that was asked for: a kept one, or else what `read` gives.
   * @param key all that the page depends on, but for the log's head
   * @param read is given the page that it takes the place of, if there is one
   */
  get(key: string, head: number, read: (earlier: Page | undefined) => Promise<Page>): Promise<Page> {
    const known = this.#pages.get(key)
    if (known?.head === head) return known.promise
    if (known) this.#drop(key, known)
    const kept: Kept = { head, promise: read(known?.page), page: known?.page, bytes: 0 }
    this.#pages.set(key, kept)
    return this.#keep(key, kept)
  }

  async #keep(key: string, kept: Kept): Promise<Page> {
    try {
      const page = await kept.promise
      if (this.#pages.get(key) === kept) this.#count(kept, page)
      return page
    } catch (error) {
      if (this.#pages.get(key) === kept) this.#pages.delete(key)
      throw error
    }
  }

  #count(kept: Kept, page: Page): void {
    kept.page = page
    kept.bytes = PAGE_BYTES + bytesOf(page.large ?? page.events) + bytesOf(page.events)
    this.#bytes += kept.bytes
    for (const [key, oldest] of this.#pages) {
      if (this.#bytes <= KEPT_BYTES) break
      this.#drop(key, oldest)
    }
    this.#cancel ??= startTimer(KEPT_MS, () => this.#clear(), { unref: true })
  }

  #drop(key: string, { bytes }: Kept): void {
    this.#bytes -= bytes
    this.#pages.delete(key)
  }

  #clear(): void {
    this.#cancel = undefined
    this.#bytes = 0
    this.#pages.clear()
  }
}
