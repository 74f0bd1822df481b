/** A client's connections to a server: they hand bytes on and do not look into them. */
import { eventsPath, positionOf } from '../../peers/dial-twinrail.ts'
import type { HttpAnswer, HttpLine } from '../http.ts'
import { browserHeaders } from '../raw-stream.ts'

export interface ConnectionHandlers {
  /**
   * The next bytes of a stream, or a page of long-poll.
   * @param stream which of the client's streams, from 0 on
   * @param bytes only valid within the call
   */
  onBytes(stream: number, bytes: Buffer): void
  /** A connection was lost that was not cut by `cut`. */
  onLost(): void
}

/** Cursor to continue a session after; undefined: one event before its head. */
export type Cursors = (sessionId: string) => string | undefined

/** All connections of one client, from one `open` to one `cut`. */
export interface ClientConnection {
  /** Connects and subscribes. Resolves when every stream has begun. */
  open(cursors: Cursors): Promise<void>
  /** Sends a command as an HTTP request; absent where commands are messages of the stream. */
  post?(sessionId: string, command: object): Promise<HttpAnswer>
  /** Sends a message on the stream's own connection, where that is possible. */
  send?(text: string): void
  /** Closes every connection at once and without a farewell. */
  cut(): void
}

/** What a page sends with requests of its own. */
export const { connection: _connection, ...pageHeaders } = browserHeaders

const jsonHeaders = { ...pageHeaders, accept: 'application/json', 'content-type': 'application/json' }

export const postCommand = (line: HttpLine, sessionId: string, command: object): Promise<HttpAnswer> =>
  line.request('POST', `/v1/sessions/${sessionId}/commands`, jsonHeaders, JSON.stringify(command))

export const getPage = (
  line: HttpLine,
  sessionId: string,
  cursor: string | undefined,
  waitMs: number,
): Promise<HttpAnswer> =>
  line.request('GET', eventsPath(sessionId, { ...positionOf(cursor), wait: waitMs }), jsonHeaders)
