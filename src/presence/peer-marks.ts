/** The marks that other nodes keep on one session. */
import type { Journal } from '../bus/journal.ts'
import type { SessionPeers } from '../bus/peers.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'
import { isMember } from './members.ts'

export interface PeerMarksParts {
  readonly journal: Journal
  readonly sessionId: string
  /** The id of this process, whose own marks are left out. */
  readonly node: string
  /** Called when the viewers on other nodes may have changed. */
  onViewers(): void
  /** Called when {@link PeerMarks.isAsking} may have changed. */
  onAsking(): void
  /** Called when the subscribers of that node begin or cease to hold producers, and again while it lasts. */
  onHold(node: string, holds: boolean): void
  onClose(): void
}

/** After the first `refresh()`, notifications keep this current. */
export class PeerMarks implements SessionPeers {
  readonly #parts: PeerMarksParts
  /** What stops the timer that drops each mark when it runs out. */
  readonly #marks = new Map<string, Cancel>()
  /** Marks that were notified during a refresh: newer than its answer. */
  readonly #newer = new Set<string>()
  #refreshing: Promise<void> | undefined
  #isKnown = false
  #isClosed = false

  constructor(parts: PeerMarksParts) {
    this.#parts = parts
  }

  get isKnown(): boolean {
    return this.#isKnown
  }

  /** Whether somebody on another node watches the run, or the whole session. */
  hasViewer(run: string): boolean {
    for (const name of this.#marks.keys()) {
      const [kind, , only] = name.split(' ')
      if (kind === 'view' && (only === undefined || only === run)) return true
    }
    return false
  }

  /** Whether another node has a run that ends without viewers: it needs marks of those here. */
  get isAsking(): boolean {
    return [...this.#marks.keys()].some(name => name.startsWith('ask '))
  }

  marked(name: string, ttlMs: number): void {
    if (this.#refreshing) this.#newer.add(name)
    this.#set(name, ttlMs)
  }

  refresh(): Promise<void> {
    this.#refreshing ??= (async () => {
      try {
        const { journal, sessionId } = this.#parts
        for (const { name, leftMs } of await journal.marks(sessionId)) {
          if (!this.#newer.has(name)) this.#set(name, leftMs)
        }
        this.#isKnown = true
      } finally {
        this.#newer.clear()
        this.#refreshing = undefined
      }
    })()
    return this.#refreshing
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const cancel of this.#marks.values()) cancel()
    this.#marks.clear()
    this.#parts.onClose()
  }

  #set(name: string, ttlMs: number): void {
    const { node: own, onAsking, onHold, onViewers } = this.#parts
    const [kind, node = ''] = name.split(' ')
    if (this.#isClosed || node === own || isMember({ name })) return
    const known = this.#marks.get(name)
    known?.()
    this.#marks.delete(name)
    if (ttlMs > 0) {
      const end = () => this.#set(name, 0)
      this.#marks.set(name, startTimer(ttlMs, end, { unref: true }))
    }
    if (kind === 'hold') onHold(node, ttlMs > 0)
    else if (kind === 'ask') onAsking()
    else if ((known !== undefined) !== ttlMs > 0) onViewers()
  }
}
