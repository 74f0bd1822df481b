/** Subscribers that come and go all the time. */
import type { Dial } from '../peers/peer.ts'
import { Connection } from './connection.ts'
import { Scanner } from './scanner.ts'

export class Coming {
  readonly #timer: NodeJS.Timeout
  #joins = 0
  #faults = 0
  #leave: () => void = () => {}

  constructor(dial: Dial, everyMs: number) {
    this.#timer = setInterval(() => this.#join(dial), everyMs)
  }

  /** Nobody comes any more, and the last one leaves. */
  end(): { joins: number; faults: number } {
    clearInterval(this.#timer)
    this.#leave()
    return { joins: this.#joins, faults: this.#faults }
  }

  #join(dial: Dial): void {
    this.#leave()
    this.#joins++
    const scanner = new Scanner()
    const connection = new Connection({ dial, onBody: bytes => scanner.push(bytes) })
    this.#leave = () => {
      this.#faults += scanner.faults
      connection.close()
    }
  }
}
