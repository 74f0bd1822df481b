/** Bytes that arrive piece by piece, in memory of their own. */

/** Bytes of a block, at most. HTTP/2 gives pieces of this size. */
const BLOCK = 16 * 1024

/** Blocks that wait for the next body. Under load, a body that is given up hands its blocks to the one that arrives. */
const MAX_FREE = 256

/** Blocks of full size are used again, since V8 frees the memory of a buffer only at its next collection. */
const free: Buffer[] = []

/** Where the blocks of a body are joined while it is used; a larger body is joined in memory of its own. */
const JOINED = 1024 * 1024
let joined: Buffer | undefined

const NOTHING = Buffer.alloc(0)

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

  /**
   * Gives what was gathered, and begins anew. The bytes are valid only within `use`: the next body takes their place, since
   * a buffer for each large body is memory that stays until V8's next collection.
   */
  take<T>(use: (whole: Buffer) => T): T {
    try {
      return use(this.#whole())
    } finally {
      this.drop()
    }
  }

  #whole(): Buffer {
    const [first] = this.#blocks
    if (!first) return NOTHING
    if (this.#blocks.length === 1) return first.subarray(0, this.#length)
    if (this.#length > JOINED) return Buffer.concat(this.#blocks, this.#length)
    joined ??= Buffer.allocUnsafeSlow(JOINED)
    let at = 0
    for (const block of this.#blocks)
      at += block.copy(joined, at, 0, Math.min(block.length, this.#length - at))
    return joined.subarray(0, this.#length)
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
