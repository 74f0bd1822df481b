/** Bytes that arrive piece by piece, in memory of their own. */

/** Bytes of a block, at most. HTTP/2 gives pieces of this size. */
const BLOCK = 16 * 1024

/** Blocks that wait for the next body. Under load, a body that is given up hands its blocks to the one that arrives. */
const MAX_FREE = 256

/** Blocks of full size are used again, since V8 frees the memory of a buffer only at its next collection. */
const free: Buffer[] = []

/**
 * Gathers pieces into one buffer. Kept as they are, pieces take more memory than their bytes: each is an object of 100
 * bytes, and one of HTTP/2 keeps all 64 KiB that were read together with it.
 */
export class Gathered {
  #blocks: Buffer[] = []
  /** Bytes of the last block that are used. */
  #used = 0
  #length = 0
  #capacity = 0

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /** Memory that they take, in bytes: at most twice as many, and less than 16 KiB more. */
  get capacity(): number {
    return this.#capacity
  }

  add(piece: Buffer): void {
    this.#length += piece.length
    for (let taken = 0; taken < piece.length; ) {
      const last = this.#blocks.at(-1)
      if (!last || this.#used === last.length) {
        this.#begin(piece.length - taken)
        continue
      }
      const copied = piece.copy(last, this.#used, taken)
      this.#used += copied
      taken += copied
    }
  }

  /** Adds a block for so many more bytes; as large as all before it, so that small pieces make few blocks. */
  #begin(bytes: number): void {
    const size = Math.min(BLOCK, Math.max(bytes, this.#capacity))
    const block = (size === BLOCK ? free.pop() : undefined) ?? Buffer.allocUnsafeSlow(size)
    this.#blocks.push(block)
    this.#capacity += size
    this.#used = 0
  }

  /** Gives what was gathered, and begins anew. */
  take(): Buffer {
    const [first] = this.#blocks
    // The body that came in one small piece stays in the memory that was made for it.
    const isOwn = first !== undefined && first.length === this.#length && first.length < BLOCK
    const taken = isOwn ? first : Buffer.concat(this.#blocks, this.#length)
    this.drop()
    return taken
  }

  /** Forgets what was gathered, and begins anew. */
  drop(): void {
    for (const block of this.#blocks) if (block.length === BLOCK && free.length < MAX_FREE) free.push(block)
    this.#blocks = []
    this.#used = 0
    this.#length = 0
    this.#capacity = 0
  }
}
