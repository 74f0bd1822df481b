/** A BM25 index over passages. */
import { setImmediate } from 'node:timers/promises'
import MiniSearch from 'minisearch'
import type { Passage } from './passages.ts'
import { weakWords } from './stopwords.ts'
import { terms } from './tokens.ts'

/** The most terms of a question that are searched for: its rarest. */
const QUERY_TERMS = 32

/** Passages with less of the question's weight than this do not answer it. */
const MIN_COVERAGE = 0.6

/** What a weak word counts, measured by a full one. */
const WEAK = 0.2

/** What a hint counts, measured by a term of the question. */
const HINT = 0.3

/** What another spelling counts, measured by the one asked for. */
const SPELLING = 0.7

/** Sentences read better than what stood in a list or a table, and answer better than code. */
const FORM = { prose: 1, item: 0.85, row: 0.6, code: 0.5 }

const weakTerms = new Set(terms([...weakWords].join(' ')))

/** A passage that a question found. */
export interface Hit {
  readonly passage: Passage
  /** BM25, comparable within one question only. */
  readonly score: number
  /** How much of the question's weight it holds, headings included, 0 to 1. */
  readonly coverage: number
}

/** What a question found, best first, and the terms it was found by. */
export interface Findings {
  readonly hits: readonly Hit[]
  /** What each term of the question weighs: rare ones more. */
  readonly weights: ReadonlyMap<string, number>
  /** The same for words that answers are written with; see {@link PassageIndex.search}. */
  readonly hints: ReadonlyMap<string, number>
  /** The weight of the whole question, with the terms that no passage holds. */
  readonly total: number
}

interface Term {
  readonly text: string
  /** What it counts, measured by a full term of the question. */
  readonly share: number
}

/** Passages in the order they were added, searchable. */
export class PassageIndex {
  private readonly all: Passage[] = []
  /** In how many passages each term stands. */
  private readonly frequency = new Map<string, number>()
  private readonly index = new MiniSearch({
    fields: ['text', 'title', 'lead'],
    // Terms are made once, by `add`, and reach the index joined by spaces.
    tokenize: text => text.split(' '),
    processTerm: term => term || null,
    searchOptions: { boost: { title: 1.5, lead: 0.5 } },
  })

  get size(): number {
    return this.all.length
  }

  add(passage: Passage): void {
    const [text, title, lead] = [passage.text, passage.title, passage.lead].map(terms) as [
      string[],
      string[],
      string[],
    ]
    for (const term of new Set([...text, ...title, ...lead])) {
      this.frequency.set(term, (this.frequency.get(term) ?? 0) + 1)
    }
    this.index.add({
      id: this.all.length,
      text: text.join(' '),
      title: title.join(' '),
      lead: lead.join(' '),
    })
    this.all.push(passage)
  }

  /**
   * The `limit` best passages for a question. `hintText` holds words that make a passage likelier to be meant, without
   * being asked about.
   */
  async search(question: string, hintText: string, limit: number): Promise<Findings> {
    const asked = this.rarest(question).map(term => ({ term, spellings: this.spellings(term) }))
    const total = asked.reduce((sum, { term, spellings }) => sum + this.fullWeight(term, spellings), 0)
    const wanted = asked.flatMap(({ spellings }) => spellings)
    const weights = this.weightsOf(wanted)
    const telling = this.rarest(hintText).filter(({ text }) => !weights.has(text) && this.isTelling(text))
    const hinted = telling.map(({ text }) => ({ text, share: HINT }))
    const scores = await this.scores([...wanted, ...hinted], weights)
    const hits = [...scores].flatMap(([id, { score, weight }]) => {
      if (weight === 0 || weight < MIN_COVERAGE * total) return []
      const passage = this.all[id]!
      const coverage = Math.min(1, weight / total)
      return [{ passage, score: score * (0.2 + coverage) * FORM[passage.kind], coverage }]
    })
    const best = hits.sort((a, b) => b.score - a.score).slice(0, limit)
    return { hits: best, weights, hints: this.weightsOf(hinted), total }
  }

  /** The passages right after this one that stand under the same heading, at most `count`. */
  after(passage: Passage, count: number): Passage[] {
    const at = this.all.indexOf(passage) + 1
    return this.all.slice(at, at + count).filter(({ url }) => url === passage.url)
  }

  /** By passage: its BM25 score for the terms, and what those in `weights` weigh that it holds. */
  private async scores(wanted: readonly Term[], weights: ReadonlyMap<string, number>) {
    const scores = new Map<number, { score: number; weight: number }>()
    for (const { text, share } of wanted) {
      // A common term takes milliseconds in a large corpus.
      await setImmediate()
      for (const { id, score } of this.index.search(text)) {
        const sum = scores.get(id) ?? { score: 0, weight: 0 }
        scores.set(id, { score: sum.score + share * score, weight: sum.weight + (weights.get(text) ?? 0) })
      }
    }
    return scores
  }

  private weightsOf(wanted: readonly Term[]): ReadonlyMap<string, number> {
    return new Map(wanted.map(term => [term.text, this.weight(term)]))
  }

  /** The terms of a text that say most, first. */
  private rarest(text: string): Term[] {
    const all = [...new Set(terms(text))].map(text => ({ text, share: this.shareOf(text) }))
    return all.sort((a, b) => this.weight(b) - this.weight(a)).slice(0, QUERY_TERMS)
  }

  private shareOf(term: string): number {
    // A pair of Han characters that the corpus does not hold was mostly no word.
    const noWord = !this.frequency.has(term) && /^\p{Script=Han}{2}$/u.test(term)
    return noWord || weakTerms.has(term) ? WEAK : 1
  }

  /** How much finding a term says. The root lets common terms count: what a corpus is about is common in it. */
  private weight({ text, share }: Term): number {
    const frequency = this.frequency.get(text) ?? 0
    return share * Math.sqrt(Math.log(1 + (this.all.length - frequency + 0.5) / (frequency + 0.5)))
  }

  /** What a term weighs if it is what was meant by it. */
  private fullWeight({ text, share }: Term, spellings: readonly Term[]): number {
    const texts = spellings.length > 0 ? spellings.map(spelling => spelling.text) : [text]
    return Math.max(...texts.map(text => this.weight({ text, share })))
  }

  /** Whether a term stands in few enough passages to tell them apart. */
  private isTelling(term: string): boolean {
    const frequency = this.frequency.get(term) ?? 0
    return frequency > 0 && frequency <= Math.max(20, 0.2 * this.all.length)
  }

  /** The term, or for one that the corpus does not hold what it holds instead: other spellings and endings. */
  private spellings(term: Term): Term[] {
    const { text, share } = term
    if (this.frequency.has(text)) return [term]
    if (text.length < 5) return []
    const root = text.slice(0, Math.max(5, Math.ceil(text.length * 0.6)))
    const misspelt = this.index.autoSuggest(text, { prefix: true, fuzzy: 0.2 })
    const similar = misspelt.length > 0 ? misspelt : this.index.autoSuggest(root, { prefix: true })
    const found = similar.flatMap(({ suggestion }) => suggestion.split(' ')).slice(0, 3)
    return found.map(text => ({ text, share: SPELLING * share }))
  }
}
