/** Bytes that arrive piece by piece, in memory of their own. */

/**
 * Gathers pieces into one buffer. Kept as they are, pieces take more memory than their bytes: each is an object of 100
 * bytes, and one of HTTP/2 keeps all 64 KiB that were read together with it.
 */
export class Gathered {
  readonly #limit: number
  #bytes = Buffer.alloc(0)
  #length = 0

  /** @param limit the most bytes that will be gathered */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /** Memory that they take, in bytes: at most twice as many. */
  get capacity(): number {
    return this.#bytes.length
  }

  add(piece: Buffer): void {
    const length = this.#length + piece.length
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(this.#limit, this.#bytes.length * 2)))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    piece.copy(this.#bytes, this.#length)
    this.#length = length
  }

  /** Gives what was gathered, and begins anew. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
    return taken
  }
}
