/** Shares the `upgrade` event of an HTTP server among mounted servers and whoever else listens for it. */
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { ignoreUpgrade } from '../routes/websocket-bridge.ts'

/** Takes an upgrade, or returns false to leave it to others. */
export type Taker = (request: IncomingMessage, socket: Socket, head: Buffer) => boolean

const takersOf = new WeakMap<Server, Set<Taker>>()

/**
 * Asks `taker` first for each upgrade. What it takes is hidden from other listeners, which would close the socket. What
 * nobody takes is answered as the plain request that it also is: with a listener for upgrades Node no longer does that.
 * @returns the function that ends it
 */
export function takeUpgrades(server: Server, taker: Taker): () => void {
  const takers = takersOf.get(server) ?? share(server)
  takers.add(taker)
  return () => takers.delete(taker)
}

function share(server: Server): Set<Taker> {
  const takers = new Set<Taker>()
  takersOf.set(server, takers)
  const emit = server.emit
  server.emit = function (this: Server, event: string, ...values: unknown[]): boolean {
    if (event === 'upgrade') {
      const [request, socket, head] = values as Parameters<Taker>
      for (const taker of takers) if (taker(request, socket, head)) return true
    }
    return Reflect.apply(emit, this, [event, ...values])
  } as typeof server.emit
  server.on('upgrade', (request, socket, head) => {
    if (server.listenerCount('upgrade') === 1) ignoreUpgrade(server, request, socket as Socket, head)
  })
  return takers
}
