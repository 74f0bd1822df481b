/** SSE over HTTP/2: a stream for each session, and one for each command. */
import { type ClientHttp2Session, connect } from 'node:http2'
import { eventsPath, HEARTBEAT_MS, positionOf } from '../../peers/dial-twinrail.ts'
import { http2 } from '../http.ts'
import { type ClientConnection, type ConnectionHandlers, pageHeaders, postCommand } from './connection.ts'

/** HTTP/2 connections by name: clients that ask for the same name share one. */
export class Http2Connections {
  readonly #port: number
  readonly #sessions = new Map<string, ClientHttp2Session>()

  constructor(port: number) {
    this.#port = port
  }

  named(name: string): ClientHttp2Session {
    const known = this.#sessions.get(name)
    if (known && !known.destroyed) return known
    const session = connect(`https://127.0.0.1:${this.#port}`, { rejectUnauthorized: false })
    // Its streams close with it and report the loss.
    session.on('error', () => {})
    session.on('connect', (_session, socket) => socket.setNoDelay(true))
    this.#sessions.set(name, session)
    return session
  }
}

export function http2Connection(
  session: ClientHttp2Session,
  sessionIds: readonly string[],
  handlers: ConnectionHandlers,
): ClientConnection {
  const line = http2(session)
  let isCut = false

  function follow(index: number, path: string): Promise<void> {
    const stream = session.request({ ...pageHeaders, accept: 'text/event-stream', ':path': path })
    return new Promise((resolve, reject) => {
      let status: number | undefined
      stream.once('response', head => {
        status = head[':status']
        if (status === 200) resolve()
        else stream.close()
      })
      stream.on('data', bytes => handlers.onBytes(index, bytes))
      stream.on('error', () => {})
      stream.once('close', () => {
        reject(new Error(`${path} was closed before it was open; its status was ${status}`))
        if (!isCut) handlers.onLost()
      })
    })
  }

  return {
    async open(cursors) {
      await Promise.all(
        sessionIds.map((sessionId, index) =>
          follow(
            index,
            eventsPath(sessionId, { heartbeatMs: HEARTBEAT_MS, ...positionOf(cursors(sessionId)) }),
          ),
        ),
      )
    },
    post: (sessionId, command) => postCommand(line, sessionId, command),
    cut() {
      isCut = true
      session.destroy()
    },
  }
}
