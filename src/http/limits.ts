/**
 * The bounds of connections and requests: sizes, numbers and times. A connection or request that exceeds one is refused
 * or closed.
 */

/** Bounds of connections and requests. Each has a default. */
export interface ConnectionLimits {
  /**
   * Maximum number of open connections. A further one is closed without an answer: an `EventSource` then tries again,
   * but not after a 503. @default 10,000
   */
  connections: number
  /**
   * Maximum number of open connections of one address. Behind a proxy all connections have its address.
   * @default no limit
   */
  connectionsPerAddress: number
  /** Maximum time for a TLS handshake, and for the head of a request, in ms; then 408. @default 60 s */
  headersMs: number
  /** Time after which a connection without a request is closed, in ms. @default 72 s */
  idleMs: number
  /** Time that a WebSocket without credentials has for its command `auth`, in ms; then 4401. @default 5 s */
  authMs: number
  /** Maximum wait for the next bytes of a body, in ms; then 408 `timeout`. @default 30 s */
  bodyMs: number
  /** The same for a body of NDJSON, whose producer may pause between events. @default 60 s */
  linesMs: number
  /**
   * Maximum number of bytes of bodies, lines of NDJSON and WebSocket messages that are not complete, of all connections
   * together; those of messages count twice. Above it the oldest is given up. @default 32 MiB
   */
  arrivingBytes: number
  /**
   * Maximum number of requests of one connection that are answered at a time; further ones wait. On HTTP/2 commands,
   * event streams and waiting long-polls do not count.
   * @default 8
   */
  answers: number
  /** Maximum number of unsent bytes of answers of one connection; further requests wait. @default 2 MiB */
  answerBytes: number
  /** The same bound for all connections together. @default 32 MiB */
  allAnswerBytes: number
}

export const connectionDefaults: ConnectionLimits = {
  connections: 10_000,
  connectionsPerAddress: Number.POSITIVE_INFINITY,
  headersMs: 60_000,
  idleMs: 72_000,
  authMs: 5000,
  bodyMs: 30_000,
  linesMs: 60_000,
  arrivingBytes: 32 * 1024 * 1024,
  answers: 8,
  answerBytes: 2 * 1024 * 1024,
  allAnswerBytes: 32 * 1024 * 1024,
}
