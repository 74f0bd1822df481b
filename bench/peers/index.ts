/** All servers that can be compared, by their names in reports. Each is loaded only when it is used. */
import type { Peer } from './peer.ts'

const floor = () => import('./floor.ts')
const ws = () => import('./ws.ts')
const twinrail = () => import('./twinrail.ts')

export const peers = {
  'floor SSE': async () => (await floor()).floorSse(),
  'floor WebSocket': async () => (await floor()).floorWebSocket(),
  'fastify-sse-v2': async () => (await import('./fastify-sse-v2.ts')).fastifySseV2(),
  '@fastify/sse': async () => (await import('./fastify-sse.ts')).fastifySse(),
  'better-sse': async () => (await import('./better-sse.ts')).betterSse(),
  ws: async () => (await ws()).wsPerMessage(),
  'socket.io': async () => (await import('./socket-io.ts')).socketIo(),
  'twinrail SSE': async () => (await twinrail()).twinrailSse(),
  'twinrail WebSocket': async () => (await twinrail()).twinrailWebSocket(),
  'gzip per connection': async () => (await import('./gzip.ts')).gzipPerConnection(),
  'permessage-deflate per connection': async () => (await ws()).wsDeflate(),
  'twinrail SSE compressed': async () => (await twinrail()).twinrailSseCompressed(),
  'twinrail WebSocket compressed': async () => (await twinrail()).twinrailWebSocketCompressed(),
} satisfies Record<string, () => Promise<Peer>>

export type PeerName = keyof typeof peers
