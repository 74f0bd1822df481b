/** Who watches here: how a run knows that nobody does. */

interface Watched {
  /** Open subscriptions of the whole session, under `''`, and of single runs. */
  readonly counts: Map<string, number>
  /** Takes back what other nodes were told of them. */
  readonly untell: Map<string, () => void>
  readonly listeners: Set<() => void>
}

/** Counts the viewers of sessions and runs in this process, and tells who asked, and other nodes, of changes. */
export class Viewers {
  readonly #sessions = new Map<string, Watched>()
  readonly #tell: (sessionId: string, run: string) => () => void

  /** @param tell tells other nodes of viewers here, until the function that it gives is called */
  constructor(tell: (sessionId: string, run: string) => () => void) {
    this.#tell = tell
  }

  /**
   * Somebody follows the session, or only one run of it.
   * @returns what to call, once, when they are gone
   */
  arrive(sessionId: string, run = ''): () => void {
    const watched = this.#watched(sessionId)
    watched.counts.set(run, (watched.counts.get(run) ?? 0) + 1)
    if (!watched.untell.has(run)) watched.untell.set(run, this.#tell(sessionId, run))
    for (const listener of [...watched.listeners]) listener()
    let here = true
    return () => {
      if (!here) return
      here = false
      const left = (watched.counts.get(run) ?? 1) - 1
      if (left > 0) watched.counts.set(run, left)
      else {
        watched.counts.delete(run)
        watched.untell.get(run)?.()
        watched.untell.delete(run)
      }
      for (const listener of [...watched.listeners]) listener()
      this.#forget(sessionId, watched)
    }
  }

  /** Whether anybody watches the run here. */
  has(sessionId: string, run: string): boolean {
    const counts = this.#sessions.get(sessionId)?.counts
    return counts !== undefined && (counts.has('') || counts.has(run))
  }

  /** Calls back after every change in the session. */
  watch(sessionId: string, changed: () => void): () => void {
    const watched = this.#watched(sessionId)
    watched.listeners.add(changed)
    return () => {
      watched.listeners.delete(changed)
      this.#forget(sessionId, watched)
    }
  }

  #watched(sessionId: string): Watched {
    const watched = this.#sessions.get(sessionId) ?? {
      counts: new Map(),
      untell: new Map(),
      listeners: new Set(),
    }
    this.#sessions.set(sessionId, watched)
    return watched
  }

  #forget(sessionId: string, watched: Watched): void {
    if (watched.counts.size === 0 && watched.listeners.size === 0) this.#sessions.delete(sessionId)
  }
}
