/** What all compared servers have in common. */
import { type AddressInfo, connect, createServer, type Server } from 'node:net'

/** What a server's subscribers can connect by. */
export const wires = ['sse', 'websocket'] as const

/** How to subscribe. Plain data, since the load is another process. */
export interface Dial {
  readonly wire: (typeof wires)[number]
  readonly port: number
  /** @default plain */
  readonly tls?: boolean
  readonly path: string
  /** Request headers in addition to a browser's own. */
  readonly headers?: Readonly<Record<string, string>>
  /** Text messages to send once a WebSocket is open. */
  readonly messages?: readonly string[]
  /** Text after the head that shows that the subscription stands; empty: none is needed. */
  readonly readyAfter: string
}

/** An event as a producer publishes it. */
export interface Body {
  readonly type: string
  readonly runId?: string
  readonly data: Readonly<Record<string, unknown>>
}

/** A server that sends a session's events to many subscribers, in the measured process. */
export interface Peer {
  readonly dial: Dial
  /** Sends each event to every subscriber, all in this event-loop turn. */
  publish(bodies: readonly Body[]): void
  close(): Promise<void>
}

/** An event's JSON text, made once for all subscribers, and its id. */
export interface EventText {
  readonly id: string
  readonly json: string
}

/** Puts events into our server's envelope, so that every server sends the same text. */
export class Envelope {
  readonly #sessionId: string
  readonly #epoch = Date.now()
  #seq = 0

  constructor(sessionId: string) {
    this.#sessionId = sessionId
  }

  /** The event as an object. */
  wrap({ type, runId, data }: Body): { offset: string } {
    const offset = `${this.#epoch}-${++this.#seq}`
    return { offset, sessionId: this.#sessionId, runId, type, time: Date.now(), data } as { offset: string }
  }

  texts(bodies: readonly Body[]): EventText[] {
    return bodies.map(body => {
      const event = this.wrap(body)
      return { id: event.offset, json: JSON.stringify(event) }
    })
  }
}

/** The events in an SSE stream. */
export const sseText = (events: readonly EventText[]) =>
  events.map(({ id, json }) => `data: ${json}\nid: ${id}\n\n`).join('')

/** The port that a server listens on. */
export const portOf = (server: Server) => (server.address() as AddressInfo).port

/** Listens on a free loopback port and gives it. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', 4096, resolve)
  })
  return portOf(server)
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Whether something listens on a loopback port. */
export async function isListening(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  const isOpen = await new Promise<boolean>(resolve => {
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
  })
  socket.destroy()
  return isOpen
}
