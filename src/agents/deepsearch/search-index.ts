/** Ranks the passages of a corpus for a question. */
import { setImmediate } from 'node:timers/promises'
import type { Passage } from './passage.ts'
import { HEADING, PATH, Postings, type PostingsData } from './postings.ts'
import { type QueryWord, QueryWords } from './query-words.ts'

/** A passage is a hit only with at least this share of the question's weight. */
const MIN_COVERAGE = 0.55

/** How steeply the score falls with the share of the question that is missing. */
const COVERAGE_POWER = 1.5

/** What a name counts in that share, relative to another word: passages without it are no hits anyway. */
const NAME_SHARE = 0.5

/** Weight of a hint, relative to a word of the question. */
const HINT_WEIGHT = 0.3

/** Parameters of BM25: how soon a repeated term stops to count, and how much the length of a passage counts. */
const REPETITION = 1.2
const LENGTH_SHARE = 0.2

/** What a term is worth that stands in the paragraph which introduces a passage. */
const LEAD_SCORE = 0.5

/** Prose answers a question better than a list item or a table row, and code worst. */
const KIND_WEIGHTS = { prose: 1, item: 0.95, row: 0.85, code: 0.5 }

/** How much a heading that consists of words of the question raises the score of the passages below it. */
const HEADING_BONUS = 0.5

/** A section whose heading matches the question this well, 0 to 1, is quoted from its beginning on. */
export const MIN_HEADING_MATCH = 0.6

/** Such a beginning scores this much more than the passage below it that was found. */
const OPENING_BONUS = 1.1

/**
 * What a passage counts that is not in the writing of the question: Chinese for a question without a Chinese character, and
 * the other way round. Of a page and its translation, a reader gets the one that was asked for.
 */
const OTHER_WRITING = 0.3

const HAN = /\p{Script=Han}/u

/** What a row or an item counts that only names a page: the page itself answers. */
const SIGNPOST = 0.5

const ENDS_WITH_PAGE = /(?:^|\s)[\w./-]+\.(?:md|html?)$/

/** The prose before a code block gets this share of the block's score, since code is shown and not quoted. */
const CODE_SHARE = 0.8

/** A passage that matches a question. */
export interface Hit {
  readonly passage: Passage
  /** Relevance; comparable only between hits of one search. */
  readonly score: number
  /** The share of the question's weight in the passage and its context, 0 to 1. */
  readonly coverage: number
  /** How well the heading above it matches the question, 0 to 1. */
  readonly heading: number
  /** The passages that directly follow it under the same heading. */
  readonly following: readonly Passage[]
}

/** The result of one search. */
export interface SearchResult {
  /** Best first. */
  readonly hits: readonly Hit[]
  readonly words: readonly QueryWord[]
  /** Words that name a thing of which the corpus has nothing. */
  readonly unknown: readonly string[]
}

/**
 * The score of a term in the context of a section, by the sum of its places. In a document whose path has the term, all
 * passages are equally about it.
 */
const CONTEXT_SCORES = [0, 1, 0.6, 1, 0.9, 1]

/** The most passages that a hit is given to follow it. */
const MAX_FOLLOWING = 10

/** The passages of a corpus, which can be searched. */
export class SearchIndex {
  readonly #postings: Postings
  readonly #queryWords: QueryWords

  /** @param data {@link SearchIndex.data} of another index; without it the index is empty */
  constructor(data?: PostingsData) {
    this.#postings = new Postings(data)
    this.#queryWords = new QueryWords(this.#postings)
  }

  /** The content of the index, to be stored on disk. */
  get data(): PostingsData {
    return this.#postings.data
  }

  /** Number of passages. */
  get size(): number {
    return this.#postings.passages.length
  }

  /** Adds a passage. The passages of a section must follow each other. */
  add(passage: Passage): void {
    this.#postings.add(passage)
  }

  /**
   * Finds the `limit` best passages for a question. Each covers all words that name what the question is about, and most
   * of the others. The words in `hintText` raise the score of passages that match the question; alone they match
   * nothing. Yields to the event loop between words.
   */
  async search(question: string, hintText: string, limit: number): Promise<SearchResult> {
    const words = this.#queryWords.of(question)
    const total = sumOf(words, ({ weight }) => weight)
    const demanded = sumOf(words, weightToCover)
    const unknown = words.filter(({ isName, terms }) => isName && terms.size === 0).map(({ word }) => word)
    if (total === 0 || unknown.length > 0) return { hits: [], words, unknown }
    const found = new Map<number, { score: number; weight: number; covered: number; names: number }>()
    for (const word of words) {
      await setImmediate()
      for (const [number, score] of this.#scores(word)) {
        const sum = found.get(number) ?? { score: 0, weight: 0, covered: 0, names: 0 }
        sum.score += word.weight * score
        sum.weight += word.weight * Math.min(1, score * 2)
        sum.covered += weightToCover(word) * Math.min(1, score * 2)
        if (word.isName) sum.names++
        found.set(number, sum)
      }
    }
    const names = words.filter(({ isName }) => isName).length
    const matching = [...found].filter(
      ([, sum]) => sum.names === names && sum.covered >= MIN_COVERAGE * demanded,
    )
    const bonus = await this.#hintScores(hintText, words, new Set(matching.map(([number]) => number)))
    const headings = this.#headingMatches(words, total)
    const asksInHan = HAN.test(question)
    const best = new Map<number, { number: number; coverage: number; score: number }>()
    const offer = (number: number, coverage: number, score: number) => {
      if (score > (best.get(number)?.score ?? 0)) best.set(number, { number, coverage, score })
    }
    for (const [found, { score, weight }] of matching) {
      const coverage = weight / total
      const passage = this.#postings.passages[found]!
      const isCode = passage.kind === 'code'
      const isInHan = HAN.test(passage.title) || HAN.test(passage.text)
      const number = isCode ? this.#introduction(found) : found
      const heading = headings.get(this.#postings.sectionOf[found]!) ?? 0
      const relevance =
        (score + (bonus.get(found) ?? 0)) *
        (0.2 + coverage) ** COVERAGE_POWER *
        (1 + HEADING_BONUS * heading) *
        (isCode ? CODE_SHARE : KIND_WEIGHTS[passage.kind]) *
        (isInHan === asksInHan ? 1 : OTHER_WRITING) *
        (passage.kind !== 'prose' && ENDS_WITH_PAGE.test(passage.text) ? SIGNPOST : 1)
      offer(number, coverage, relevance)
      // A section whose heading asks the question answers it from its beginning on.
      if (heading >= MIN_HEADING_MATCH)
        offer(this.#postings.range(this.#postings.sectionOf[found]!)[0], coverage, OPENING_BONUS * relevance)
    }
    const hits = [...best.values()].sort((a, b) => b.score - a.score || a.number - b.number).slice(0, limit)
    return {
      hits: hits.map(({ number, score, coverage }) => {
        const heading = headings.get(this.#postings.sectionOf[number]!) ?? 0
        return {
          passage: this.#postings.passages[number]!,
          score,
          coverage,
          heading,
          following: this.#following(number),
        }
      }),
      words,
      unknown,
    }
  }

  /** The number of the passage that a code block belongs to: the last of its section before it that is no code. */
  #introduction(number: number): number {
    const [first] = this.#postings.range(this.#postings.sectionOf[number]!)
    let before = number - 1
    while (before >= first && this.#postings.passages[before]!.kind === 'code') before--
    return before >= first ? before : number
  }

  /**
   * How well the heading of a section matches the question, 0 to 1: the share of each that is in the other. Below
   * {@link MIN_HEADING_MATCH} when the names of the question stand neither in the heading nor in those above.
   */
  #headingMatches(words: readonly QueryWord[], total: number): Map<number, number> {
    const matches = new Map<number, { words: number; weight: number; names: number }>()
    for (const { terms, weight, isName } of words) {
      const sections = new Map<number, { worth: number; isHeading: boolean }>()
      for (const [term, worth] of terms) {
        for (const entry of this.#postings.inContext(term)) {
          const before = sections.get(entry >>> 3)
          const isHeading = (entry & 7) === HEADING || before?.isHeading === true
          sections.set(entry >>> 3, { worth: Math.max(worth, before?.worth ?? 0), isHeading })
        }
      }
      for (const [section, { worth, isHeading }] of sections) {
        const sum = matches.get(section) ?? { words: 0, weight: 0, names: 0 }
        if (isName) sum.names++
        if (isHeading) {
          sum.words += worth
          sum.weight += worth * weight
        }
        matches.set(section, sum)
      }
    }
    const names = words.filter(({ isName }) => isName).length
    const match = (section: number, sum: { words: number; weight: number; names: number }) => {
      const share = Math.sqrt(
        Math.min(1, sum.words / Math.max(1, this.#postings.headingLengths[section]!)) * (sum.weight / total),
      )
      return sum.names === names ? share : Math.min(share, MIN_HEADING_MATCH / 2)
    }
    return new Map([...matches].map(([section, sum]) => [section, match(section, sum)]))
  }

  #following(number: number): Passage[] {
    const { url } = this.#postings.passages[number]!
    const next = this.#postings.passages.slice(number + 1, number + 1 + MAX_FOLLOWING)
    const other = next.findIndex(passage => passage.url !== url)
    return other === -1 ? next : next.slice(0, other)
  }

  /** What the passages are worth that hints name, of those that answer the question. */
  async #hintScores(hintText: string, words: readonly QueryWord[], candidates: ReadonlySet<number>) {
    const bonus = new Map<number, number>()
    const asked = new Set(words.flatMap(({ terms }) => [...terms.keys()]))
    const hints = this.#queryWords
      .of(hintText)
      .filter(({ terms }) => ![...terms.keys()].some(term => asked.has(term)))
    for (const hint of hints) {
      await setImmediate()
      for (const [number, score] of this.#scores(hint)) {
        if (!candidates.has(number)) continue
        bonus.set(number, (bonus.get(number) ?? 0) + HINT_WEIGHT * hint.weight * score)
      }
    }
    return bonus
  }

  /** What a word is worth in each passage that it stands in or whose context it stands in. */
  #scores({ terms }: QueryWord): Map<number, number> {
    const scores = new Map<number, number>()
    const { meanLength } = this.#postings
    // In a document that is about the word it tells no passages apart.
    const subject = new Set<number>()
    const raise = (number: number, score: number) => {
      if (score > (scores.get(number) ?? 0)) scores.set(number, score)
    }
    for (const [term, worth] of terms) {
      for (const entry of this.#postings.inContext(term)) {
        const section = entry >>> 3
        const [first, end] = this.#postings.range(section)
        const score = worth * CONTEXT_SCORES[entry & 7]!
        if ((entry & PATH) !== 0) subject.add(section)
        for (let number = first; number < end; number++) raise(number, score)
      }
      for (const entry of this.#postings.inText(term)) {
        const number = entry >>> 3
        const count = entry & 7
        const length = 1 - LENGTH_SHARE + (LENGTH_SHARE * this.#postings.lengths[number]!) / meanLength
        if (subject.has(this.#postings.sectionOf[number]!)) continue
        const inText = (count * (REPETITION + 1)) / (count + REPETITION * length)
        raise(number, worth * (count === 0 ? LEAD_SCORE : Math.max(LEAD_SCORE, inText)))
      }
    }
    return scores
  }
}

/** What a word counts in the share of the question that a passage must cover: all names are covered anyway. */
function weightToCover({ weight, isName }: QueryWord): number {
  return isName ? NAME_SHARE * weight : weight
}

function sumOf<Item>(items: readonly Item[], measure: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + measure(item), 0)
}
