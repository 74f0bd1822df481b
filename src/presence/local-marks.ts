/** The marks that this process keeps on sessions for the other nodes on the log. */
import type { Journal } from '../bus/journal.ts'
import { type Cancel, startInterval } from '../protocol/timers.ts'

/** How long a node that died still counts as one with viewers, or still asks for those of others, in ms. */
const VIEWER_MS = 15_000

/** How long a node that died still holds producers, in ms. */
const HOLD_MS = 5000

/** How often a mark is renewed within its life. */
const RENEWALS = 3

/** A mark that is kept while it is needed. */
export interface LocalMark {
  /** Makes the mark, and renews it from now on. */
  keep(): void
  /** Renews it no more: it expires by itself. */
  lapse(): void
  /** Removes it, if it has not expired. */
  remove(): void
}

/** Makes and renews the marks. A mark's name is words between blanks, and no id of a node or a run has a blank. */
export class LocalMarks {
  readonly #journal: Journal
  readonly #node: string

  /** @param node the id of this process */
  constructor(journal: Journal, node: string) {
    this.#journal = journal
    this.#node = node
  }

  /** The mark of a viewer of the session, or of one run. It is not there before it is kept. */
  viewer(sessionId: string, run: string): LocalMark {
    return this.#mark(sessionId, run === '' ? `view ${this.#node}` : `view ${this.#node} ${run}`, VIEWER_MS)
  }

  /** Keeps the mark that asks other nodes for marks of their viewers, until the returned function is called. */
  keepAsking(sessionId: string): () => void {
    return this.#keep(sessionId, `ask ${this.#node}`, VIEWER_MS)
  }

  /** Keeps the mark that producers are held here, until the returned function is called. */
  keepHold(sessionId: string): () => void {
    return this.#keep(sessionId, holdMark(this.#node), HOLD_MS)
  }

  #keep(sessionId: string, name: string, lifeMs: number): () => void {
    const mark = this.#mark(sessionId, name, lifeMs)
    mark.keep()
    return () => mark.remove()
  }

  #mark(sessionId: string, name: string, lifeMs: number): LocalMark {
    let cancel: Cancel | undefined
    let endsAt = -Infinity
    const make = (ttlMs: number) => {
      endsAt = performance.now() + ttlMs
      // While the log is away the mark runs out; it is made again when the log is back.
      this.#journal.mark(sessionId, name, ttlMs).catch(() => {})
    }
    const lapse = () => {
      cancel?.()
      cancel = undefined
    }
    return {
      keep() {
        if (cancel) return
        make(lifeMs)
        cancel = startInterval(lifeMs / RENEWALS, () => make(lifeMs), { unref: true })
      },
      lapse,
      remove() {
        lapse()
        if (performance.now() < endsAt) make(0)
      },
    }
  }
}

const holdMark = (node: string) => `hold ${node}`

/** Whether one of the marks says that another node than `own` holds producers. */
export function isHeldBy(marks: readonly { readonly name: string }[], own: string): boolean {
  return marks.some(({ name }) => name.startsWith('hold ') && name !== holdMark(own))
}
