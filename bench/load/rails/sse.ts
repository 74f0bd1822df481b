/** SSE over HTTP/1.1: a connection for each session, and one for commands. */
import { Connection } from '../connection.ts'
import { http1, type Line } from '../http.ts'
import type { Target } from '../target.ts'
import { type Cursors, type Ears, eventsPath, postCommand, type Rail } from './rail.ts'

export class SseRail implements Rail {
  readonly #target: Target
  readonly #sessionIds: readonly string[]
  readonly #ears: Ears
  readonly #pace: number | undefined
  readonly #line: Line
  #connections: Connection[] = []
  #isCut = false

  /** @param pace bytes to read in a second. @default as fast as they come */
  constructor(target: Target, sessionIds: readonly string[], ears: Ears, pace?: number) {
    this.#target = target
    this.#sessionIds = sessionIds
    this.#ears = ears
    this.#pace = pace
    this.#line = http1(target.port, target.tls)
  }

  async open(cursors: Cursors): Promise<void> {
    this.#connections = this.#sessionIds.map(
      (sessionId, stream) =>
        new Connection({
          dial: {
            wire: 'sse',
            port: this.#target.port,
            tls: this.#target.tls,
            path: eventsPath(sessionId, cursors(sessionId)),
            headers: { 'accept-encoding': this.#target.compressed ? 'gzip' : 'identity' },
            readyAfter: '',
          },
          unwraps: this.#target.rechunked,
          pace: this.#pace,
          onBody: bytes => this.#ears.onBytes(stream, bytes),
          onClose: () => {
            if (!this.#isCut) this.#ears.onLost()
          },
        }),
    )
    await Promise.all(this.#connections.map(({ ready }) => ready))
  }

  post(sessionId: string, command: object) {
    return postCommand(this.#line, sessionId, command)
  }

  cut(): void {
    this.#isCut = true
    for (const connection of this.#connections) connection.close()
    this.#line.close()
  }
}
