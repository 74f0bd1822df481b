/** The open connections of this server, so that a stop can tell them. */
import { TwinrailError } from '../protocol/index.ts'

/** Transports that hold a connection open. */
export type TransportName = 'sse' | 'websocket'

/** A connection that the server can end. */
export interface Connection {
  readonly transport: TransportName
  /** Bytes that wait for its socket in this process. */
  readonly waitingBytes: number
  /** How many sessions it follows. */
  readonly subscriptions: number
  /** Says why and ends; the connection leaves the registry by itself. */
  close(reason: TwinrailError): void
}

export class Connections {
  readonly #open = new Set<Connection>()
  readonly #waiting = new Set<() => void>()
  readonly #spreadMs: number
  #draining = false
  #stopping = false
  #closed = false

  /** @param spreadMs over how long clients are told to spread their reconnects when the server stops */
  constructor(spreadMs: number) {
    this.#spreadMs = spreadMs
  }

  get stopping(): boolean {
    return this.#stopping
  }

  /** The open ones, for who measures them. */
  [Symbol.iterator](): Iterator<Connection> {
    return this.#open.values()
  }

  add(connection: Connection): void {
    this.#open.add(connection)
  }

  remove(connection: Connection): void {
    this.#open.delete(connection)
  }

  /** The server is about to stop: it serves as before, and load balancers are told to send nothing new. */
  drain(): void {
    this.#draining = true
  }

  /** @throws TwinrailError `restart` once the server is draining or stopping */
  mustBeReady(): void {
    if (this.#draining || this.#stopping) throw this.restart()
  }

  /** From now on nothing new is let in. */
  stop(): void {
    this.#stopping = true
  }

  /** @throws TwinrailError `restart` once the server is stopping */
  mustBeOpen(): void {
    if (this.#stopping) throw this.restart()
  }

  /** A request waits for news: it is let go when everything is closed. @returns what to call when it waits no more */
  wait(letGo: () => void): () => void {
    if (this.#closed) letGo()
    this.#waiting.add(letGo)
    return () => this.#waiting.delete(letGo)
  }

  /** Tells every connection to come back, each at a time of its own, and ends it. */
  closeAll(): void {
    this.#closed = true
    for (const connection of [...this.#open]) connection.close(this.restart())
    for (const letGo of [...this.#waiting]) letGo()
  }

  /** The reason that clients get when the server stops: come back, but not all at once. */
  restart(): TwinrailError {
    const retryAfterMs = Math.round(Math.random() * this.#spreadMs)
    return new TwinrailError('restart', 'the server is stopping; reconnect with your last offset', {
      retryAfterMs,
    })
  }
}
