/** A full-text index over passages, which ranks them for a question. */
import { setImmediate } from 'node:timers/promises'
import MiniSearch from 'minisearch'
import { terms, weakWords } from './text.ts'

/** A longer question is searched by this many of its terms, the rarest. */
const MAX_QUERY_TERMS = 32

/** A passage is a hit only with at least this share of the question's weight. */
const MIN_COVERAGE = 0.6

/** Weight of a weak word, relative to other words. */
const WEAK_WEIGHT = 0.2

/** Weight of a hint, relative to a term of the question. */
const HINT_WEIGHT = 0.3

/** Weight of a similar spelling that replaces an unknown term, relative to the term. */
const SPELLING_WEIGHT = 0.7

/** Prose answers a question better than a list item or a table row, and code worst. */
const KIND_WEIGHTS = { prose: 1, item: 0.85, row: 0.6, code: 0.5 }

const weakTerms = new Set(terms([...weakWords].join(' ')))

/** The unit of search and citation: a paragraph, list item, table row or code block of a document. */
export interface Passage {
  /** Unique in the corpus; the same in every load while the document is unchanged. */
  readonly id: string
  /** Position in the document, from 1. */
  readonly number: number
  /** `document title > heading > heading`. */
  readonly title: string
  /** URL relative to the corpus: the file's path and, as fragment, the heading above the passage. */
  readonly url: string
  readonly kind: 'prose' | 'item' | 'row' | 'code'
  readonly text: string
  /** Language of a code block; empty where unknown. */
  readonly language: string
  /** The nearest heading above, or the document's title. */
  readonly heading: string
  /** Whether it is the first passage under its heading. */
  readonly opensSection: boolean
  /** The paragraph that introduces it, such as “The steps are:” before a list; empty where there is none. */
  readonly lead: string
}

/** A passage that matches a question. */
export interface Hit {
  readonly passage: Passage
  /** Relevance by BM25; comparable only between hits of one search. */
  readonly score: number
  /** The share of the question's weight in the passage and its headings, 0 to 1. */
  readonly coverage: number
}

/** The result of one search. */
export interface SearchResult {
  /** Best first. */
  readonly hits: readonly Hit[]
  /** The terms that were searched for and their weights; rare terms weigh more. */
  readonly weights: ReadonlyMap<string, number>
  /** The hints and their weights. */
  readonly hints: ReadonlyMap<string, number>
  /** The weight of all terms of the question, including those that no passage contains. */
  readonly total: number
}

interface WeightedTerm {
  readonly text: string
  /** Weight relative to a term of the question that is no weak word. */
  readonly factor: number
}

/** Passages in the order they were added, and a BM25 index over them. */
export class SearchIndex {
  private readonly passages: Passage[] = []
  /** For each term the number of passages with it. */
  private readonly frequency = new Map<string, number>()
  private readonly index = new MiniSearch({
    fields: ['text', 'title', 'lead'],
    // `add` gives MiniSearch the terms of each field, joined by spaces.
    tokenize: text => text.split(' '),
    processTerm: term => term || null,
    searchOptions: { boost: { title: 1.5, lead: 0.5 } },
  })

  /** Number of passages. */
  get size(): number {
    return this.passages.length
  }

  add(passage: Passage): void {
    const text = terms(passage.text)
    const title = terms(passage.title)
    const lead = terms(passage.lead)
    for (const term of new Set([...text, ...title, ...lead])) {
      this.frequency.set(term, (this.frequency.get(term) ?? 0) + 1)
    }
    const fields = { text: text.join(' '), title: title.join(' '), lead: lead.join(' ') }
    this.index.add({ id: this.passages.length, ...fields })
    this.passages.push(passage)
  }

  /**
   * Finds the `limit` best passages for a question. The words in `hintText` raise the score of passages that match the
   * question; alone they match nothing. Yields to the event loop between terms.
   */
  async search(question: string, hintText: string, limit: number): Promise<SearchResult> {
    const asked = this.rarestTerms(question).map(term => ({ term, spellings: this.spellings(term) }))
    const total = asked.reduce((sum, { term, spellings }) => sum + this.maxWeight(term, spellings), 0)
    const searched = asked.flatMap(({ spellings }) => spellings)
    const weights = this.weightsOf(searched)
    const hints = this.rarestTerms(hintText)
      .filter(({ text }) => !weights.has(text) && this.isSelective(text))
      .map(({ text }) => ({ text, factor: HINT_WEIGHT }))
    const scores = await this.scores([...searched, ...hints], weights)
    const hits = [...scores].flatMap(([id, { score, weight }]) => {
      if (weight === 0 || weight < MIN_COVERAGE * total) return []
      const passage = this.passages[id]!
      const coverage = Math.min(1, weight / total)
      return [{ passage, score: score * (0.2 + coverage) * KIND_WEIGHTS[passage.kind], coverage }]
    })
    const best = hits.sort((a, b) => b.score - a.score).slice(0, limit)
    return { hits: best, weights, hints: this.weightsOf(hints), total }
  }

  /** The passages that directly follow this one under the same heading, at most `limit`. */
  following(passage: Passage, limit: number): Passage[] {
    const start = this.passages.indexOf(passage) + 1
    return this.passages.slice(start, start + limit).filter(({ url }) => url === passage.url)
  }

  /** For each matching passage: its BM25 score, and the sum of the `weights` of the terms in it. */
  private async scores(searched: readonly WeightedTerm[], weights: ReadonlyMap<string, number>) {
    const scores = new Map<number, { score: number; weight: number }>()
    for (const { text, factor } of searched) {
      // Scoring one frequent term takes milliseconds in a large corpus.
      await setImmediate()
      for (const { id, score } of this.index.search(text)) {
        const sum = scores.get(id) ?? { score: 0, weight: 0 }
        scores.set(id, { score: sum.score + factor * score, weight: sum.weight + (weights.get(text) ?? 0) })
      }
    }
    return scores
  }

  private weightsOf(searched: readonly WeightedTerm[]): ReadonlyMap<string, number> {
    return new Map(searched.map(term => [term.text, this.weight(term)]))
  }

  /** The {@link MAX_QUERY_TERMS} rarest terms of a text, rarest first. */
  private rarestTerms(text: string): WeightedTerm[] {
    const all = [...new Set(terms(text))].map(text => ({ text, factor: this.factorOf(text) }))
    return all.sort((a, b) => this.weight(b) - this.weight(a)).slice(0, MAX_QUERY_TERMS)
  }

  private factorOf(term: string): number {
    // `terms` pairs adjacent Han characters; a pair that the corpus does not contain is rarely a word.
    const isUnknownPair = !this.frequency.has(term) && /^\p{Script=Han}{2}$/u.test(term)
    return isUnknownPair || weakTerms.has(term) ? WEAK_WEIGHT : 1
  }

  /** Inverse document frequency; its square root keeps the frequent terms, which name the corpus' subject, relevant. */
  private weight({ text, factor }: WeightedTerm): number {
    const frequency = this.frequency.get(text) ?? 0
    return factor * Math.sqrt(Math.log(1 + (this.passages.length - frequency + 0.5) / (frequency + 0.5)))
  }

  /** The weight of a term of the question, or of the heaviest spelling that replaces it. */
  private maxWeight({ text, factor }: WeightedTerm, spellings: readonly WeightedTerm[]): number {
    const texts = spellings.length > 0 ? spellings.map(spelling => spelling.text) : [text]
    return Math.max(...texts.map(text => this.weight({ text, factor })))
  }

  /** Whether a term is in few enough passages to tell them apart. */
  private isSelective(term: string): boolean {
    const frequency = this.frequency.get(term) ?? 0
    return frequency > 0 && frequency <= Math.max(20, 0.2 * this.passages.length)
  }

  /** The term itself; for a term that the corpus does not contain, up to three similar ones that it does. */
  private spellings(term: WeightedTerm): WeightedTerm[] {
    const { text, factor } = term
    if (this.frequency.has(text)) return [term]
    if (text.length < 5) return []
    const beginning = text.slice(0, Math.max(5, Math.ceil(text.length * 0.6)))
    const misspelt = this.index.autoSuggest(text, { prefix: true, fuzzy: 0.2 })
    const similar = misspelt.length > 0 ? misspelt : this.index.autoSuggest(beginning, { prefix: true })
    const found = similar.flatMap(({ suggestion }) => suggestion.split(' ')).slice(0, 3)
    return found.map(text => ({ text, factor: SPELLING_WEIGHT * factor }))
  }
}
