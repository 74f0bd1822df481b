/** What the processes on one log tell each other of a session by marks: who watches it, who holds its producers up. */
import type { EventLog } from '../log/log.ts'
import { type Cancel, startInterval, startTimer } from '../protocol/timers.ts'

/** How long a node that died still counts as one with viewers, in ms. */
const VIEWER_MS = 15_000

/** How long a node that died still holds producers up, in ms. */
const HOLD_MS = 5000

/** A mark is made again so often before it would run out. */
const TRIES = 3

/** One process on the log, with the marks that it makes. Ids of nodes and runs hold no blank. */
export class Node {
  readonly id: string
  readonly #log: EventLog

  constructor(log: EventLog, id: string) {
    this.#log = log
    this.id = id
  }

  /** Somebody watches the session here, or only a run of it. Until the returned function is called. */
  watches(sessionId: string, run: string): () => void {
    return this.#keep(sessionId, viewerMark(this.id, run), VIEWER_MS)
  }

  /** Slow subscribers here hold the session's producers up. Until the returned function is called. */
  holds(sessionId: string): () => void {
    return this.#keep(sessionId, `hold ${this.id}`, HOLD_MS)
  }

  #keep(sessionId: string, name: string, lifeMs: number): () => void {
    const make = (ttlMs: number) => {
      // While the log is away the mark runs out, and is made again when the log is back.
      this.#log.mark(sessionId, name, ttlMs).catch(() => {})
    }
    make(lifeMs)
    const cancel = startInterval(lifeMs / TRIES, () => make(lifeMs), { unref: true })
    return () => {
      cancel()
      make(0)
    }
  }
}

const viewerMark = (node: string, run: string) => (run === '' ? `view ${node}` : `view ${node} ${run}`)

/** Who wants to know what other nodes tell. */
export interface Listener {
  /** Who watches may have changed. */
  viewers(): void
  /** That node's subscribers hold the session's producers up, or do so no more; told again while it lasts. */
  hold(node: string, holds: boolean): void
}

/** The marks that other nodes have on a session. Hearing suffices once `ask` has told what was there before. */
export class Elsewhere {
  readonly #log: EventLog
  readonly #sessionId: string
  /** This node: of its own marks nobody needs to be told. */
  readonly #own: string
  readonly #listener: Listener
  /** What stops the timer that takes each away. */
  readonly #marks = new Map<string, Cancel>()
  /** Marks heard of while asking: newer than the answer. */
  #newer = new Set<string>()
  #asking: Promise<void> | undefined
  #isKnown = false
  #isClosed = false

  constructor(log: EventLog, sessionId: string, own: string, listener: Listener) {
    this.#log = log
    this.#sessionId = sessionId
    this.#own = own
    this.#listener = listener
  }

  /** Whether it was asked once; from then on what is told is enough. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  /** Whether somebody on another node watches the run, or the whole session. */
  watches(run: string): boolean {
    for (const name of this.#marks.keys()) {
      const [kind, , only] = name.split(' ')
      if (kind === 'view' && (only === undefined || only === run)) return true
    }
    return false
  }

  /** A mark lasts so long from now on, in ms; 0: it is gone. */
  heard(name: string, ttlMs: number): void {
    if (this.#asking) this.#newer.add(name)
    this.#take(name, ttlMs)
  }

  /** Reads what the log says now. @throws TwinrailError `unavailable` */
  ask(): Promise<void> {
    this.#asking ??= (async () => {
      try {
        const found = await this.#log.marks(this.#sessionId)
        for (const { name, leftMs } of found) if (!this.#newer.has(name)) this.#take(name, leftMs)
        this.#isKnown = true
      } finally {
        this.#newer.clear()
        this.#asking = undefined
      }
    })()
    return this.#asking
  }

  close(): void {
    this.#isClosed = true
    for (const cancel of this.#marks.values()) cancel()
    this.#marks.clear()
  }

  #take(name: string, ttlMs: number): void {
    const [kind, node = ''] = name.split(' ')
    if (this.#isClosed || node === this.#own) return
    const there = this.#marks.get(name)
    there?.()
    this.#marks.delete(name)
    if (ttlMs > 0)
      this.#marks.set(
        name,
        startTimer(ttlMs, () => this.#take(name, 0), { unref: true }),
      )
    if (kind === 'hold') this.#listener.hold(node, ttlMs > 0)
    else if ((there !== undefined) !== ttlMs > 0) this.#listener.viewers()
  }
}

/** Whether a mark of another node says that it holds producers up. */
export function isHeldBy(marks: readonly { readonly name: string }[], own: string): boolean {
  return marks.some(({ name }) => name.startsWith('hold ') && name !== `hold ${own}`)
}
