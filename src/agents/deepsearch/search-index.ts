/** A full-text index over passages, which ranks them for a question. */
import { setImmediate } from 'node:timers/promises'
import { roots, stem } from './stem.ts'
import { type Token, terms, tokens } from './text.ts'
import { sameWords, weakWords } from './words.ts'

/** A longer question is searched by this many of its words, the rarest. */
const MAX_QUERY_WORDS = 32

/** A passage is a hit only with at least this share of the question's weight. */
const MIN_COVERAGE = 0.55

/** How steeply the score falls with the share of the question that is missing. */
const COVERAGE_POWER = 1.5

/** What a name counts in that share, relative to another word: passages without it are no hits anyway. */
const NAME_SHARE = 0.5

/** Weight of a weak word, relative to other words. */
const WEAK_WEIGHT = 0.2

/** Weight of a hint, relative to a word of the question. */
const HINT_WEIGHT = 0.3

/** Weight of what stands for a word, relative to the word: a derived word, a short form, a similar spelling. */
const DERIVED_WEIGHT = 0.8
const SPELLING_WEIGHT = 0.7

/** Parameters of BM25: how soon a repeated term stops to count, and how much the length of a passage counts. */
const REPETITION = 1.2
const LENGTH_SHARE = 0.2

/** What a term is worth that stands in the paragraph which introduces a passage. */
const LEAD_SCORE = 0.5

/** Prose answers a question better than a list item or a table row, and code worst. */
const KIND_WEIGHTS = { prose: 1, item: 0.95, row: 0.85, code: 0.5 }

/**
 * A word names what the question is about when at most this share of the passages have it, or at most the second share
 * and it is in the name of a file, or when it is in the name of a folder.
 */
const RARE_SHARE = 0.005
const SUBJECT_SHARE = 0.05

/** How much a heading that consists of words of the question raises the score of the passages below it. */
const HEADING_BONUS = 0.5

/** A section whose heading matches the question this well, 0 to 1, is quoted from its beginning on. */
export const MIN_HEADING_MATCH = 0.6

/** Such a beginning scores this much more than the passage below it that was found. */
const OPENING_BONUS = 1.1

/** The prose before a code block gets this share of the block's score, since code is shown and not quoted. */
const CODE_SHARE = 0.8

const weakTerms = new Set(terms([...weakWords].join(' ')))
const sameTerms = new Map([...sameWords].map(([word, same]) => [stem(word), stem(same)]))

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
  /** Relevance; comparable only between hits of one search. */
  readonly score: number
  /** The share of the question's weight in the passage and its context, 0 to 1. */
  readonly coverage: number
  /** How well the heading above it matches the question, 0 to 1. */
  readonly heading: number
  /** The passages that directly follow it under the same heading. */
  readonly following: readonly Passage[]
}

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

/** The result of one search. */
export interface SearchResult {
  /** Best first. */
  readonly hits: readonly Hit[]
  readonly words: readonly QueryWord[]
  /** Words that name a thing of which the corpus has nothing. */
  readonly unknown: readonly string[]
}

/** Where a term stands in the context of all passages of a section: the sum of one or two of these. */
const PATH = 1
const TITLE = 2
const HEADING = 4

/** What it is worth there, by that sum. In a document whose path has the term, all passages are equally about it. */
const CONTEXT_SCORES = [0, 1, 0.6, 1, 0.9, 1]

/** The most passages that a hit is given to follow it. */
const MAX_FOLLOWING = 10

/** What a {@link SearchIndex} consists of, to be kept on disk. */
export interface IndexParts {
  readonly passages: Passage[]
  readonly inText: Map<string, number[]>
  readonly inContext: Map<string, number[]>
  readonly folders: Set<string>
  readonly files: Set<string>
  readonly headingLengths: number[]
  readonly lengths: number[]
  readonly sectionOf: number[]
  readonly sections: number[]
}

/** Passages in the order they were added, and the places of their terms. */
export class SearchIndex {
  private readonly passages: Passage[]
  /** For each term the passages with it in text or lead: number of the passage × 8 + times in the text, at most 7. */
  private readonly inText: Map<string, number[]>
  /** For each term the sections with it in path or headings: number of the section × 8 + how. */
  private readonly inContext: Map<string, number[]>
  /** For each passage the number of its section. */
  private readonly sectionOf: number[]
  /** Number of the first passage of each section. */
  private readonly sections: number[]
  /** The terms in names of folders, and those in names of files. */
  private readonly folders: Set<string>
  private readonly files: Set<string>
  /** For each section the number of terms of its heading. */
  private readonly headingLengths: number[]
  private readonly lengths: number[]
  private totalLength = 0
  private sectionKey = ''
  /** For each root the terms that it may have derived; made with the first search. */
  private derived: Map<string, string[]> | undefined

  /** @param parts what {@link SearchIndex.parts} gave of another index; without it, the index is empty */
  constructor(parts?: IndexParts) {
    this.passages = parts?.passages ?? []
    this.inText = parts?.inText ?? new Map()
    this.inContext = parts?.inContext ?? new Map()
    this.folders = parts?.folders ?? new Set()
    this.files = parts?.files ?? new Set()
    this.headingLengths = parts?.headingLengths ?? []
    this.lengths = parts?.lengths ?? []
    this.sectionOf = parts?.sectionOf ?? []
    this.sections = parts?.sections ?? []
    this.totalLength = sumOf(this.lengths, length => length)
  }

  parts(): IndexParts {
    const { passages, inText, inContext, folders, files, headingLengths, lengths, sectionOf, sections } = this
    return { passages, inText, inContext, folders, files, headingLengths, lengths, sectionOf, sections }
  }

  /** Number of passages. */
  get size(): number {
    return this.passages.length
  }

  /** Adds a passage. The passages of a section must follow each other. */
  add(passage: Passage): void {
    const key = `${passage.url} ${passage.title}`
    if (key !== this.sectionKey) this.addSection(passage)
    this.sectionKey = key
    const number = this.passages.length
    const counts = new Map<string, number>()
    for (const term of terms(passage.lead)) counts.set(term, 0)
    const own = terms(passage.text)
    for (const term of own) counts.set(term, Math.min(7, (counts.get(term) ?? 0) + 1))
    for (const [term, count] of counts) addTo(this.inText, term, number * 8 + count)
    this.lengths.push(own.length)
    this.sectionOf.push(this.sections.length - 1)
    this.totalLength += own.length
    this.passages.push(passage)
    this.derived = undefined
  }

  private addSection({ url, title, heading }: Passage): void {
    const number = this.sections.length
    const [path = ''] = url.split('#')
    const places = new Map<string, number>()
    for (const [i, name] of path.split('/').reverse().entries()) {
      for (const term of terms(decodeURIComponent(name))) {
        places.set(term, PATH)
        if (i === 0) this.files.add(term)
        else this.folders.add(term)
      }
    }
    const raise = (term: string, place: number) => {
      const isInPath = ((places.get(term) ?? 0) & PATH) !== 0
      places.set(term, isInPath ? place + PATH : place)
    }
    for (const term of terms(title)) raise(term, TITLE)
    let length = 0
    for (const { terms } of tokens(heading)) {
      for (const term of terms) raise(term, HEADING)
      const isNew = terms.some(term => places.get(term) === HEADING)
      if (isNew) length += Math.max(1, terms.length - 1)
    }
    this.headingLengths.push(length)
    for (const [term, place] of places) addTo(this.inContext, term, number * 8 + place)
    this.sections.push(this.passages.length)
  }

  /**
   * Finds the `limit` best passages for a question. Each covers all words that name what the question is about, and most
   * of the others. The words in `hintText` raise the score of passages that match the question; alone they match
   * nothing. Yields to the event loop between words.
   */
  async search(question: string, hintText: string, limit: number): Promise<SearchResult> {
    const words = this.wordsOf(question)
    const total = sumOf(words, ({ weight }) => weight)
    const demanded = sumOf(words, weightToCover)
    const unknown = words.filter(({ isName, terms }) => isName && terms.size === 0).map(({ word }) => word)
    if (total === 0 || unknown.length > 0) return { hits: [], words, unknown }
    const found = new Map<number, { score: number; weight: number; covered: number; names: number }>()
    for (const word of words) {
      await setImmediate()
      for (const [number, score] of this.scores(word)) {
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
    const bonus = await this.hintScores(hintText, words, new Set(matching.map(([number]) => number)))
    const headings = this.headingMatches(words, total)
    const best = new Map<number, { number: number; coverage: number; score: number }>()
    const offer = (number: number, coverage: number, score: number) => {
      if (score > (best.get(number)?.score ?? 0)) best.set(number, { number, coverage, score })
    }
    for (const [found, { score, weight }] of matching) {
      const coverage = weight / total
      const isCode = this.passages[found]!.kind === 'code'
      const number = isCode ? this.introduction(found) : found
      const heading = headings.get(this.sectionOf[found]!) ?? 0
      const relevance =
        (score + (bonus.get(found) ?? 0)) *
        (0.2 + coverage) ** COVERAGE_POWER *
        (1 + HEADING_BONUS * heading) *
        (isCode ? CODE_SHARE : KIND_WEIGHTS[this.passages[found]!.kind])
      offer(number, coverage, relevance)
      // A section whose heading asks the question answers it from its beginning on.
      if (heading >= MIN_HEADING_MATCH)
        offer(this.sections[this.sectionOf[found]!]!, coverage, OPENING_BONUS * relevance)
    }
    const hits = [...best.values()].sort((a, b) => b.score - a.score || a.number - b.number).slice(0, limit)
    return {
      hits: hits.map(({ number, score, coverage }) => {
        const heading = headings.get(this.sectionOf[number]!) ?? 0
        return {
          passage: this.passages[number]!,
          score,
          coverage,
          heading,
          following: this.following(number),
        }
      }),
      words,
      unknown,
    }
  }

  /** The number of the passage that a code block belongs to: the last of its section before it that is no code. */
  private introduction(number: number): number {
    const first = this.sections[this.sectionOf[number]!]!
    let before = number - 1
    while (before >= first && this.passages[before]!.kind === 'code') before--
    return before >= first ? before : number
  }

  /**
   * How well the heading of a section matches the question, 0 to 1: the share of each that is in the other. Below
   * {@link MIN_HEADING_MATCH} when the names of the question stand neither in the heading nor in those above.
   */
  private headingMatches(words: readonly QueryWord[], total: number): Map<number, number> {
    const matches = new Map<number, { words: number; weight: number; names: number }>()
    for (const { terms, weight, isName } of words) {
      const sections = new Map<number, { worth: number; isHeading: boolean }>()
      for (const [term, worth] of terms) {
        for (const entry of this.inContext.get(term) ?? []) {
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
        Math.min(1, sum.words / Math.max(1, this.headingLengths[section]!)) * (sum.weight / total),
      )
      return sum.names === names ? share : Math.min(share, MIN_HEADING_MATCH / 2)
    }
    return new Map([...matches].map(([section, sum]) => [section, match(section, sum)]))
  }

  private following(number: number): Passage[] {
    const { url } = this.passages[number]!
    const next = this.passages.slice(number + 1, number + 1 + MAX_FOLLOWING)
    const other = next.findIndex(passage => passage.url !== url)
    return other === -1 ? next : next.slice(0, other)
  }

  /** What the passages are worth that hints name, of those that answer the question. */
  private async hintScores(hintText: string, words: readonly QueryWord[], candidates: ReadonlySet<number>) {
    const bonus = new Map<number, number>()
    const asked = new Set(words.flatMap(({ terms }) => [...terms.keys()]))
    const hints = this.wordsOf(hintText).filter(
      ({ terms }) => ![...terms.keys()].some(term => asked.has(term)),
    )
    for (const hint of hints) {
      await setImmediate()
      for (const [number, score] of this.scores(hint)) {
        if (!candidates.has(number)) continue
        bonus.set(number, (bonus.get(number) ?? 0) + HINT_WEIGHT * hint.weight * score)
      }
    }
    return bonus
  }

  /** What a word is worth in each passage that it stands in or whose context it stands in. */
  private scores({ terms }: QueryWord): Map<number, number> {
    const scores = new Map<number, number>()
    const meanLength = this.totalLength / this.passages.length
    // In a document that is about the word it tells no passages apart.
    const subject = new Set<number>()
    const raise = (number: number, score: number) => {
      if (score > (scores.get(number) ?? 0)) scores.set(number, score)
    }
    for (const [term, worth] of terms) {
      for (const entry of this.inContext.get(term) ?? []) {
        const section = entry >>> 3
        const end = this.sections[section + 1] ?? this.passages.length
        const score = worth * CONTEXT_SCORES[entry & 7]!
        if ((entry & PATH) !== 0) subject.add(section)
        for (let number = this.sections[section]!; number < end; number++) raise(number, score)
      }
      for (const entry of this.inText.get(term) ?? []) {
        const number = entry >>> 3
        const count = entry & 7
        const length = 1 - LENGTH_SHARE + (LENGTH_SHARE * this.lengths[number]!) / meanLength
        if (subject.has(this.sectionOf[number]!)) continue
        const inText = (count * (REPETITION + 1)) / (count + REPETITION * length)
        raise(number, worth * (count === 0 ? LEAD_SCORE : Math.max(LEAD_SCORE, inText)))
      }
    }
    return scores
  }

  /** The rarest words of a text, rarest first. */
  private wordsOf(text: string): QueryWord[] {
    const found = new Map<string, QueryWord>()
    for (const token of tokens(text)) {
      for (const word of this.queryWords(token)) found.set([...word.terms.keys()].join() || word.word, word)
    }
    return [...found.values()].sort((a, b) => b.weight - a.weight).slice(0, MAX_QUERY_WORDS)
  }

  /** A name that the corpus has is one word; of another name each part is one. */
  private queryWords({ word, terms }: Token): QueryWord[] {
    const [whole, ...parts] = terms
    if (whole === undefined) return []
    if (parts.length === 0 || this.frequency(whole) > 0) return [this.queryWord(word, whole)]
    return parts.map(part => this.queryWord(word, part))
  }

  private queryWord(word: string, term: string): QueryWord {
    const isHan = /\p{Script=Han}/u.test(term)
    const isWeak = weakTerms.has(term)
    const found = new Map<string, number>()
    if (this.frequency(term) > 0) found.set(term, 1)
    for (const related of this.relatives(term)) found.set(related, DERIVED_WEIGHT)
    if (found.size === 0) for (const similar of this.spellings(term)) found.set(similar, SPELLING_WEIGHT)
    const frequency = [...found.keys()].reduce((sum, related) => sum + this.frequency(related), 0)
    // A Chinese word that the corpus lacks is often one that the dictionary cut in another way.
    const isLikelyNoWord = isHan && found.size === 0
    const factor = isWeak || isLikelyNoWord ? WEAK_WEIGHT : 1
    const isRare = frequency <= RARE_SHARE * this.passages.length
    const isSubject =
      this.folders.has(term) || (this.files.has(term) && frequency <= SUBJECT_SHARE * this.passages.length)
    return {
      word,
      weight: factor * this.weight(frequency),
      terms: found,
      isName: !isWeak && !isHan && !term.startsWith('#') && (isRare || isSubject),
    }
  }

  /** Inverse document frequency; its square root keeps the frequent terms, which name the corpus' subject, relevant. */
  private weight(frequency: number): number {
    const others = Math.max(0, this.passages.length - frequency)
    return Math.sqrt(Math.log(1 + (others + 0.5) / (frequency + 0.5)))
  }

  /** The number of passages with a term in text or context. */
  private frequency(term: string): number {
    let count = this.inText.get(term)?.length ?? 0
    for (const entry of this.inContext.get(term) ?? []) {
      const section = entry >>> 3
      count += (this.sections[section + 1] ?? this.passages.length) - this.sections[section]!
    }
    return count
  }

  /** The terms of the corpus that are derived from the same root, and the short or long form. */
  private relatives(term: string): string[] {
    const same = sameTerms.get(term)
    const derived = roots(term).flatMap(root => this.derivedFrom().get(root) ?? [])
    const all = [...derived, ...(same === undefined ? [] : [same])]
    return [...new Set(all)].filter(related => related !== term && this.frequency(related) > 0)
  }

  private derivedFrom(): Map<string, string[]> {
    if (this.derived) return this.derived
    this.derived = new Map()
    for (const term of this.vocabulary()) for (const root of roots(term)) addTo(this.derived, root, term)
    return this.derived
  }

  /** Up to three terms of the corpus that are spelled like this one. */
  private spellings(term: string): string[] {
    if (!/^\p{L}{5,}$/u.test(term) || UNSPELLED.test(term)) return []
    const maxEdits = term.length < 8 ? 1 : 2
    const similar = this.vocabulary().filter(
      other => Math.abs(other.length - term.length) <= maxEdits && edits(term, other) <= maxEdits,
    )
    return similar.sort((a, b) => this.frequency(b) - this.frequency(a)).slice(0, 3)
  }

  private vocabulary(): string[] {
    return [...new Set([...this.inText.keys(), ...this.inContext.keys()])]
  }
}

/** What a word counts in the share of the question that a passage must cover: all names are covered anyway. */
function weightToCover({ weight, isName }: QueryWord): number {
  return isName ? NAME_SHARE * weight : weight
}

function sumOf<Item>(items: readonly Item[], measure: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + measure(item), 0)
}

/** Scripts in which a similar spelling is another word. */
const UNSPELLED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u

function addTo<Value>(lists: Map<string, Value[]>, key: string, value: Value): void {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}

/** The number of letters to add, remove, replace or swap with the next to make one word of another. */
function edits(from: string, to: string): number {
  let before: number[] = []
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      const swapped = isSwap ? before[j - 2]! + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, replaced, swapped))
    }
    before = row
    row = next
  }
  return row[to.length]!
}
