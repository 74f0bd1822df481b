/** A client's lines to a server, one class for each rail: they hand bytes on and know nothing of what is in them. */
import { HEARTBEAT_MS } from '../../peers/dial-twinrail.ts'
import { browserHeaders } from '../connection.ts'
import type { Answer, Line } from '../http.ts'

/** Who is handed what comes. */
export interface Ears {
  /** The next bytes of a stream, or a page; the streams of one client are numbered. Only good within the call. */
  onBytes(stream: number, bytes: Buffer): void
  /** A connection was lost that was not cut here. */
  onLost(): void
}

/** Where to go on in a session. Nothing: one event before its head. */
export type Cursors = (sessionId: string) => string | undefined

/** A client's connections, for one time. */
export interface Rail {
  /** Connects and subscribes. Resolves when every stream has begun. */
  open(cursors: Cursors): Promise<void>
  /** Sends a command and gives its answer; where commands have a line of their own. */
  post?(sessionId: string, command: object): Promise<Answer>
  /** Sends a message on the stream's own connection, where that is possible. */
  say?(text: string): void
  /** Cuts every connection, as a dead line does. */
  cut(): void
}

/** What a page sends with requests of its own. */
export const { connection: _connection, ...pageHeaders } = browserHeaders

const jsonHeaders = { ...pageHeaders, accept: 'application/json', 'content-type': 'application/json' }

/** Where a session's events are. */
export function eventsPath(sessionId: string, cursor: string | undefined, waitMs?: number): string {
  const query = new URLSearchParams(cursor === undefined ? { last: '1' } : { after: cursor })
  if (waitMs === undefined) query.set('heartbeatMs', String(HEARTBEAT_MS))
  else query.set('wait', String(waitMs))
  return `/v1/sessions/${sessionId}/events?${query}`
}

export const postCommand = (line: Line, sessionId: string, command: object): Promise<Answer> =>
  line.request('POST', `/v1/sessions/${sessionId}/commands`, jsonHeaders, JSON.stringify(command))

export const getPage = (
  line: Line,
  sessionId: string,
  cursor: string | undefined,
  waitMs: number,
): Promise<Answer> => line.request('GET', eventsPath(sessionId, cursor, waitMs), jsonHeaders)
