/** ws: one `send` per subscriber and event. */
import { createServer } from 'node:http'
import { type WebSocket, WebSocketServer } from 'ws'
import { type Dial, Envelope, listen, type Peer } from './peer.ts'

async function server(headers: Dial['headers'], compression: boolean): Promise<Peer> {
  const envelope = new Envelope('bench')
  const clients = new Set<WebSocket>()
  const http = createServer()
  // As ws compresses by default: with context takeover; and every message, however short.
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: compression && { threshold: 0 } })
  sockets.on('connection', client => {
    client.on('close', () => clients.delete(client))
    client.send('ready')
    clients.add(client)
  })
  const port = await listen(http)
  return {
    dial: { wire: 'websocket', port, path: '/', readyAfter: 'ready', ...(headers && { headers }) },
    publish(bodies) {
      for (const { json } of envelope.texts(bodies)) {
        for (const client of clients) client.send(json)
      }
    },
    async close() {
      for (const client of clients) client.terminate()
      http.close()
    },
  }
}

export const wsPerMessage = () => server(undefined, false)

/** With permessage-deflate: every connection has a context of its own. */
export const wsDeflate = () => server({ 'sec-websocket-extensions': 'permessage-deflate' }, true)
