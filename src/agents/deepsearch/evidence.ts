/** What an answer stands on: the quotes taken so far and their numbered sources. */
import { writeNothing, writeQuotes } from './answer.ts'
import type { Corpus } from './corpus.ts'
import type { Findings } from './passage-index.ts'
import { chooseQuotes, type Quote } from './quotes.ts'

/** A section of a document, cited by its place in {@link Evidence.sources}: the first as `[1]`. */
export interface Source {
  readonly sourceId: string
  readonly title: string
  readonly url: string
  readonly excerpt: string
}

/** What one question adds. */
export interface Part {
  /** Markdown with citations, or why there is no answer. */
  readonly text: string
  readonly answered: boolean
  /** Sources cited for the first time. */
  readonly sources: readonly Source[]
}

/** The evidence of one run, which grows question by question. */
export class Evidence {
  readonly sources: Source[] = []
  private readonly said: Quote[] = []

  /** Makes a question's part of the answer, of at most `quotes` quotes with at most `room` new sources. */
  answer(question: string, corpus: Corpus, findings: Findings, quotes: number, room: number): Part {
    const before = this.sources.length
    const chosen = chooseQuotes(corpus.passages, findings, this.said, quotes)
    const cited = chosen.filter(quote => this.cite(quote, before + room))
    this.said.push(...cited)
    const sources = this.sources.slice(before)
    if (cited.length > 0)
      return { text: writeQuotes(cited, quote => this.numberOf(quote)), answered: true, sources }
    if (chosen.length > 0) return { text: 'Left out: `maxSources` is used up.', answered: false, sources }
    const repeated = this.said.length > 0 && chooseQuotes(corpus.passages, findings, [], 1).length > 0
    if (repeated) return { text: 'What is said above answers this too.', answered: true, sources }
    return { text: writeNothing(question, corpus), answered: false, sources }
  }

  /** Whether a quote's source is among the sources, or can be added without exceeding `most`. */
  private cite(quote: Quote, most: number): boolean {
    if (this.numberOf(quote) > 0) return true
    if (this.sources.length >= most) return false
    const { title, url } = quote.passage
    this.sources.push({ sourceId: `s${this.sources.length + 1}`, title, url, excerpt: quote.text })
    return true
  }

  /** What a quote's source is cited by; 0 when it is not among the sources. */
  private numberOf({ passage }: Quote): number {
    return this.sources.findIndex(({ url }) => url === passage.url) + 1
  }
}
