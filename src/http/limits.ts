/** What connections and requests may take before they are refused or cut: sizes, numbers and times. */

export interface ConnectionLimits {
  /**
   * Connections that may be open at a time. One more is closed without an answer: an `EventSource` then tries again,
   * which it does not after a 503. @default 10,000
   */
  connections: number
  /** Connections from one address. Behind a proxy all of them come from the proxy's address. @default no limit */
  connectionsPerAddress: number
  /** Time for a TLS handshake, and for the head of a request, in ms; then 408. @default 60 s */
  headersMs: number
  /** Time for which a connection without a request stays open, in ms. @default 72 s */
  idleMs: number
  /** Longest wait for the next bytes of a body, in ms; then 408 `timeout`. @default 30 s */
  bodyMs: number
  /** The same for a body of NDJSON, whose producer may have nothing to say for a while. @default 60 s */
  linesMs: number
  /**
   * Requests of one connection that are answered at a time; further ones wait. On HTTP/2 commands, event streams and
   * long-polls that wait for news do not count. @default 8
   */
  answers: number
  /** Bytes of answers that one connection may have unsent; further requests wait. @default 2 MiB */
  answerBytes: number
  /** The same for all connections together. @default 64 MiB */
  allAnswerBytes: number
}

export const connectionDefaults: ConnectionLimits = {
  connections: 10_000,
  connectionsPerAddress: Number.POSITIVE_INFINITY,
  headersMs: 60_000,
  idleMs: 72_000,
  bodyMs: 30_000,
  linesMs: 60_000,
  answers: 8,
  answerBytes: 2 * 1024 * 1024,
  allAnswerBytes: 64 * 1024 * 1024,
}
