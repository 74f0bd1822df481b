/** Makes a client's connection to a target. */
import type { Target } from '../target.ts'
import type { ClientConnection, ConnectionHandlers } from './connection.ts'
import { type Http2Connections, http2Connection } from './http2.ts'
import { longPollConnection } from './long-poll.ts'
import { otherServerConnection, sseConnection, webSocketConnection } from './streams.ts'

/** Most clients on one HTTP/2 connection: servers limit its streams. */
const SHARING = 100

export interface ConnectOptions {
  readonly sessionIds: readonly string[]
  /** Index of the client's session, for targets with a server for each. */
  readonly session: number
  /** Index of the client, by which clients share HTTP/2 connections. */
  readonly client: number
  readonly http2?: Http2Connections
  /** Bytes to read per second; not on long-poll. @default as fast as they come */
  readonly pace?: number | undefined
}

export function connectTo(
  target: Target,
  { sessionIds, session, client, http2, pace }: ConnectOptions,
  handlers: ConnectionHandlers,
): ClientConnection {
  const { transport, http, dials } = target
  const dial = dials?.[session]
  if (dial) return otherServerConnection(dial, handlers)
  if (transport === 'websocket') return webSocketConnection(target, sessionIds, { handlers, pace })
  if (transport === 'long-poll') return longPollConnection(target, sessionIds, handlers)
  if (http === '1.1' || !http2) return sseConnection(target, sessionIds, { handlers, pace })
  // A client of many sessions has one connection for all of them; clients of one session share one.
  const shares = http === '2, one connection' && sessionIds.length === 1
  const name = shares ? `shared ${Math.floor(client / SHARING)}` : `client ${client}`
  return http2Connection(http2.named(name), sessionIds, handlers)
}
