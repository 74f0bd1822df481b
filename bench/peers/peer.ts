/** What all the servers that are compared have in common. */
import type { AddressInfo, Server } from 'node:net'

/** How to become a subscriber. Plain data: the load is another process. */
export interface Dial {
  readonly wire: 'sse' | 'websocket'
  readonly port: number
  /** @default plain */
  readonly tls?: boolean
  readonly path: string
  /** Request headers beside a browser's own. */
  readonly headers?: Readonly<Record<string, string>>
  /** Text messages to send once a WebSocket is open. */
  readonly say?: readonly string[]
  /** The subscription is in place once this was received after the head. */
  readonly readyAfter: string
}

/** An event as its producer gives it. */
export interface Body {
  readonly type: string
  readonly runId?: string
  readonly data: Readonly<Record<string, unknown>>
}

/** One way to bring a session's events to many subscribers, in the process that is measured. */
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

/** Puts events in the envelope that our server gives them, so that every peer sends the same text. */
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

  text(body: Body): EventText {
    const event = this.wrap(body)
    return { id: event.offset, json: JSON.stringify(event) }
  }
}

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
