/** A WebSocket that gets a ticket before it connects, for sockets that cannot send headers with their upgrade. */
import { type ErrorCode, errorTable } from '../protocol.ts'
import type { TicketRequest } from './credentials.ts'
import { requestJson } from './request.ts'
import type { Socket, SocketConstructor } from './socket.ts'

/** Of all types of events alike: what a listener of one type gets is passed on as it is. */
type Listener = [type: 'message', listener: (event: { data: unknown }) => void]

/** A socket whose connection follows its ticket. A refusal of the ticket closes it with the code that stands for it. */
export class TicketSocket implements Socket {
  #socket: Socket | undefined
  #isClosed = false
  readonly #listeners: Listener[] = []

  constructor(make: SocketConstructor, address: URL, request: TicketRequest) {
    void this.#connect(make, address, request)
  }

  async #connect(make: SocketConstructor, address: URL, request: TicketRequest): Promise<void> {
    const { url, fetch, credential } = request
    // Other streams may have joined the socket by the time this one is aborted.
    const { signal } = new AbortController()
    const parts = { url, fetch, headers: credential.headers, signal }
    try {
      const { ticket } = await requestJson<{ ticket: string }>(parts, 'tickets', { body: {} })
      address.searchParams.set('ticket', ticket)
    } catch (error) {
      const { code, message } = error as { code: string; message: string }
      // A server that lets everybody in issues no tickets.
      if (code !== 'conflict') return this.#refused(errorTable[code as ErrorCode]?.close ?? 1006, message)
    }
    if (this.#isClosed) return
    const socket = new make(address.href, ['twinrail.v1'])
    for (const listener of this.#listeners) socket.addEventListener(...listener)
    this.#socket = socket
  }

  #refused(code: number, reason: string): void {
    for (const [type, listener] of this.#listeners) {
      if ((type as string) === 'close' && !this.#isClosed) listener({ code, reason } as never)
    }
  }

  send(data: string): void {
    this.#socket?.send(data)
  }

  close(code?: number, reason?: string): void {
    this.#isClosed = true
    this.#socket?.close(code, reason)
  }

  addEventListener(type: string, listener: unknown): void {
    this.#listeners.push([type, listener] as Listener)
  }
}

/** Whether sockets send headers with their upgrade: those of a page and the global ones of Node 22 and Deno do not. */
export function sendsHeaders(make: SocketConstructor): boolean {
  const isPage = 'document' in globalThis || 'WorkerGlobalScope' in globalThis
  return !isPage && make !== (globalThis.WebSocket as unknown)
}
