/** The viewers in this process, by session and run. */
import type { LocalMark } from './local-marks.ts'

interface SessionViewers {
  /** Open subscriptions of the whole session, under `''`, and of single runs. */
  readonly counts: Map<string, number>
  /** What tells other nodes of each. */
  readonly marks: Map<string, LocalMark>
  readonly listeners: Set<() => void>
}

export interface ViewersParts {
  /** The mark that tells other nodes of viewers here. */
  mark(sessionId: string, run: string): LocalMark
  /** Whether other nodes need these marks, or may need them. */
  isAsked(sessionId: string): boolean
}

/** Counts the viewers of sessions and runs; tells other nodes of them where one has asked, and listeners of changes. */
export class Viewers {
  readonly #sessions = new Map<string, SessionViewers>()
  readonly #parts: ViewersParts

  constructor(parts: ViewersParts) {
    this.#parts = parts
  }

  /**
   * Adds a viewer of the session, or of only one run of it.
   * @returns removes the viewer again; may be called more than once
   */
  add(sessionId: string, run = ''): () => void {
    const viewers = this.#viewersOf(sessionId)
    viewers.counts.set(run, (viewers.counts.get(run) ?? 0) + 1)
    if (!viewers.marks.has(run)) {
      const mark = this.#parts.mark(sessionId, run)
      viewers.marks.set(run, mark)
      if (this.#parts.isAsked(sessionId)) mark.keep()
    }
    this.changed(sessionId)
    let isHere = true
    return () => {
      if (!isHere) return
      isHere = false
      const left = (viewers.counts.get(run) ?? 1) - 1
      if (left > 0) viewers.counts.set(run, left)
      else {
        viewers.counts.delete(run)
        viewers.marks.get(run)?.remove()
        viewers.marks.delete(run)
      }
      this.changed(sessionId)
      this.#forget(sessionId, viewers)
    }
  }

  /** Other nodes need marks of the viewers here from now on, or do not any more. */
  askedChanged(sessionId: string): void {
    const isAsked = this.#parts.isAsked(sessionId)
    for (const mark of this.#sessions.get(sessionId)?.marks.values() ?? []) {
      if (isAsked) mark.keep()
      else mark.lapse()
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
      marks: new Map(),
      listeners: new Set(),
    }
    this.#sessions.set(sessionId, viewers)
    return viewers
  }

  #forget(sessionId: string, viewers: SessionViewers): void {
    if (viewers.counts.size === 0 && viewers.listeners.size === 0) this.#sessions.delete(sessionId)
  }
}
