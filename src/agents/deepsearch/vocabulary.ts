import { spacedWords, termsOf, tokens } from './text.ts'

/** Number of words whose terms are remembered; most texts repeat a few thousand words. */
const MAX_KNOWN_WORDS = 200_000

/** Numbers the terms of a corpus. Numbers are cheaper to count and to store than strings. */
export class Vocabulary {
  /** The terms, in the order of their numbers. */
  readonly terms: string[]
  readonly #numbers: Map<string, number>
  /** The numbers of the terms of a word: one look-up for each word of a text. */
  readonly #known = new Map<string, readonly number[]>()

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
    const words = spacedWords(text)
    if (words) return words.map(word => this.#addWord(word))
    return [...tokens(text)].map(token => token.terms.map(term => this.add(term)))
  }

  #addWord(word: string): readonly number[] {
    const known = this.#known.get(word)
    if (known) return known
    if (this.#known.size >= MAX_KNOWN_WORDS) this.#known.clear()
    const added = termsOf(word).map(term => this.add(term))
    if (word.length <= 64) this.#known.set(word, added)
    return added
  }
}
