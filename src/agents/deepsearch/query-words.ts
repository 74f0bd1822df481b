/** The words of a question, and the terms of a corpus that each of them stands for. */
import type { Postings } from './postings.ts'
import { similarSpellings } from './spelling.ts'
import { roots, stem } from './stem.ts'
import { type Token, terms, tokens } from './text.ts'
import { sameWords, weakWords } from './words.ts'

/** A longer question is searched by this many of its words, the rarest. */
const MAX_QUERY_WORDS = 32

/** Weight of a weak word, relative to other words. */
const WEAK_WEIGHT = 0.2

/** Weight of a related term, relative to the word itself: a derived word or short form, or a similar spelling. */
const DERIVED_WEIGHT = 0.8
const SPELLING_WEIGHT = 0.7

/**
 * A word names what the question is about when at most this share of the passages have it, or at most the second share
 * and it is in the name of a file, or when it is in the name of a folder.
 */
const RARE_SHARE = 0.005
const SUBJECT_SHARE = 0.05

const weakTerms = new Set(terms([...weakWords].join(' ')))
const sameTerms = new Map([...sameWords].map(([word, same]) => [stem(word), stem(same)]))

/** A word of a question. */
export interface QueryWord {
  /** As it is written in the question. */
  readonly word: string
  /** Rare words weigh more. */
  readonly weight: number
  /** The terms that cover the word, each with what it is worth, 0 to 1. */
  readonly terms: ReadonlyMap<string, number>
  /** Whether it names what the question is about: a passage without it answers another question. */
  readonly isName: boolean
}

/** Finds the words of questions in the terms of a corpus. */
export class QueryWords {
  readonly #postings: Postings
  /** For each root the terms that it may have derived; made with the first question, for the vocabulary of that size. */
  #derived: { size: number; terms: Map<string, string[]> } | undefined

  constructor(postings: Postings) {
    this.#postings = postings
  }

  /** The rarest words of a text, rarest first. */
  of(text: string): QueryWord[] {
    const found = new Map<string, QueryWord>()
    for (const token of tokens(text)) {
      for (const word of this.#ofToken(token)) found.set([...word.terms.keys()].join() || word.word, word)
    }
    return [...found.values()].sort((a, b) => b.weight - a.weight).slice(0, MAX_QUERY_WORDS)
  }

  /** A name that the corpus has is one word; of another name each part is one. */
  #ofToken({ word, terms }: Token): QueryWord[] {
    const [whole, ...parts] = terms
    if (whole === undefined) return []
    if (parts.length === 0 || this.#postings.frequency(whole) > 0) return [this.#ofTerm(word, whole)]
    return parts.map(part => this.#ofTerm(word, part))
  }

  #ofTerm(word: string, term: string): QueryWord {
    const isHan = /\p{Script=Han}/u.test(term)
    const isWeak = weakTerms.has(term)
    const found = new Map<string, number>()
    if (this.#postings.frequency(term) > 0) found.set(term, 1)
    for (const related of this.#relatives(term)) found.set(related, DERIVED_WEIGHT)
    if (found.size === 0) for (const similar of this.#spellings(term)) found.set(similar, SPELLING_WEIGHT)
    const frequency = [...found.keys()].reduce((sum, related) => sum + this.#postings.frequency(related), 0)
    // A Chinese word that the corpus lacks is often one that the dictionary cut in another way.
    const isLikelyNoWord = isHan && found.size === 0
    const factor = isWeak || isLikelyNoWord ? WEAK_WEIGHT : 1
    const passages = this.#postings.passages.length
    const isRare = frequency <= RARE_SHARE * passages
    const isSubject =
      this.#postings.isInFolder(term) ||
      (this.#postings.isInFile(term) && frequency <= SUBJECT_SHARE * passages)
    return {
      word,
      weight: factor * this.#weight(frequency),
      terms: found,
      isName: !isWeak && !isHan && !term.startsWith('#') && (isRare || isSubject),
    }
  }

  /** Inverse document frequency; its square root keeps the frequent terms, which name the corpus' subject, relevant. */
  #weight(frequency: number): number {
    const others = Math.max(0, this.#postings.passages.length - frequency)
    return Math.sqrt(Math.log(1 + (others + 0.5) / (frequency + 0.5)))
  }

  /** The terms of the corpus that are derived from the same root, and the short or long form. */
  #relatives(term: string): string[] {
    const same = sameTerms.get(term)
    const derived = roots(term).flatMap(root => this.#derivedFrom().get(root) ?? [])
    const all = [...derived, ...(same === undefined ? [] : [same])]
    return [...new Set(all)].filter(related => related !== term && this.#postings.frequency(related) > 0)
  }

  #derivedFrom(): Map<string, string[]> {
    const { vocabulary } = this.#postings
    if (this.#derived?.size === vocabulary.length) return this.#derived.terms
    const terms = new Map<string, string[]>()
    for (const term of vocabulary) {
      for (const root of roots(term)) {
        const list = terms.get(root)
        if (list) list.push(term)
        else terms.set(root, [term])
      }
    }
    this.#derived = { size: vocabulary.length, terms }
    return terms
  }

  /** Up to three terms of the corpus that are spelled like this one, the most frequent ones. */
  #spellings(term: string): string[] {
    const similar = similarSpellings(term, this.#postings.vocabulary)
    return similar.sort((a, b) => this.#postings.frequency(b) - this.#postings.frequency(a)).slice(0, 3)
  }
}
