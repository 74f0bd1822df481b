import { termsOf, tokens } from './text.ts'
import { WordTable } from './word-table.ts'

/** Numbers the terms of a corpus. Numbers are cheaper to count and to store than strings. */
export class Vocabulary {
  /** The terms, in the order of their numbers. */
  readonly terms: string[]
  readonly #numbers: Map<string, number>
  readonly #words = new WordTable(word => this.#numbersOf(termsOf(word)))

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

  /** For each word of a text the numbers of its terms, in text order. New terms are added. */
  addText(text: string): (readonly number[])[] {
    return this.#words.valuesIn(text) ?? [...tokens(text)].map(({ terms }) => this.#numbersOf(terms))
  }

  #numbersOf(terms: readonly string[]): readonly number[] {
    return terms.map(term => this.add(term))
  }
}
