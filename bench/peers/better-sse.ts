/** better-sse: a channel that broadcasts. */
import { createServer } from 'node:http'
import { createChannel, createSession } from 'better-sse'
import { Envelope, listen, type Peer } from './peer.ts'

export async function betterSse(): Promise<Peer> {
  const envelope = new Envelope('bench')
  const channel = createChannel()
  const server = createServer(async (request, response) => {
    // The text is made once for all, so the serializer passes it on.
    const session = await createSession(request, response, { keepAlive: null, serializer: String })
    channel.register(session)
    session.push('ready')
  })
  const port = await listen(server)
  return {
    dial: { wire: 'sse', port, path: '/', readyAfter: 'data:ready' },
    publish(bodies) {
      for (const { id, json } of envelope.texts(bodies)) {
        channel.broadcast(json, 'message', { eventId: id })
      }
    },
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
