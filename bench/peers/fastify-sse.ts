/** @fastify/sse: one `reply.sse.send` per subscriber and event. */
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type FastifyReply } from 'fastify'
import { Envelope, type Peer, portOf } from './peer.ts'

/** What is used of the package; its own types declare `reply.sse` for the whole program, as fastify-sse-v2's do. */
interface Sse {
  keepAlive(): void
  send(message: { id?: string; data: string }): Promise<void>
  onClose(callback: () => void): void
}

interface Options {
  heartbeatInterval: number
  serializer(data: string): string
}

const PACKAGE: string = '@fastify/sse'

export async function fastifySse(): Promise<Peer> {
  const { default: plugin } = (await import(PACKAGE)) as { default: FastifyPluginCallback<Options> }
  const envelope = new Envelope('bench')
  const streams = new Set<Sse>()
  const app: FastifyInstance = Fastify({ forceCloseConnections: true })
  await app.register(plugin, { heartbeatInterval: 0, serializer: data => data })
  app.get('/', { sse: true } as object, async (_request, reply: FastifyReply) => {
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
      for (const { id, json } of bodies.map(body => envelope.text(body))) {
        for (const sse of streams) void sse.send({ id, data: json })
      }
    },
    close: () => app.close(),
  }
}
