/** The viewers in this process: how a run knows that nobody watches it. */

interface Watched {
  /** Open subscriptions of the whole session, under `''`, and of single runs. */
  readonly counts: Map<string, number>
  /** What takes back the announcement of each. */
  readonly withdraw: Map<string, () => void>
  readonly listeners: Set<() => void>
}

/** Counts the viewers of sessions and runs; announces them to other nodes, and changes to listeners. */
export class Viewers {
  readonly #sessions = new Map<string, Watched>()
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
    const watched = this.#watched(sessionId)
    watched.counts.set(run, (watched.counts.get(run) ?? 0) + 1)
    if (!watched.withdraw.has(run)) watched.withdraw.set(run, this.#announce(sessionId, run))
    this.changed(sessionId)
    let isHere = true
    return () => {
      if (!isHere) return
      isHere = false
      const left = (watched.counts.get(run) ?? 1) - 1
      if (left > 0) watched.counts.set(run, left)
      else {
        watched.counts.delete(run)
        watched.withdraw.get(run)?.()
        watched.withdraw.delete(run)
      }
      this.changed(sessionId)
      this.#forget(sessionId, watched)
    }
  }

  /** Whether anybody watches the run here. */
  has(sessionId: string, run: string): boolean {
    const counts = this.#sessions.get(sessionId)?.counts
    return counts !== undefined && (counts.has('') || counts.has(run))
  }

  /** Calls back after every change in the session, until the returned function is called. */
  onChange(sessionId: string, listener: () => void): () => void {
    const watched = this.#watched(sessionId)
    watched.listeners.add(listener)
    return () => {
      watched.listeners.delete(listener)
      this.#forget(sessionId, watched)
    }
  }

  /** Tells the session's listeners that its viewers, here or on other nodes, may have changed. */
  changed(sessionId: string): void {
    for (const listener of [...(this.#sessions.get(sessionId)?.listeners ?? [])]) listener()
  }

  #watched(sessionId: string): Watched {
    const watched = this.#sessions.get(sessionId) ?? {
      counts: new Map(),
      withdraw: new Map(),
      listeners: new Set(),
    }
    this.#sessions.set(sessionId, watched)
    return watched
  }

  #forget(sessionId: string, watched: Watched): void {
    if (watched.counts.size === 0 && watched.listeners.size === 0) this.#sessions.delete(sessionId)
  }
}
