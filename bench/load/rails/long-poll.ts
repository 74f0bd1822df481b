/** Long-poll: one poll after the other for each session, each on a connection of its own, and one for commands. */
import { http1, type Line } from '../http.ts'
import type { Target } from '../target.ts'
import { type Cursors, type Ears, getPage, postCommand, type Rail } from './rail.ts'

/** How long a poll may wait at the server, ms. */
const WAIT_MS = 30_000

/** Where a page says how to go on, at its end. */
const NEXT = /"next":"([^"]+)"/
const NEXT_WITHIN = 300

export class LongPollRail implements Rail {
  readonly #target: Target
  readonly #sessionIds: readonly string[]
  readonly #ears: Ears
  readonly #line: Line
  readonly #polls: Line[] = []
  #isCut = false

  constructor(target: Target, sessionIds: readonly string[], ears: Ears) {
    this.#target = target
    this.#sessionIds = sessionIds
    this.#ears = ears
    this.#line = http1(target.port, target.tls)
  }

  /** Resolves with every session's first page. */
  async open(cursors: Cursors): Promise<void> {
    await Promise.all(
      this.#sessionIds.map(async (sessionId, stream) => {
        const line = http1(this.#target.port, this.#target.tls)
        this.#polls.push(line)
        const next = await this.#poll(line, stream, sessionId, cursors(sessionId), 0)
        void this.#goOn(line, stream, sessionId, next)
      }),
    )
  }

  async #poll(line: Line, stream: number, sessionId: string, cursor: string | undefined, waitMs: number) {
    const { status, body } = await getPage(line, sessionId, cursor, waitMs)
    if (status !== 200) throw new Error(`a poll was answered ${status}: ${body}`)
    this.#ears.onBytes(stream, body)
    return NEXT.exec(body.toString('latin1', Math.max(0, body.length - NEXT_WITHIN)))?.[1] ?? cursor
  }

  async #goOn(line: Line, stream: number, sessionId: string, cursor: string | undefined): Promise<void> {
    try {
      for (let next = cursor; !this.#isCut; ) next = await this.#poll(line, stream, sessionId, next, WAIT_MS)
    } catch {
      // Cutting the line ends the poll that waits on it; anything else is a loss.
      if (!this.#isCut) this.#ears.onLost()
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
