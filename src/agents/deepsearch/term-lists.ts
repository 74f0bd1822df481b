/** A list of numbers for each term of a corpus. */

/** The data of {@link TermLists}: all lists in a row, and where each starts. The last start is the end of the row. */
export interface TermListsData {
  readonly starts: Uint32Array
  readonly row: Uint32Array
}

/**
 * What is added is only written down, which takes a third of the time of an array for each term. It is sorted by term when
 * a list is read.
 */
export class TermLists {
  #sorted: TermListsData
  /** What was added since, in turn a term and a number. */
  #added = new Uint32Array(1024)
  #end = 0

  constructor({ starts, row }: TermListsData = { starts: new Uint32Array(1), row: new Uint32Array() }) {
    // What was read from disk is a view of the whole file.
    this.#sorted = { starts: starts.slice(), row: row.slice() }
  }

  get data(): TermListsData {
    if (this.#end > 0) this.#sort()
    return this.#sorted
  }

  /** Adds a number to the list of a term. */
  add(term: number, number: number): void {
    if (this.#end === this.#added.length) {
      const longer = new Uint32Array(2 * this.#end)
      longer.set(this.#added)
      this.#added = longer
    }
    this.#added[this.#end++] = term
    this.#added[this.#end++] = number
  }

  /** The numbers of a term, in the order in which they were added. */
  of(term: number): Uint32Array {
    return listIn(this.data, term)
  }

  #sort(): void {
    const added = this.#added.subarray(0, this.#end)
    let terms = this.#sorted.starts.length - 1
    for (let i = 0; i < added.length; i += 2) terms = Math.max(terms, added[i]! + 1)
    const starts = new Uint32Array(terms + 1)
    for (let i = 0; i < added.length; i += 2) starts[added[i]! + 1]!++
    for (let term = 0; term < terms; term++)
      starts[term + 1]! += starts[term]! + listIn(this.#sorted, term).length
    const row = new Uint32Array(starts[terms]!)
    const next = starts.slice()
    const put = (term: number, number: number) => {
      row[next[term]!++] = number
    }
    for (let term = 0; term < terms; term++)
      for (const number of listIn(this.#sorted, term)) put(term, number)
    for (let i = 0; i < added.length; i += 2) put(added[i]!, added[i + 1]!)
    this.#sorted = { starts, row }
    this.#added = new Uint32Array(1024)
    this.#end = 0
  }
}

function listIn({ starts, row }: TermListsData, term: number): Uint32Array {
  return row.subarray(starts[term] ?? 0, starts[term + 1] ?? 0)
}
