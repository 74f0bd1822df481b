/** Our own server, complete: Fastify, bus, log, topic and socket. */
import { createServer, type ServerOptions, type WholeServer } from '../package/server.ts'
import { dialTwinrail, HEARTBEAT_MS, SESSION, type Subscribe } from './dial-twinrail.ts'
import type { Dial, Peer } from './peer.ts'

/** Starts a server with one empty session on a free port. */
export async function startServer(
  options: ServerOptions = {},
): Promise<{ server: WholeServer; port: number }> {
  const server = await createServer({ heartbeatMs: HEARTBEAT_MS, ...options })
  const url = await server.listen({ port: 0 })
  await server.sessions.create(SESSION)
  return { server, port: Number(new URL(url).port) }
}

async function twinrail(wire: Dial['wire'], compressed = false, subscribe: Subscribe = {}): Promise<Peer> {
  const { server, port } = await startServer({ compression: compressed })
  return {
    dial: dialTwinrail(wire, port, { replay: 'none', ...subscribe }, compressed),
    publish(bodies) {
      // One append for each event, as an agent's tokens come.
      for (const body of bodies) void server.journal.append(SESSION, [body])
    },
    close: () => server.close({ graceMs: 0 }),
  }
}

export const twinrailSse = () => twinrail('sse')
export const twinrailWebSocket = () => twinrail('websocket')
export const twinrailSseCompressed = () => twinrail('sse', true)
export const twinrailWebSocketCompressed = () => twinrail('websocket', true)
