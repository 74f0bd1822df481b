/** SSE over HTTP/2: a stream for each session, and one for each command. */
import { type ClientHttp2Session, connect } from 'node:http2'
import { type HttpLine, http2 } from '../http.ts'
import {
  type ClientConnection,
  type ConnectionHandlers,
  type Cursors,
  eventsPath,
  pageHeaders,
  postCommand,
} from './connection.ts'

/** HTTP/2 connections by name: clients that ask for the same name share one. */
export class Http2Connections {
  readonly #port: number
  readonly #sessions = new Map<string, ClientHttp2Session>()

  constructor(port: number) {
    this.#port = port
  }

  named(name: string): ClientHttp2Session {
    const there = this.#sessions.get(name)
    if (there && !there.destroyed) return there
    const session = connect(`https://127.0.0.1:${this.#port}`, { rejectUnauthorized: false })
    // Its streams close with it and report the loss.
    session.on('error', () => {})
    session.on('connect', (_session, socket) => socket.setNoDelay(true))
    this.#sessions.set(name, session)
    return session
  }
}

export class Http2Connection implements ClientConnection {
  readonly #session: ClientHttp2Session
  readonly #sessionIds: readonly string[]
  readonly #handlers: ConnectionHandlers
  readonly #line: HttpLine
  #isCut = false

  constructor(session: ClientHttp2Session, sessionIds: readonly string[], handlers: ConnectionHandlers) {
    this.#session = session
    this.#sessionIds = sessionIds
    this.#handlers = handlers
    this.#line = http2(session)
  }

  async open(cursors: Cursors): Promise<void> {
    await Promise.all(
      this.#sessionIds.map((sessionId, stream) =>
        this.#follow(stream, eventsPath(sessionId, cursors(sessionId))),
      ),
    )
  }

  #follow(index: number, path: string): Promise<void> {
    const stream = this.#session.request({ ...pageHeaders, accept: 'text/event-stream', ':path': path })
    return new Promise((resolve, reject) => {
      let status: number | undefined
      stream.once('response', head => {
        status = head[':status']
        if (status === 200) resolve()
        else stream.close()
      })
      stream.on('data', bytes => this.#handlers.onBytes(index, bytes))
      stream.on('error', () => {})
      stream.once('close', () => {
        reject(new Error(`${path} was closed before it was open; its status was ${status}`))
        if (!this.#isCut) this.#handlers.onLost()
      })
    })
  }

  post(sessionId: string, command: object) {
    return postCommand(this.#line, sessionId, command)
  }

  cut(): void {
    this.#isCut = true
    this.#session.destroy()
  }
}
