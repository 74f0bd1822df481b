/** The WebSocket's route: negotiates the subprotocol before the upgrade. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { limits, TwinrailError } from '../protocol/index.ts'
import type { TransportContext } from '../transports/context.ts'
import { SUBPROTOCOL, serveWebSocket } from '../transports/websocket.ts'
import { websocketUpgrades } from './upgrades.ts'

const offered = (header: string) => header.split(',').map(name => name.trim())

/** The response that belongs to an upgrade. */
const responses = new WeakMap<IncomingMessage, ServerResponse>()

export async function websocketRoutes(app: FastifyInstance, context: TransportContext): Promise<void> {
  await app.register(fastifyWebsocket, {
    options: {
      server: websocketUpgrades(app.server),
      maxPayload: limits.messageBytes,
      // Our own frames are deflated once for all; these bounds keep ws out of what we don't do.
      perMessageDeflate: context.compression && {
        clientNoContextTakeover: true,
        serverNoContextTakeover: false,
        // Refuses offers that ask for a smaller window; its type lacks what ws documents.
        serverMaxWindowBits: false as unknown as number,
      },
      handleProtocols: protocols => protocols.has(SUBPROTOCOL) && SUBPROTOCOL,
      // A farewell may wait as long as any other write; the types lack what ws documents.
      ...{ closeTimeout: context.stallMs },
    },
    // ws has already begun to close with the right code (1002, 1007, 1009); terminating would cut that short.
    errorHandler: (error, _socket, request) => request.log.debug({ err: error }, 'websocket error'),
    // Connections are told and closed by the server's own stop.
    preClose: done => done(),
  })

  app.route({
    method: 'GET',
    url: '/v1/ws',
    exposeHeadRoute: false,
    onRequest: async request => {
      const header = request.headers['sec-websocket-protocol']
      if (header !== undefined && !offered(header).includes(SUBPROTOCOL)) {
        throw new TwinrailError('bad-request', `no known subprotocol; offer ${SUBPROTOCOL} or none`)
      }
    },
    handler: async () => {
      throw new TwinrailError('bad-request', 'expected a WebSocket upgrade; a proxy may have stripped it')
    },
    preHandler: async (request, reply) => {
      responses.set(request.raw, reply.raw)
    },
    wsHandler: (socket, request) => {
      // The upgraded socket and its request would hold the unused response for as long as they live: 2.5 KiB each.
      responses.get(request.raw)?.detachSocket(request.raw.socket)
      responses.delete(request.raw)
      // The headers stay for the `authorize` hook; this is their second copy.
      request.raw.rawHeaders.length = 0
      serveWebSocket(context, socket, request)
    },
  })
}
