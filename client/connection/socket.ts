/** WebSockets as the client needs them: those of browsers, of Node and of the package `ws`. */
/** The part of the WebSocket interface that the client uses. Browsers, Node 22 and the `ws` package implement it. */
export interface Socket {
  send(data: string): void
  close(code?: number, reason?: string): void
  /** Drops the connection without a closing handshake; only `ws` has it. */
  terminate?(): void
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
}

/** A WebSocket constructor. Browsers ignore the third argument: a page cannot send headers with its upgrade. */
export type SocketConstructor = new (
  url: string,
  protocols: string[],
  options?: { headers?: Record<string, string> },
) => Socket
