/** Connections that are streams over HTTP/1.1: SSE with one for each session, WebSocket with one for all, and other servers. */
import { HEARTBEAT_MS } from '../../peers/dial-twinrail.ts'
import type { Dial } from '../../peers/peer.ts'
import { type HttpLine, http1 } from '../http.ts'
import { RawStream } from '../raw-stream.ts'
import type { Target } from '../target.ts'
import {
  type ClientConnection,
  type ConnectionHandlers,
  type Cursors,
  eventsPath,
  postCommand,
} from './connection.ts'

interface StreamOptions {
  /** How to open each stream; a stream's place is its number. */
  dials(cursors: Cursors): readonly Dial[]
  handlers: ConnectionHandlers
  /** Bytes to read in a second. @default as fast as they come */
  pace?: number | undefined
  /** Something on the way may cut the body's chunks anew. @default false */
  rechunked?: boolean
}

class Streams implements ClientConnection {
  readonly #options: StreamOptions
  #streams: readonly RawStream[] = []
  #isCut = false

  constructor(options: StreamOptions) {
    this.#options = options
  }

  async open(cursors: Cursors): Promise<void> {
    const { dials, handlers, pace, rechunked = false } = this.#options
    this.#streams = dials(cursors).map(
      (dial, stream) =>
        new RawStream({
          dial,
          pace,
          unwraps: rechunked,
          onBody: bytes => handlers.onBytes(stream, bytes),
          onClose: () => {
            if (!this.#isCut) handlers.onLost()
          },
        }),
    )
    await Promise.all(this.#streams.map(({ ready }) => ready))
  }

  cut(): void {
    this.#isCut = true
    for (const stream of this.#streams) stream.close()
  }

  protected sendOnFirst(text: string): void {
    this.#streams[0]?.send(text)
  }
}

class SseConnection extends Streams {
  readonly #line: HttpLine

  constructor(options: StreamOptions, line: HttpLine) {
    super(options)
    this.#line = line
  }

  post(sessionId: string, command: object) {
    return postCommand(this.#line, sessionId, command)
  }

  override cut(): void {
    super.cut()
    this.#line.close()
  }
}

class WebSocketConnection extends Streams {
  send(text: string): void {
    this.sendOnFirst(text)
  }
}

type Shared = Pick<StreamOptions, 'handlers' | 'pace'>

/** SSE: a connection for each session, and one for commands. */
export function sseConnection(
  target: Target,
  sessionIds: readonly string[],
  shared: Shared,
): ClientConnection {
  const { port, tls, compressed, rechunked } = target
  const dials = (cursors: Cursors) =>
    sessionIds.map(
      (sessionId): Dial => ({
        wire: 'sse',
        port,
        tls,
        path: eventsPath(sessionId, cursors(sessionId)),
        headers: { 'accept-encoding': compressed ? 'gzip' : 'identity' },
        readyAfter: '',
      }),
    )
  return new SseConnection({ ...shared, dials, rechunked }, http1(port, tls))
}

/** WebSocket: one connection for all sessions and both directions. */
export function webSocketConnection(
  { port, tls, compressed }: Target,
  sessionIds: readonly string[],
  shared: Shared,
): ClientConnection {
  const dials = (cursors: Cursors): Dial[] => [
    {
      wire: 'websocket',
      port,
      tls,
      path: '/v1/ws',
      ...(compressed && { headers: { 'sec-websocket-extensions': 'permessage-deflate' } }),
      say: sessionIds.map((sessionId, index) => {
        const after = cursors(sessionId)
        const position = after === undefined ? { last: 1 } : { after }
        const id = `s${index}`
        return JSON.stringify({ type: 'subscribe', id, sessionId, heartbeatMs: HEARTBEAT_MS, ...position })
      }),
      readyAfter: '',
    },
  ]
  return new WebSocketConnection({ ...shared, dials })
}

/** Another server: one session, and clients send nothing. Ready once that server says that the subscription stands. */
export const otherServerConnection = (dial: Dial, handlers: ConnectionHandlers): ClientConnection =>
  new Streams({ dials: () => [dial], handlers })
