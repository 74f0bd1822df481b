/** Ids in order, for lists that go on after one of them. */

/** A block with more ids is split, so that adding an id moves few others. */
const BLOCK = 512

export class SortedIds {
  /** Blocks in order, none of them empty. */
  readonly #blocks: string[][] = []

  /** Adds an id that is not among them. */
  add(id: string): void {
    const at = this.#blockOf(id)
    const block = this.#blocks[at]
    if (!block) {
      this.#blocks.push([id])
      return
    }
    block.splice(indexIn(block, id), 0, id)
    if (block.length > BLOCK) this.#blocks.splice(at + 1, 0, block.splice(BLOCK / 2))
  }

  /** Removes an id that is among them. */
  remove(id: string): void {
    const at = this.#blockOf(id)
    const block = this.#blocks[at] as string[]
    block.splice(indexIn(block, id), 1)
    if (block.length === 0) this.#blocks.splice(at, 1)
  }

  clear(): void {
    this.#blocks.length = 0
  }

  /** Up to `limit` ids, from the first one that is greater than `after`. */
  after(after: string | undefined, limit: number): string[] {
    const found: string[] = []
    for (let at = after === undefined ? 0 : this.#blockOf(after); found.length < limit; at++) {
      const block = this.#blocks[at]
      if (!block) break
      const first = after === undefined ? 0 : indexIn(block, after)
      const from = block[first] === after ? first + 1 : first
      found.push(...block.slice(from, from + limit - found.length))
    }
    return found
  }

  /** Index of the last block that does not begin behind the id; 0 when all do. */
  #blockOf(id: string): number {
    const behind = firstIndex(this.#blocks.length, i => (this.#blocks[i]?.[0] as string) > id)
    return Math.max(0, behind - 1)
  }
}

/** Index of the first id of a block that is not less than this one. */
function indexIn(block: readonly string[], id: string): number {
  return firstIndex(block.length, i => (block[i] as string) >= id)
}

/** The first of `count` indexes for which a condition holds that holds from there on; `count` when there is none. */
function firstIndex(count: number, holds: (index: number) => boolean): number {
  let low = 0
  for (let high = count; low < high; ) {
    const middle = (low + high) >>> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
