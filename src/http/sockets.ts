/** The open sockets of a server: counts them, refuses those beyond the limits, and can close them all. */
import type { Server, Socket } from 'node:net'
import type { ConnectionLimits } from './limits.ts'

export type SocketLimits = Pick<ConnectionLimits, 'connections' | 'connectionsPerAddress'>

export class Sockets {
  readonly #limits: SocketLimits
  readonly #open = new Set<Socket>()
  readonly #ofAddress = new Map<string, number>()
  readonly #addressOf = new WeakMap<Socket, string>()
  /** Shared by all sockets: a closure for each would cost 100 bytes per idle connection. */
  readonly #closed: (this: Socket) => void

  constructor(limits: SocketLimits) {
    this.#limits = limits
    const forget = (socket: Socket) => this.#forget(socket)
    this.#closed = function () {
      forget(this)
    }
  }

  /** Number of open connections. */
  get count(): number {
    return this.#open.size
  }

  /** Checks every connection before the server gets it. Called once, before the server listens. */
  guard(server: Server): void {
    const accept = server.listeners('connection') as ((socket: Socket) => void)[]
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      if (this.#admits(socket)) for (const listener of accept) listener.call(server, socket)
      else socket.destroy()
    })
  }

  /** Closes every connection at once. */
  cutAll(): void {
    for (const socket of this.#open) socket.destroy()
  }

  #admits(socket: Socket): boolean {
    // `ignoreUpgrade` emits the socket of an upgrade request a second time.
    if (this.#open.has(socket)) return true
    const { connections, connectionsPerAddress } = this.#limits
    const address = socket.remoteAddress ?? ''
    const ofAddress = this.#ofAddress.get(address) ?? 0
    if (this.#open.size >= connections || ofAddress >= connectionsPerAddress) return false
    this.#open.add(socket.on('close', this.#closed))
    this.#ofAddress.set(address, ofAddress + 1)
    this.#addressOf.set(socket, address)
    return true
  }

  #forget(socket: Socket): void {
    if (!this.#open.delete(socket)) return
    const address = this.#addressOf.get(socket) ?? ''
    const left = (this.#ofAddress.get(address) ?? 1) - 1
    if (left > 0) this.#ofAddress.set(address, left)
    else this.#ofAddress.delete(address)
  }
}
