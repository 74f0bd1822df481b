/** The process of a proxy that counts bytes: all that is on the wire above TCP, TLS included. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { listen } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'

/** Bytes so far. */
export interface Counted {
  /** From clients to the server. */
  up: number
  down: number
}

const counted: Counted = { up: 0, down: 0 }
const sockets = new Set<Socket>()
let servers: Server[] = []

export const handlers = {
  /** Listens for each port. @returns the proxy's port for each of them */
  async open(ports: readonly number[]): Promise<Map<number, number>> {
    const proxied = new Map<number, number>()
    for (const port of new Set(ports)) {
      const server = createServer(client => carry(client, port))
      servers.push(server)
      proxied.set(port, await listen(server))
    }
    return proxied
  },

  counted: (): Counted => ({ ...counted }),

  close(): void {
    for (const socket of sockets) socket.destroy()
    for (const server of servers) server.close()
    servers = []
  },
}

function carry(client: Socket, port: number): void {
  const server = connect({ port, host: '127.0.0.1', noDelay: true })
  client.setNoDelay()
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    sockets.add(from)
    from.pipe(to)
    from.on('error', () => {})
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
  }
  client.on('data', bytes => {
    counted.up += bytes.length
  })
  server.on('data', bytes => {
    counted.down += bytes.length
  })
}

serveWorker(handlers)
