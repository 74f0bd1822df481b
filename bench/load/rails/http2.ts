/** SSE over HTTP/2: a stream for each session, and one for each command. */
import { type ClientHttp2Session, connect } from 'node:http2'
import { http2, type Line } from '../http.ts'
import { type Cursors, type Ears, eventsPath, pageHeaders, postCommand, type Rail } from './rail.ts'

/** Connections by name: who asks for the same one shares it. */
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
    // Its streams are closed with it, which is noticed there.
    session.on('error', () => {})
    session.on('connect', (_session, socket) => socket.setNoDelay(true))
    this.#sessions.set(name, session)
    return session
  }
}

export class Http2Rail implements Rail {
  readonly #session: ClientHttp2Session
  readonly #sessionIds: readonly string[]
  readonly #ears: Ears
  readonly #line: Line
  #isCut = false

  constructor(session: ClientHttp2Session, sessionIds: readonly string[], ears: Ears) {
    this.#session = session
    this.#sessionIds = sessionIds
    this.#ears = ears
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
      stream.on('data', bytes => this.#ears.onBytes(index, bytes))
      stream.on('error', () => {})
      stream.once('close', () => {
        reject(new Error(`${path} was closed before it was open; its status was ${status}`))
        if (!this.#isCut) this.#ears.onLost()
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
