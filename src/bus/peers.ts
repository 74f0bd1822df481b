/** What the bus exchanges with the other nodes on the log. `src/presence` implements it. */
export interface Peers {
  /** Tells other nodes that a viewer here watches the session, or only a run of it, until the returned function is called. */
  addViewer(sessionId: string, run: string | undefined): () => void
  /** Tells other nodes that slow subscribers here hold the session's producers, until the returned function is called. */
  addHold(sessionId: string): () => void
  /** Whether subscribers on other nodes hold the session's producers. @throws TwinrailError `unavailable` */
  isHeld(sessionId: string): Promise<boolean>
  /**
   * Begins to receive what other nodes announce for a session that is followed here.
   * @param onHold called when the subscribers of that node begin or cease to hold producers, and again while it lasts
   */
  open(sessionId: string, onHold: (node: string, holds: boolean) => void): SessionPeers
}

/** What other nodes announce for one session. */
export interface SessionPeers {
  /** Whether {@link refresh} has succeeded once; from then on {@link marked} keeps this current. */
  readonly isKnown: boolean
  /** Reads all marks from the log. @throws TwinrailError `unavailable` */
  refresh(): Promise<void>
  /** The log's notification: that mark lasts for `ttlMs` from now on; 0: it was taken away. */
  marked(name: string, ttlMs: number): void
  close(): void
}

/** For a bus whose log no other process uses. */
export const noPeers: Peers = {
  addViewer: () => () => {},
  addHold: () => () => {},
  isHeld: async () => false,
  open: () => ({ isKnown: true, async refresh() {}, marked() {}, close() {} }),
}
