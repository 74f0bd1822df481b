/** Which sessions and runs are watched, in this process and on the other nodes of the log. */
import { randomUUID } from 'node:crypto'
import type { Bus } from '../bus/bus.ts'
import type { Journal } from '../bus/journal.ts'
import type { Peers, SessionPeers } from '../bus/peers.ts'
import { isHeldBy, LocalMarks } from './local-marks.ts'
import { PeerMarks } from './peer-marks.ts'
import { Viewers } from './viewers.ts'

/** See {@link Presence.trackViewers}. */
export interface ViewerTracking {
  /** Resolves when all marks in the log are known and any change was reported. @throws TwinrailError `unavailable` */
  refresh(): Promise<void>
  stop(): void
}

export class Presence implements Peers {
  readonly #journal: Journal
  readonly #node = randomUUID()
  readonly #marks: LocalMarks
  readonly #viewers: Viewers
  /** Of the sessions that are followed in this process. */
  readonly #peers = new Map<string, PeerMarks>()
  /** The sessions with runs here that end without viewers, and how many such runs each has. */
  readonly #asking = new Map<string, { runs: number; stop: () => void }>()

  constructor(journal: Journal) {
    this.#journal = journal
    this.#marks = new LocalMarks(journal, this.#node)
    this.#viewers = new Viewers({
      mark: (sessionId, run) => this.#marks.viewer(sessionId, run),
      // Where a session is not followed here nobody would hear who asks.
      isAsked: sessionId => this.#peers.get(sessionId)?.isAsking ?? true,
    })
  }

  /** The id of this process among the nodes of the log. */
  get node(): string {
    return this.#node
  }

  addViewer(sessionId: string, run: string | undefined): () => void {
    return this.#viewers.add(sessionId, run)
  }

  addHold(sessionId: string): () => void {
    return this.#marks.keepHold(sessionId)
  }

  async isHeld(sessionId: string): Promise<boolean> {
    return isHeldBy(await this.#journal.marks(sessionId, 'hold '), this.#node)
  }

  open(sessionId: string, onHold: (node: string, holds: boolean) => void): SessionPeers {
    const peers: PeerMarks = new PeerMarks({
      journal: this.#journal,
      sessionId,
      node: this.#node,
      onViewers: () => this.#viewers.changed(sessionId),
      onAsking: () => this.#viewers.askedChanged(sessionId),
      onHold,
      onClose: () => {
        if (this.#peers.get(sessionId) === peers) this.#peers.delete(sessionId)
        // Most often the last viewer is about to leave in this very turn.
        queueMicrotask(() => this.#viewers.askedChanged(sessionId))
      },
    })
    this.#peers.set(sessionId, peers)
    this.#viewers.askedChanged(sessionId)
    return peers
  }

  /**
   * Calls back at once and after every change with whether anybody watches the run, on any node. Other nodes are asked
   * for marks of their viewers from now on; until they have answered, theirs are not known.
   * @throws TwinrailError `session-not-found`
   */
  async trackViewers(
    bus: Bus,
    sessionId: string,
    run: string,
    changed: (watched: boolean) => void,
  ): Promise<ViewerTracking> {
    // Other nodes' marks are notified only while the session is followed.
    const release = await bus.follow(sessionId)
    const stopAsking = this.#ask(sessionId)
    const peers = this.#peers.get(sessionId)
    let before: boolean | undefined
    const look = () => {
      const watched = this.#viewers.has(sessionId, run) || peers?.hasViewer(run) === true
      if (watched === before) return
      before = watched
      changed(watched)
    }
    const stopListening = this.#viewers.onChange(sessionId, look)
    // While the log is away nothing is known of other nodes; they renew their marks when it is back.
    await peers?.refresh().catch(() => {})
    look()
    return {
      refresh: async () => peers?.refresh(),
      stop() {
        stopListening()
        stopAsking()
        release()
      },
    }
  }

  #ask(sessionId: string): () => void {
    const asking = this.#asking.get(sessionId) ?? { runs: 0, stop: this.#marks.keepAsking(sessionId) }
    this.#asking.set(sessionId, asking)
    asking.runs++
    return () => {
      if (--asking.runs > 0) return
      asking.stop()
      this.#asking.delete(sessionId)
    }
  }
}
