/** The WebSocket's route. PROTOCOL.md, "WebSocket". */
import type { FastifyInstance } from 'fastify'
import { limits, TwinrailError } from '../protocol/index.ts'
import type { TransportContext } from '../transports/context.ts'
import { SUBPROTOCOL, serveWebSocket } from '../transports/websocket.ts'
import { registerWebSocket, releaseUpgrade } from './websocket-bridge.ts'

export async function websocketRoutes(app: FastifyInstance, context: TransportContext): Promise<void> {
  await registerWebSocket(app, {
    maxPayload: limits.messageBytes,
    compression: context.compression,
    // A `closing` message may wait as long as any other write.
    closeTimeoutMs: context.stallMs,
    subprotocol: SUBPROTOCOL,
  })

  app.route({
    method: 'GET',
    url: '/v1/ws',
    exposeHeadRoute: false,
    config: { action: 'connect' },
    // The subprotocol is checked before the upgrade, while a 400 is still possible.
    onRequest: async request => {
      const offered = request.headers['sec-websocket-protocol']?.split(',').map(name => name.trim())
      if (offered && !offered.includes(SUBPROTOCOL))
        throw new TwinrailError('bad-request', `no known subprotocol; offer ${SUBPROTOCOL} or none`)
    },
    handler: async () => {
      throw new TwinrailError('bad-request', 'expected a WebSocket upgrade; a proxy may have stripped it')
    },
    wsHandler: (socket, request) => {
      releaseUpgrade(socket, request)
      serveWebSocket(context, socket, request)
    },
  })
}
