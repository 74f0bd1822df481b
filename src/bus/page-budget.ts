/** Bounds the memory for shared pages, over all sessions. */

/** A page that is kept for the next subscribers that need it. */
export interface KeptPage {
  /** Memory that it takes, in bytes. */
  readonly bytes: number
  /** Evicts the page. Called at most once. */
  drop(): void
}

/** Keeps the pages that were used last, as many as fit into `limit` bytes. */
export class PageBudget {
  readonly #limit: number
  /** In the order of their last use. */
  readonly #pages = new Set<KeptPage>()
  #bytes = 0

  /** @param limit in bytes */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Memory that all kept pages take now. */
  get bytes(): number {
    return this.#bytes
  }

  /** Keeps the page, or keeps it longer; drops those that were not used for longest until all fit. */
  use(page: KeptPage): void {
    this.release(page)
    this.#pages.add(page)
    this.#bytes += page.bytes
    for (const oldest of this.#pages) {
      if (this.#bytes <= this.#limit) return
      this.release(oldest)
      oldest.drop()
    }
  }

  /** Called when the owner no longer keeps the page. */
  release(page: KeptPage): void {
    if (this.#pages.delete(page)) this.#bytes -= page.bytes
  }
}
