/** WebSockets as the client needs them: those of browsers, of Node and of the package `ws`. */
/** The part of the WebSocket interface that the client uses. Browsers, Node 22 and the `ws` package implement it. */
export interface Socket {
  /** Sends a text message. */
  send(data: string): void
  /** Closes the connection. @param code 1000, or 3000 to 4999 @param reason at most 123 bytes of UTF-8 */
  close(code?: number, reason?: string): void
  /** Drops the connection without a closing handshake; only `ws` has it. */
  terminate?(): void
  /** Calls the listener when the connection is open, or has failed; `close` follows a failure. */
  addEventListener(type: 'open' | 'error', listener: () => void): void
  /** Calls the listener for each message, in order. */
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  /** Calls the listener once when the connection has ended. */
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
}

/** A WebSocket constructor. Browsers ignore the third argument: a page cannot send headers with its upgrade. */
export type SocketConstructor = new (
  url: string,
  protocols: string[],
  options?: { headers?: Record<string, string> },
) => Socket
