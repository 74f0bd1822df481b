/** Who watches: how a run knows that nobody does. */

interface Watched {
  /** Open subscriptions of the whole session, under `''`, and of single runs. */
  readonly counts: Map<string, number>
  readonly listeners: Set<() => void>
}

/** Counts the viewers of sessions and runs, and tells who asked when their number changes. */
export class Viewers {
  readonly #sessions = new Map<string, Watched>()

  /**
   * Somebody follows the session, or only one run of it.
   * @returns what to call, once, when they are gone
   */
  arrive(sessionId: string, run = ''): () => void {
    const watched = this.#watched(sessionId)
    watched.counts.set(run, (watched.counts.get(run) ?? 0) + 1)
    for (const listener of [...watched.listeners]) listener()
    let here = true
    return () => {
      if (!here) return
      here = false
      const left = (watched.counts.get(run) ?? 1) - 1
      if (left > 0) watched.counts.set(run, left)
      else watched.counts.delete(run)
      for (const listener of [...watched.listeners]) listener()
      this.#forget(sessionId, watched)
    }
  }

  /** Calls back at once and after every change with whether anybody watches the run. */
  watch(sessionId: string, run: string, changed: (watched: boolean) => void): () => void {
    const watched = this.#watched(sessionId)
    const listener = () => changed(watched.counts.has('') || watched.counts.has(run))
    watched.listeners.add(listener)
    listener()
    return () => {
      watched.listeners.delete(listener)
      this.#forget(sessionId, watched)
    }
  }

  #watched(sessionId: string): Watched {
    const watched = this.#sessions.get(sessionId) ?? { counts: new Map(), listeners: new Set() }
    this.#sessions.set(sessionId, watched)
    return watched
  }

  #forget(sessionId: string, watched: Watched): void {
    if (watched.counts.size === 0 && watched.listeners.size === 0) this.#sessions.delete(sessionId)
  }
}
