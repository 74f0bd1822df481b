/** Requests that ask for another protocol than WebSocket are answered as if they had not. */
import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** Headers that ask for another protocol, or say how it would be spoken. */
const ASKING = new Set(['upgrade', 'http2-settings'])

const NOTHING = Buffer.alloc(0)

/**
 * Gives what emits only the upgrades to WebSocket. Node hands over every request with an `Upgrade` header once somebody
 * listens, yet a server may ignore the wish (RFC 9110, section 7.8), and must here: curl --http2 and Java's HttpClient
 * begin every connection without TLS by asking for h2c.
 */
export function websocketUpgrades(server: Server): Server {
  const upgrades = new EventEmitter()
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket')
      // An empty head is a view on all that was read; the plugin would keep that for as long as the socket lives: 1 KiB.
      upgrades.emit('upgrade', request, socket, head.length > 0 ? head : NOTHING)
    else ignoreUpgrade(server, request, socket, head)
  })
  // The WebSocket plugin only listens on it.
  return upgrades as Server
}

/** Lets the server read the request once more, without the wish. */
function ignoreUpgrade(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = request
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = [rawHeaders[i]?.toLowerCase(), rawHeaders[i + 1]]
    if (ASKING.has(name)) continue
    const kept = name === 'connection' ? withoutAsking(value) : value
    if (kept !== '') lines.push(`${name}: ${kept}`)
  }
  const again = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  socket.unshift(head.length > 0 ? Buffer.concat([again, head]) : again)
  server.emit(socket instanceof TLSSocket ? 'secureConnection' : 'connection', socket)
}

/** A `Connection` header's other options. */
function withoutAsking(connection: string): string {
  return connection
    .split(',')
    .map(option => option.trim())
    .filter(option => !ASKING.has(option.toLowerCase()))
    .join(', ')
}
