/** socket.io: a broadcast, which encodes each event once. WebSocket only; no upgrade from polling. */
import { createServer } from 'node:http'
import { Server } from 'socket.io'
import { Envelope, listen, type Peer } from './peer.ts'

const HOUR_MS = 3_600_000

export async function socketIo(): Promise<Peer> {
  const envelope = new Envelope('bench')
  const http = createServer()
  // The load does not answer pings, so none are sent.
  const io = new Server(http, {
    transports: ['websocket'],
    serveClient: false,
    pingInterval: HOUR_MS,
    pingTimeout: HOUR_MS,
  })
  const port = await listen(http)
  return {
    dial: {
      wire: 'websocket',
      port,
      path: '/socket.io/?EIO=4&transport=websocket',
      messages: ['40'],
      readyAfter: '40{"sid"',
    },
    publish(bodies) {
      // As an object: a string would be quoted again and so be longer.
      for (const event of bodies.map(body => envelope.wrap(body))) io.emit('event', event)
    },
    close: () => io.close(),
  }
}
