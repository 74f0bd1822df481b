/** How much of the log's file is in use, without asking LMDB at each append. */

/** LMDB is asked again after so long, in ms. */
const LOOK_MS = 100

export class Usage {
  readonly #look: () => number
  #bytes = 0
  #until = -Infinity

  /** @param look gives the bytes in use as of the last commit */
  constructor(look: () => number) {
    this.#look = look
  }

  /** Bytes in use, with what was added since LMDB was asked. */
  get bytes(): number {
    if (performance.now() >= this.#until) {
      this.#bytes = this.#look()
      this.#until = performance.now() + LOOK_MS
    }
    return this.#bytes
  }

  /** So many bytes are being written. */
  add(bytes: number): void {
    this.#bytes += bytes
  }

  /** Something was freed: LMDB is asked at the next look. */
  freed(): void {
    this.#until = -Infinity
  }
}
