/** The open connections of this server. A stopping server notifies and closes them. */
import type { SubscribingConnection } from '../bus/subscription-view.ts'
import { TwinrailError } from '../protocol/index.ts'

/** What holds a connection open: a transport, or a dialect for foreign clients. */
export const transportNames = ['sse', 'websocket', 'ai-sdk', 'ag-ui', 'openai', 'genie'] as const
export type TransportName = (typeof transportNames)[number]

/** A connection that the server can end. */
export interface Connection extends SubscribingConnection {
  readonly transport: TransportName
  /** Bytes of its events and control messages that were given to the socket, or their UTF-16 units. */
  readonly sentBytes: number
  /** Number of sessions that it follows. */
  readonly subscriptions: number
  /** Sends the reason and ends the connection, which then leaves the registry. */
  close(reason: TwinrailError): void
}

/** A long-poll that waits for news. */
export interface WaitingPoll {
  readonly id: string
  readonly number: number
  readonly principal: string
  readonly sessionId: string
  readonly run: string | undefined
  /** The offset that it has everything up to. */
  readonly cursor: string
  readonly since: number
  /** Refuses it: its principal may not go on. */
  end(): void
}

export class Connections {
  readonly #open = new Set<Connection>()
  readonly #waiting = new Set<() => void>()
  readonly #polls = new Set<WaitingPoll>()
  /** What the connections had sent that are closed now. */
  #sentBefore = 0
  readonly #spreadMs: number
  #draining = false
  #stopping = false
  #closed = false

  /** @param spreadMs time over which clients spread their reconnects when the server stops, in ms */
  constructor(spreadMs: number) {
    this.#spreadMs = spreadMs
  }

  get stopping(): boolean {
    return this.#stopping
  }

  /** Bytes that all connections have sent so far; see {@link Connection.sentBytes}. */
  get sentBytes(): number {
    let sum = this.#sentBefore
    for (const { sentBytes } of this.#open) sum += sentBytes
    return sum
  }

  /** The long-polls that wait. */
  get polls(): ReadonlySet<WaitingPoll> {
    return this.#polls
  }

  /** The open connection with this id. */
  find(id: string): Connection | undefined {
    for (const connection of this.#open) if (connection.id === id) return connection
    return undefined
  }

  /** The open connections, for metrics. */
  [Symbol.iterator](): Iterator<Connection> {
    return this.#open.values()
  }

  add(connection: Connection): void {
    this.#open.add(connection)
  }

  remove(connection: Connection): void {
    if (this.#open.delete(connection)) this.#sentBefore += connection.sentBytes
  }

  /** Lists a long-poll while it waits. @returns the function that ends that */
  addPoll(poll: WaitingPoll): () => void {
    this.#polls.add(poll)
    return () => this.#polls.delete(poll)
  }

  /** The server will stop soon. It works as before, and tells load balancers to send no new requests. */
  drain(): void {
    this.#draining = true
  }

  /** @throws TwinrailError `restart` once the server is draining or stopping */
  mustBeReady(): void {
    if (this.#draining || this.#stopping) throw this.restart()
  }

  /** Refuses new connections from now on. */
  stop(): void {
    this.#stopping = true
  }

  /** @throws TwinrailError `restart` once the server is stopping */
  mustBeOpen(): void {
    if (this.#stopping) throw this.restart()
  }

  /**
   * Registers a request that waits for events. `closeAll` ends its wait.
   * @returns the function that ends the registration
   */
  wait(letGo: () => void): () => void {
    if (this.#closed) letGo()
    this.#waiting.add(letGo)
    return () => this.#waiting.delete(letGo)
  }

  /** Sends every connection a time to reconnect, spread at random, and ends it. */
  closeAll(): void {
    this.#closed = true
    for (const connection of [...this.#open]) connection.close(this.restart())
    for (const letGo of [...this.#waiting]) letGo()
  }

  /** The reason that a client gets when the server stops, with a random time to reconnect. */
  restart(): TwinrailError {
    const retryAfterMs = Math.round(Math.random() * this.#spreadMs)
    return new TwinrailError('restart', 'the server is stopping; reconnect with your last offset', {
      retryAfterMs,
    })
  }
}
