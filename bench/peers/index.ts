/** Everything that can be compared, by the name that it has in reports. */
import { betterSse } from './better-sse.ts'
import { fastifySse } from './fastify-sse.ts'
import { fastifySseV2 } from './fastify-sse-v2.ts'
import { blocksSse, blocksWebSocket, floorSse, floorWebSocket } from './floor.ts'
import { gzipPerConnection } from './gzip.ts'
import type { Peer } from './peer.ts'
import { socketIo } from './socket-io.ts'
import {
  twinrailSse,
  twinrailSseCompressed,
  twinrailWebSocket,
  twinrailWebSocketCompressed,
} from './twinrail.ts'
import { wsDeflate, wsPerMessage } from './ws.ts'

export const peers = {
  'floor SSE': floorSse,
  'floor WebSocket': floorWebSocket,
  'fastify-sse-v2': fastifySseV2,
  '@fastify/sse': fastifySse,
  'better-sse': betterSse,
  ws: wsPerMessage,
  'socket.io': socketIo,
  'twinrail SSE': twinrailSse,
  'twinrail WebSocket': twinrailWebSocket,
  'gzip per connection': gzipPerConnection,
  'permessage-deflate per connection': wsDeflate,
  'shared blocks SSE': blocksSse,
  'shared blocks WebSocket': blocksWebSocket,
  'twinrail SSE compressed': twinrailSseCompressed,
  'twinrail WebSocket compressed': twinrailWebSocketCompressed,
} satisfies Record<string, () => Promise<Peer>>

export type PeerName = keyof typeof peers
