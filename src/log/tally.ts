/** Counts what is open in a session, such as its runs, for one append after another. */
import type { KeyEntry, Open, Opening } from './log.ts'

/** A key that an append takes. */
export interface Taking {
  /** Number of the event that takes it. */
  readonly seq: number
  readonly key: string
}

/** The maximum that an opening would exceed. */
export interface Exceeded {
  readonly tally: string
  readonly max: number
  /** Set when the maximum is that of a group. */
  readonly group?: string
  /** Set when the maximum is that of the sizes. */
  readonly isSize?: true
}

/**
 * What is open in one tally while the events of an append are gone through in order, so that what the append closes makes
 * room for what it opens later.
 */
export class Tally {
  readonly #open = new Set<Open>()
  readonly #byKey = new Map<string, Set<Open>>()
  readonly #groups = new Map<string, number>()
  /** The sizes of all that is open. */
  #size = 0
  /** The keys that the append takes, in the order of its events. */
  readonly #takings: readonly Taking[]
  /** How many of them have been taken. */
  #taken = 0

  /**
   * @param held what was open before; entries that have been closed since may be among them
   * @param entryOf the entry of a key that was taken before the append
   */
  constructor(
    held: readonly Open[],
    entryOf: (key: string) => KeyEntry | undefined,
    takings: readonly Taking[],
  ) {
    for (const one of held) {
      if (!one.until.some(key => (entryOf(key)?.seq ?? 0) > one.seq)) this.#add(one)
    }
    this.#takings = takings
  }

  /** Opens something at the event of this number. @returns the maximum that it would exceed; it is not open then */
  add(opening: Opening, seq: number): Exceeded | undefined {
    this.#takeThrough(seq)
    const { tally, max, size = 0, maxSize = Infinity, group, maxInGroup = Infinity, until } = opening
    if (this.#open.size >= max) return { tally, max }
    if (this.#size + size > maxSize) return { tally, max: maxSize, isSize: true }
    const inGroup = group === undefined ? 0 : (this.#groups.get(group) ?? 0)
    if (group !== undefined && inGroup >= maxInGroup) return { tally, max: maxInGroup, group }
    this.#add({ seq, until, ...(group !== undefined && { group }), ...(size > 0 && { size }) })
    return undefined
  }

  /** What is open after the append. */
  end(): readonly Open[] {
    this.#takeThrough(Infinity)
    return [...this.#open]
  }

  #add(one: Open): void {
    this.#open.add(one)
    for (const key of one.until) {
      const ofKey = this.#byKey.get(key) ?? new Set()
      this.#byKey.set(key, ofKey.add(one))
    }
    this.#count(one, 1)
  }

  #takeThrough(last: number): void {
    for (let next = this.#takings[this.#taken]; next && next.seq <= last; ) {
      for (const one of this.#byKey.get(next.key) ?? []) {
        if (one.seq < next.seq && this.#open.delete(one)) this.#count(one, -1)
      }
      next = this.#takings[++this.#taken]
    }
  }

  #count({ group, size = 0 }: Open, change: number): void {
    this.#size += size * change
    if (group !== undefined) this.#groups.set(group, (this.#groups.get(group) ?? 0) + change)
  }
}
