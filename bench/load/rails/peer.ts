/** A server that is not ours: one session, nothing goes up. */
import type { Dial } from '../../peers/peer.ts'
import { Connection } from '../connection.ts'
import type { Ears, Rail } from './rail.ts'

export class PeerRail implements Rail {
  readonly #dial: Dial
  readonly #ears: Ears
  #connection: Connection | undefined
  #isCut = false

  constructor(dial: Dial, ears: Ears) {
    this.#dial = dial
    this.#ears = ears
  }

  /** Resolves once the server has said that the subscription is in place. */
  async open(): Promise<void> {
    this.#connection = new Connection({
      dial: this.#dial,
      onBody: bytes => this.#ears.onBytes(0, bytes),
      onClose: () => {
        if (!this.#isCut) this.#ears.onLost()
      },
    })
    await this.#connection.ready
  }

  cut(): void {
    this.#isCut = true
    this.#connection?.close()
  }
}
