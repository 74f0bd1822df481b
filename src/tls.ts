/** HTTPS: HTTP/2 for who can, HTTP/1.1 for WebSockets and everybody else, on one port (ALPN, RFC 7301). */
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'

/** Certificate chain and private key, as PEM. */
export interface Tls {
  readonly cert: string | Buffer
  readonly key: string | Buffer
}

/** Streams that one HTTP/2 connection may have open: those of a WebSocket's subscriptions, and as many commands. */
const STREAMS = 200

/** What Fastify needs for it. The instance keeps the type that it has without TLS: its routes do not differ. */
export function tlsOptions({ cert, key }: Tls): FastifyServerOptions {
  const settings = { maxConcurrentStreams: STREAMS }
  // Unlike the server of plain HTTP, this one leaves Nagle's algorithm on unless told: 40 ms for a small second write.
  return {
    http2: true,
    https: { allowHTTP1: true, noDelay: true, cert, key, settings },
  } as FastifyServerOptions
}

/** Gives what cuts every connection of the server off, of whatever protocol. */
export function cutter({ server }: FastifyInstance): () => void {
  const sockets = new Set<Socket>()
  // One function for all: a closure each would cost every idle connection 100 bytes.
  function forget(this: Socket): void {
    sockets.delete(this)
  }
  server.on('connection', (socket: Socket) => sockets.add(socket.on('close', forget)))
  return () => {
    for (const socket of sockets) socket.destroy()
  }
}
