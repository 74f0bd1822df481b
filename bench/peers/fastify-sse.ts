/** @fastify/sse: one `reply.sse.send` per subscriber and event. */
import fastifySsePlugin from '@fastify/sse'
import Fastify from 'fastify'
import { Envelope, type Peer, portOf } from './peer.ts'

/** `reply.sse` of @fastify/sse. It and fastify-sse-v2 both declare that name for the whole program, so it needs a cast. */
interface Sse {
  keepAlive(): void
  send(message: { id?: string; data: string }): Promise<void>
  onClose(callback: () => void): void
}

export async function fastifySse(): Promise<Peer> {
  const envelope = new Envelope('bench')
  const streams = new Set<Sse>()
  const app = Fastify({ forceCloseConnections: true })
  // The default import of this CommonJS package is the plugin itself; its types declare it as a property.
  const plugin = fastifySsePlugin as unknown as typeof fastifySsePlugin.default
  await app.register(plugin, { heartbeatInterval: 0, serializer: data => data })
  app.get('/', { sse: true }, async (_request, reply) => {
    const sse = reply.sse as unknown as Sse
    sse.keepAlive()
    await sse.send({ data: 'ready' })
    streams.add(sse)
    sse.onClose(() => streams.delete(sse))
  })
  await app.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  return {
    dial: { wire: 'sse', port: portOf(app.server), path: '/', readyAfter: 'data: ready' },
    publish(bodies) {
      for (const { id, json } of envelope.texts(bodies)) {
        for (const sse of streams) void sse.send({ id, data: json })
      }
    },
    close: () => app.close(),
  }
}
