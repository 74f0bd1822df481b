/** fastify-sse-v2: one `reply.sse` per subscriber and event, as its README has it. */
import Fastify, { type FastifyReply } from 'fastify'
import { FastifySSEPlugin } from 'fastify-sse-v2'
import { Envelope, type Peer, portOf } from './peer.ts'

export async function fastifySseV2(): Promise<Peer> {
  const envelope = new Envelope('bench')
  const replies = new Set<FastifyReply>()
  const app = Fastify({ forceCloseConnections: true })
  await app.register(FastifySSEPlugin)
  app.get('/', (_request, reply) => {
    reply.sse({ comment: 'ready' })
    replies.add(reply)
    reply.raw.on('close', () => replies.delete(reply))
  })
  await app.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  return {
    dial: { wire: 'sse', port: portOf(app.server), path: '/', readyAfter: ':ready' },
    publish(bodies) {
      for (const { id, json } of envelope.texts(bodies)) {
        for (const reply of replies) reply.sse({ id, data: json })
      }
    },
    close: () => app.close(),
  }
}
