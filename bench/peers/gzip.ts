/** A gzip stream for each connection, flushed after each turn, as compressing middleware does it. */
import { createServer } from 'node:http'
import { constants, createGzip, type Gzip } from 'node:zlib'
import { Envelope, listen, type Peer, sseText } from './peer.ts'

export async function gzipPerConnection(): Promise<Peer> {
  const envelope = new Envelope('bench')
  const streams = new Set<Gzip>()
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
    const gzip = createGzip()
    gzip.pipe(response)
    gzip.write(':ready\n\n')
    gzip.flush(constants.Z_SYNC_FLUSH)
    streams.add(gzip)
    response.on('close', () => {
      streams.delete(gzip)
      gzip.destroy()
    })
  })
  const port = await listen(server)
  return {
    dial: { wire: 'sse', port, path: '/', headers: { 'accept-encoding': 'gzip' }, readyAfter: ':ready' },
    publish(bodies) {
      const batch = sseText(envelope.texts(bodies))
      for (const gzip of streams) {
        gzip.write(batch)
        gzip.flush(constants.Z_SYNC_FLUSH)
      }
    },
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
