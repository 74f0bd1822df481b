/** What lists tell of sessions. */

/** A session, as lists have it. */
export interface SessionSummary {
  /** The session's id. */
  sessionId: string
  /** The metadata of the session's creation, or of its last change. */
  metadata: Record<string, unknown>
  /** The offset of the newest event; `<epoch>-0` in an empty session. */
  head: string
  /** The oldest offset that the log still holds; head + 1 when it holds no events. */
  earliest: string
  /** When the session was created, by the server's clock, in ms since 1970. */
  createdAt: number
  /** When the session was created or last got an event, in ms since 1970; up to a second too early. */
  activeAt: number
}

/** A page of {@link Client.sessions}. */
export interface SessionsPage {
  /** The sessions, the last active ones first. */
  sessions: SessionSummary[]
  /** The `after` of the next page, which may be empty; absent on the last one. */
  next?: string
  /** To keep the list current, ask for the first page again after this time, in ms. */
  pollMs: number
}
