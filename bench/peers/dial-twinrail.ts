/** How to subscribe to sessions of our server. */
import type { Dial } from './peer.ts'

/** Longer than any scenario is idle, so that no ping falls into a measured turn. */
export const HEARTBEAT_MS = 60_000

export const SESSION = 'bench'

/** Options of a subscription. */
export interface Subscribe {
  readonly replay?: 'compact' | 'full' | 'none'
  readonly lag?: 'conflate' | 'wait' | 'skip' | 'disconnect'
  readonly last?: number
  readonly after?: string
  /** Of long-poll, ms. */
  readonly wait?: number
  readonly heartbeatMs?: number
}

/** Where to continue after a cursor; without one, one event before the head. */
export const positionOf = (cursor: string | undefined): Subscribe =>
  cursor === undefined ? { last: 1 } : { after: cursor }

/** Path and query of a session's events. */
export function eventsPath(sessionId: string, subscribe: Subscribe): string {
  const query = new URLSearchParams(Object.entries(subscribe).map(([name, value]) => [name, String(value)]))
  return `/v1/sessions/${sessionId}/events?${query}`
}

/** The WebSocket message that subscribes to a session. */
export const subscribeMessage = (id: string, sessionId: string, subscribe: Subscribe) =>
  JSON.stringify({ type: 'subscribe', id, sessionId, heartbeatMs: HEARTBEAT_MS, ...subscribe })

/** Subscribes to one session; ready once everything before has been replayed. */
export function dialTwinrail(
  wire: Dial['wire'],
  port: number,
  subscribe: Subscribe = {},
  compressed = false,
  sessionId = SESSION,
): Dial {
  if (wire === 'sse') {
    return {
      wire,
      port,
      path: eventsPath(sessionId, { heartbeatMs: HEARTBEAT_MS, ...subscribe }),
      headers: { 'accept-encoding': compressed ? 'gzip' : 'identity' },
      readyAfter: 'event: caught-up',
    }
  }
  return {
    wire,
    port,
    path: '/v1/ws',
    ...(compressed && { headers: { 'sec-websocket-extensions': 'permessage-deflate' } }),
    messages: [subscribeMessage('1', sessionId, subscribe)],
    readyAfter: '"caught-up"',
  }
}
