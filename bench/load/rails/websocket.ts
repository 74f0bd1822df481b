/** WebSocket: one connection for all sessions and both directions. */
import { HEARTBEAT_MS } from '../../peers/dial-twinrail.ts'
import { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import type { Cursors, Ears, Rail } from './rail.ts'

export class WebSocketRail implements Rail {
  readonly #target: Target
  readonly #sessionIds: readonly string[]
  readonly #ears: Ears
  readonly #pace: number | undefined
  #connection: Connection | undefined
  #isCut = false

  /** @param pace bytes to read in a second. @default as fast as they come */
  constructor(target: Target, sessionIds: readonly string[], ears: Ears, pace?: number) {
    this.#target = target
    this.#sessionIds = sessionIds
    this.#ears = ears
    this.#pace = pace
  }

  async open(cursors: Cursors): Promise<void> {
    const { port, tls, compressed } = this.#target
    this.#connection = new Connection({
      dial: {
        wire: 'websocket',
        port,
        tls,
        path: '/v1/ws',
        ...(compressed && { headers: { 'sec-websocket-extensions': 'permessage-deflate' } }),
        say: this.#sessionIds.map((sessionId, index) => {
          const after = cursors(sessionId)
          const where = after === undefined ? { last: 1 } : { after }
          return JSON.stringify({
            type: 'subscribe',
            id: `s${index}`,
            sessionId,
            heartbeatMs: HEARTBEAT_MS,
            ...where,
          })
        }),
        readyAfter: '',
      },
      pace: this.#pace,
      onBody: bytes => this.#ears.onBytes(0, bytes),
      onClose: () => {
        if (!this.#isCut) this.#ears.onLost()
      },
    })
    await this.#connection.ready
  }

  say(text: string): void {
    this.#connection?.say(text)
  }

  cut(): void {
    this.#isCut = true
    this.#connection?.close()
  }
}
