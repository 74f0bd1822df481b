/** How to subscribe to a session of our server. */
import type { Dial } from './peer.ts'

/** Longer than any scenario is idle, so that no ping falls into a measured turn. */
export const HEARTBEAT_MS = 60_000

export const SESSION = 'bench'

/** Options of a subscription. */
export interface Subscribe {
  readonly replay?: 'compact' | 'full' | 'none'
  readonly lag?: 'conflate' | 'wait' | 'skip' | 'disconnect'
  readonly last?: number
  readonly heartbeatMs?: number
}

export function dialTwinrail(
  wire: Dial['wire'],
  port: number,
  subscribe: Subscribe = {},
  compressed = false,
  sessionId = SESSION,
): Dial {
  const options = { heartbeatMs: HEARTBEAT_MS, ...subscribe }
  if (wire === 'sse') {
    const query = new URLSearchParams(Object.entries(options).map(([name, value]) => [name, String(value)]))
    return {
      wire,
      port,
      path: `/v1/sessions/${sessionId}/events?${query}`,
      headers: { accept: 'text/event-stream', 'accept-encoding': compressed ? 'gzip' : 'identity' },
      readyAfter: 'event: caught-up',
    }
  }
  return {
    wire,
    port,
    path: '/v1/ws',
    ...(compressed && { headers: { 'sec-websocket-extensions': 'permessage-deflate' } }),
    messages: [JSON.stringify({ type: 'subscribe', id: '1', sessionId, ...options })],
    readyAfter: '"caught-up"',
  }
}
