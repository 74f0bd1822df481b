/** The WebSocket's route. PROTOCOL.md, "WebSocket". */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { Command, limits, ServerMessage, TwinrailError } from '../protocol/index.ts'
import type { TransportContext } from '../transports/context.ts'
import { SUBPROTOCOL, serveWebSocket } from '../transports/websocket.ts'
import type { Api } from './schemas.ts'
import { registerWebSocket, releaseUpgrade } from './websocket-bridge.ts'

/** Accepts upgrades to WebSocket on this instance. @param prefix the path below which the routes are */
export async function acceptWebSockets(
  app: FastifyInstance,
  context: TransportContext,
  prefix: string,
): Promise<void> {
  await registerWebSocket(app, {
    maxPayload: limits.messageBytes,
    compression: context.compression,
    // A `closing` message may wait as long as any other write.
    closeTimeoutMs: context.stallMs,
    subprotocol: SUBPROTOCOL,
    path: `${prefix}/v1/ws`,
  })
}

const connected = {
  operationId: 'connect',
  summary: `Open a WebSocket, subprotocol \`${SUBPROTOCOL}\``,
  description:
    'Text messages. Each message of the client is one command; each message of the server is one or more JSON objects separated by line feeds. A missing right is reported by a close code after the upgrade.',
  tags: ['events', 'commands'],
  response: { 101: z.void().describe('The connection is a WebSocket now') },
  errors: ['bad-request'],
  'x-websocket': { subprotocol: SUBPROTOCOL, send: Command, receive: ServerMessage },
} as const

export function websocketRoute(app: Api, context: TransportContext): void {
  app.route({
    method: 'GET',
    url: '/v1/ws',
    schema: connected,
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
