/** Long-poll: one poll after the other for each session, each on a connection of its own, and one for commands. */
import { type HttpLine, http1 } from '../http.ts'
import type { Target } from '../target.ts'
import {
  type ClientConnection,
  type ConnectionHandlers,
  type Cursors,
  getPage,
  postCommand,
} from './connection.ts'

/** How long a poll may wait at the server, ms. */
const WAIT_MS = 30_000

/** The cursor at the end of a page. */
const NEXT = /"next":"([^"]+)"/
const NEXT_WITHIN = 300

export class LongPollConnection implements ClientConnection {
  readonly #target: Target
  readonly #sessionIds: readonly string[]
  readonly #handlers: ConnectionHandlers
  readonly #line: HttpLine
  readonly #polls: HttpLine[] = []
  #isCut = false

  constructor(target: Target, sessionIds: readonly string[], handlers: ConnectionHandlers) {
    this.#target = target
    this.#sessionIds = sessionIds
    this.#handlers = handlers
    this.#line = http1(target.port, target.tls)
  }

  /** Resolves with every session's first page. */
  async open(cursors: Cursors): Promise<void> {
    await Promise.all(
      this.#sessionIds.map(async (sessionId, stream) => {
        const line = http1(this.#target.port, this.#target.tls)
        this.#polls.push(line)
        const next = await this.#poll(line, stream, sessionId, cursors(sessionId), 0)
        void this.#repeat(line, stream, sessionId, next)
      }),
    )
  }

  async #poll(line: HttpLine, stream: number, sessionId: string, cursor: string | undefined, waitMs: number) {
    const { status, body } = await getPage(line, sessionId, cursor, waitMs)
    if (status !== 200) throw new Error(`a poll was answered ${status}: ${body}`)
    this.#handlers.onBytes(stream, body)
    return NEXT.exec(body.toString('latin1', Math.max(0, body.length - NEXT_WITHIN)))?.[1] ?? cursor
  }

  async #repeat(
    line: HttpLine,
    stream: number,
    sessionId: string,
    cursor: string | undefined,
  ): Promise<void> {
    try {
      for (let next = cursor; !this.#isCut; ) next = await this.#poll(line, stream, sessionId, next, WAIT_MS)
    } catch {
      // `cut` fails the poll that is waiting; any other failure is a lost connection.
      if (!this.#isCut) this.#handlers.onLost()
    }
  }

  post(sessionId: string, command: object) {
    return postCommand(this.#line, sessionId, command)
  }

  cut(): void {
    this.#isCut = true
    for (const line of [this.#line, ...this.#polls]) line.close()
  }
}
