/** Connections that are streams over HTTP/1.1: SSE with one for each session, WebSocket with one for all, and other servers. */
import { dialTwinrail, positionOf, subscribeMessage } from '../../peers/dial-twinrail.ts'
import type { Dial } from '../../peers/peer.ts'
import { type HttpLine, http1 } from '../http.ts'
import { RawStream } from '../raw-stream.ts'
import type { Target } from '../target.ts'
import { type ClientConnection, type ConnectionHandlers, type Cursors, postCommand } from './connection.ts'

interface StreamOptions {
  /** How to open each stream; a stream's place is its number. */
  dials(cursors: Cursors): readonly Dial[]
  handlers: ConnectionHandlers
  /** Bytes to read in a second. @default as fast as they come */
  pace?: number | undefined
  /** A proxy may cut the body's chunks anew. @default false */
  rechunked?: boolean
  /** For commands as HTTP requests. @default commands are messages of the first stream */
  line?: HttpLine
}

function streams({ dials, handlers, pace, rechunked = false, line }: StreamOptions): ClientConnection {
  let all: readonly RawStream[] = []
  let isCut = false
  const onClose = () => {
    if (!isCut) handlers.onLost()
  }
  return {
    async open(cursors) {
      all = dials(cursors).map((dial, stream) => {
        const onBody = (bytes: Buffer) => handlers.onBytes(stream, bytes)
        return new RawStream({ dial, pace, unwraps: rechunked, onBody, onClose })
      })
      await Promise.all(all.map(({ ready }) => ready))
    },
    ...(line && { post: (sessionId, command) => postCommand(line, sessionId, command) }),
    send: text => all[0]?.send(text),
    cut() {
      isCut = true
      for (const stream of all) stream.close()
      line?.close()
    },
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
    sessionIds.map(sessionId => {
      const dial = dialTwinrail('sse', port, positionOf(cursors(sessionId)), compressed, sessionId)
      return { ...dial, tls, readyAfter: '' }
    })
  return streams({ ...shared, dials, rechunked, line: http1(port, tls) })
}

/** WebSocket: one connection for all sessions and both directions. */
export function webSocketConnection(
  { port, tls, compressed }: Target,
  sessionIds: readonly string[],
  shared: Shared,
): ClientConnection {
  const dials = (cursors: Cursors) => {
    const messages = sessionIds.map((sessionId, index) =>
      subscribeMessage(`s${index}`, sessionId, positionOf(cursors(sessionId))),
    )
    return [{ ...dialTwinrail('websocket', port, {}, compressed), tls, messages, readyAfter: '' }]
  }
  return streams({ ...shared, dials })
}

/** Another server: one session, and clients send nothing. Ready once that server says that the subscription stands. */
export const otherServerConnection = (dial: Dial, handlers: ConnectionHandlers): ClientConnection =>
  streams({ dials: () => [dial], handlers })
