/** The viewers in this process, by session and run. */

interface SessionViewers {
  /** Open subscriptions of the whole session, under `''`, and of single runs. */
  readonly counts: Map<string, number>
  /** Withdraws the announcement of each. */
  readonly withdraw: Map<string, () => void>
  readonly listeners: Set<() => void>
}

/** Counts the viewers of sessions and runs; announces them to other nodes, and changes to listeners. */
export class Viewers {
  readonly #sessions = new Map<string, SessionViewers>()
  readonly #announce: (sessionId: string, run: string) => () => void

  /** @param announce tells other nodes of viewers here, until the function that it returns is called */
  constructor(announce: (sessionId: string, run: string) => () => void) {
    this.#announce = announce
  }

  /**
   * Adds a viewer of the session, or of only one run of it.
   * @returns removes the viewer again; may be called more than once
   */
  add(sessionId: string, run = ''): () => void {
    const viewers = this.#viewersOf(sessionId)
    viewers.counts.set(run, (viewers.counts.get(run) ?? 0) + 1)
    if (!viewers.withdraw.has(run)) viewers.withdraw.set(run, this.#announce(sessionId, run))
    this.changed(sessionId)
    let isHere = true
    return () => {
      if (!isHere) return
      isHere = false
      const left = (viewers.counts.get(run) ?? 1) - 1
      if (left > 0) viewers.counts.set(run, left)
      else {
        viewers.counts.delete(run)
        viewers.withdraw.get(run)?.()
        viewers.withdraw.delete(run)
      }
      this.changed(sessionId)
      this.#forget(sessionId, viewers)
    }
  }

  /** Whether anybody watches the run here. */
  has(sessionId: string, run: string): boolean {
    const counts = this.#sessions.get(sessionId)?.counts
    return counts !== undefined && (counts.has('') || counts.has(run))
  }

  /** Calls back after every change in the session, until the returned function is called. */
  onChange(sessionId: string, listener: () => void): () => void {
    const viewers = this.#viewersOf(sessionId)
    viewers.listeners.add(listener)
    return () => {
      viewers.listeners.delete(listener)
      this.#forget(sessionId, viewers)
    }
  }

  /** Tells the session's listeners that its viewers, here or on other nodes, may have changed. */
  changed(sessionId: string): void {
    for (const listener of [...(this.#sessions.get(sessionId)?.listeners ?? [])]) listener()
  }

  #viewersOf(sessionId: string): SessionViewers {
    const viewers = this.#sessions.get(sessionId) ?? {
      counts: new Map(),
      withdraw: new Map(),
      listeners: new Set(),
    }
    this.#sessions.set(sessionId, viewers)
    return viewers
  }

  #forget(sessionId: string, viewers: SessionViewers): void {
    if (viewers.counts.size === 0 && viewers.listeners.size === 0) this.#sessions.delete(sessionId)
  }
}
