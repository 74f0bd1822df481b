/** Numbers the terms of a corpus. Numbers are cheaper to count and to store than strings. */
export class Vocabulary {
  /** The terms, in the order of their numbers. */
  readonly terms: string[]
  readonly #numbers: Map<string, number>

  constructor(terms: string[] = []) {
    this.terms = terms
    this.#numbers = new Map(terms.map((term, number) => [term, number]))
  }

  /** The number of a term; `undefined` when the corpus does not have it. */
  number(term: string): number | undefined {
    return this.#numbers.get(term)
  }

  /** The number of a term, which is added if it is new. */
  add(term: string): number {
    const known = this.#numbers.get(term)
    if (known !== undefined) return known
    this.#numbers.set(term, this.terms.length)
    return this.terms.push(term) - 1
  }
}
