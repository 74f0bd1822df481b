/** Writes the answer to a question: chooses sentences from the passages found, cites their sources, writes Markdown. */
import type { Corpus, LeftOut } from './corpus.ts'
import type { Passage } from './passage.ts'
import type { QueryWord } from './query-words.ts'
import { type Hit, MIN_HEADING_MATCH, type SearchResult } from './search-index.ts'
import { joinLines, sentences, terms } from './text.ts'

/** A further quote needs at least this share of the first quote's value. */
const MIN_VALUE_SHARE = 0.4

/** A quoted sentence is extended by its neighbours up to this length, in chars. */
const QUOTE_CHARS = 320

/** Limit for the passages that follow a quote, in chars. */
const MAX_FOLLOWING_CHARS = 1_000

/** Two quotes with this share of terms in common say the same. */
const SAME_QUOTE_SHARE = 0.7

/** The end of a sentence that introduces what follows. */
const INTRODUCES = /[:：]$/

/** Nothing, or one word with punctuation, which is mostly a label. */
const FRAGMENT = /^(?:\p{Script=Latin}+[.:!]?)?$/u

/** The start of a sentence that refers to the one before it. */
const REFERS_BACK =
  /^(?:this|that|these|those|it|they|he|she|so|then|but|and|also|both|otherwise|therefore|however|instead|such|dies|diese[rs]?|er|sie|es|aber|und|also|sonst|deshalb)\b|^(?:这|那|它|他|但|因此|所以|否则|不过)/i

/** What a sentence and a further quote are worth without a word of the question, relative to all its words. */
const SENTENCE_BASE = 0.6
const QUOTE_BASE = 1

/** Value of a sentence that begins with the subject of the question, relative to others. */
const SUBJECT_FACTOR = 1.3

/** The start of a remark beside the point. */
const ASIDE = /^(?:[^\p{L}]*)(?:note|warning|caution|tip|hinweis|achtung|注意|提示)\b/iu

/** A section of a document that an answer cites. The first source of a run is cited as `[1]`. */
export interface Source {
  readonly sourceId: string
  readonly title: string
  readonly url: string
  /** The quote that cites the source first. */
  readonly excerpt: string
}

/** The answer to one question. */
export interface Answer {
  /** Markdown with citations, or a sentence that says why there is no answer. */
  readonly text: string
  readonly answered: boolean
  /** Sources that no earlier answer of the run cites. */
  readonly newSources: readonly Source[]
}

/** Consecutive sentences of a passage. */
export interface Quote {
  readonly passage: Passage
  readonly text: string
  /** Passages that are shown after the text because they belong to it, such as the list that it introduces. */
  readonly following: readonly Passage[]
}

/** Answers the questions of one run. Numbers the sources and quotes nothing twice across the run. */
export class AnswerWriter {
  /** All sources cited so far, in the order of their numbers. */
  readonly sources: Source[] = []
  private readonly quotes: Quote[] = []
  private readonly baseUrl: string

  /** @param baseUrl put before the path of a source */
  constructor(baseUrl = '') {
    this.baseUrl = baseUrl
  }

  /** Answers a question with at most `maxQuotes` quotes that cite at most `maxNewSources` new sources. */
  answer(
    question: string,
    corpus: Corpus,
    result: SearchResult,
    maxQuotes: number,
    maxNewSources: number,
  ): Answer {
    const before = this.sources.length
    const chosen = chooseQuotes(result, this.quotes, maxQuotes)
    const cited = chosen.filter(quote => this.cite(quote, before + maxNewSources))
    this.quotes.push(...cited)
    const newSources = this.sources.slice(before)
    if (cited.length > 0) {
      return { text: writeQuotes(cited, quote => this.numberOf(quote)), answered: true, newSources }
    }
    if (chosen.length > 0) {
      return { text: 'Not answered: the limit `maxSources` is reached.', answered: false, newSources }
    }
    const isRepeated = this.quotes.length > 0 && chooseQuotes(result, [], 1).length > 0
    if (isRepeated) return { text: 'The answer above covers this question too.', answered: true, newSources }
    return { text: noAnswer(question, result, corpus), answered: false, newSources }
  }

  /** Adds the quote's source unless it is known. False when that would exceed `maxSources`. */
  private cite(quote: Quote, maxSources: number): boolean {
    if (this.numberOf(quote) > 0) return true
    if (this.sources.length >= maxSources) return false
    const { title } = quote.passage
    const url = this.baseUrl + quote.passage.url
    this.sources.push({ sourceId: `s${this.sources.length + 1}`, title, url, excerpt: quote.text })
    return true
  }

  /** The number that cites the quote's source; 0 for an unknown source. */
  private numberOf({ passage }: Quote): number {
    return this.sources.findIndex(({ url }) => url === this.baseUrl + passage.url) + 1
  }
}

/** A sentence that may be quoted. */
interface Candidate {
  readonly hit: Hit
  /** All sentences of its passage. */
  readonly sentences: readonly string[]
  readonly position: number
  readonly terms: ReadonlySet<string>
  readonly relevance: number
  /** How well the heading matches the question, 0 to 1; 0 unless the passage opens its section. */
  readonly headingMatch: number
}

/**
 * Chooses at most `limit` quotes that cover most of the question, in reading order. Leaves out what `earlier` quotes say
 * already. Empty when no sentence answers the question.
 */
export function chooseQuotes(result: SearchResult, earlier: readonly Quote[], limit: number): Quote[] {
  let candidates = result.hits.flatMap(hit => candidatesOf(hit, result))
  const dropSimilar = ({ passage, text, following }: Quote) => {
    const quoted = [text, ...following.map(passage => passage.text)].map(text => new Set(terms(text)))
    candidates = candidates.filter(
      ({ hit, terms }) => hit.passage !== passage && !quoted.some(other => haveSameTerms(terms, other)),
    )
  }
  earlier.forEach(dropSimilar)
  const chosen: Quote[] = []
  const covered = new Set<string>()
  const worthOf = ({ relevance, terms }: Candidate) =>
    relevance * (QUOTE_BASE + shareOf(result, terms, covered))
  let minValue = 0
  while (chosen.length < limit) {
    const [best] = candidates.toSorted((a, b) => worthOf(b) - worthOf(a))
    if (!best || worthOf(best) < minValue) break
    minValue ||= worthOf(best) * MIN_VALUE_SHARE
    const quote = quoteAround(best)
    chosen.push(quote)
    dropSimilar(quote)
    for (const term of best.terms) covered.add(term)
  }
  const isShownElsewhere = ({ passage }: Quote) =>
    chosen.some(({ following }) => following.some(({ id }) => id === passage.id))
  return inReadingOrder(chosen.filter(quote => !isShownElsewhere(quote)))
}

function candidatesOf(hit: Hit, result: SearchResult): Candidate[] {
  const { passage, score } = hit
  if (passage.kind === 'code') return []
  const all = passage.kind === 'row' ? [passage.text] : sentences(passage.text)
  const headingMatch = passage.opensSection ? hit.heading : 0
  return all.map((text, position) => {
    const ownTerms = new Set(terms(text))
    const answersHeading = position === 0 && headingMatch >= MIN_HEADING_MATCH
    const share = answersHeading ? 1 : shareOf(result, ownTerms)
    const subject = answersHeading ? SUBJECT_FACTOR : subjectFactor(ownTerms, result)
    const rank = score / result.hits[0]!.score
    const relevance = rank * (SENTENCE_BASE + share) * subject * independenceFactor(text)
    return { hit, sentences: all, position, terms: ownTerms, relevance, headingMatch }
  })
}

/** The share of the question's weight that a set of terms covers, 0 to 1; `covered` terms count half. */
function shareOf(
  { words }: SearchResult,
  own: ReadonlySet<string>,
  covered: ReadonlySet<string> = new Set(),
): number {
  const total = words.reduce((sum, { weight }) => sum + weight, 0)
  const worth = ({ terms }: QueryWord) =>
    Math.max(
      0,
      ...[...terms].map(([term, worth]) => (!own.has(term) ? 0 : covered.has(term) ? worth / 2 : worth)),
    )
  return words.reduce((sum, word) => sum + word.weight * worth(word), 0) / total
}

/** Prefers sentences that begin with the subject of the question: they often define it. */
function subjectFactor(own: ReadonlySet<string>, { words }: SearchResult): number {
  const minWeight = 0.5 * Math.max(...words.map(({ weight }) => weight))
  const named = words.filter(({ weight }) => weight >= minWeight)
  const subjects = new Set(named.flatMap(({ terms }) => [...terms.keys()]))
  const first = [...own].slice(0, Math.min(2, named.length))
  return first.every(term => subjects.has(term)) ? SUBJECT_FACTOR : subjects.has(first[0] ?? '') ? 1.1 : 1
}

/** Prefers sentences that can be understood alone: of usual length, no question, no remark, no reference to the one before. */
function independenceFactor(text: string): number {
  const length = text.length < 12 || text.length > 350 ? 0.6 : 1
  const reference = REFERS_BACK.test(text) || ASIDE.test(text) ? 0.7 : 1
  return length * (/[?？]$/.test(text) ? 0.5 : 1) * reference
}

/** Quotes the candidate with the sentences after and before it that fit, and the passages that belong to it. */
function quoteAround({ hit, sentences, position, headingMatch }: Candidate): Quote {
  const { passage } = hit
  const answersHeading = position === 0 && headingMatch >= MIN_HEADING_MATCH
  const following = followingOf(hit, answersHeading)
  const introducesNothing = INTRODUCES.test(passage.text) && following.length === 0
  const last = introducesNothing ? sentences.length - 1 : sentences.length
  const maxChars = answersHeading ? 2 * QUOTE_CHARS : QUOTE_CHARS
  let start = position
  let end = position + 1
  const text = () => joinLines(sentences.slice(start, end))
  const fits = (sentence = '') => !FRAGMENT.test(sentence) && text().length + sentence.length < maxChars
  while (end < last && fits(sentences[end])) end++
  while (start > 0 && fits(sentences[start - 1])) start--
  return { passage, text: text(), following: end === sentences.length ? following : [] }
}

/**
 * The passages after this one that belong to it, within the limits: the code, list or rows that it introduces, or with
 * `wholeSection` whatever follows in the section.
 */
function followingOf({ passage, following: next }: Hit, wholeSection: boolean): Passage[] {
  if (!wholeSection && !INTRODUCES.test(passage.text)) return []
  const taken: Passage[] = []
  let chars = 0
  for (const candidate of next) {
    const { kind, text } = candidate
    chars += text.length
    const belongs = wholeSection || (kind !== 'prose' && kind === next[0]?.kind)
    if (chars > MAX_FOLLOWING_CHARS || !belongs) break
    taken.push(candidate)
  }
  return INTRODUCES.test(taken.at(-1)?.text ?? '') ? taken.slice(0, -1) : taken
}

/** Sorts by section, the section of the best quote first, and within a section by position. */
function inReadingOrder(quotes: readonly Quote[]): Quote[] {
  const sections = [...new Set(quotes.map(({ passage }) => passage.url))]
  return quotes.toSorted(
    (a, b) =>
      sections.indexOf(a.passage.url) - sections.indexOf(b.passage.url) ||
      a.passage.number - b.passage.number,
  )
}

function haveSameTerms(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  let common = 0
  for (const term of a) if (b.has(term)) common++
  return common > 0 && common >= SAME_QUOTE_SHARE * Math.min(a.size, b.size)
}

/**
 * Writes quotes and their following passages as Markdown, list items and table rows as bullets.
 * @param numberOf gives the number that cites a quote's source
 */
export function writeQuotes(quotes: readonly Quote[], numberOf: (quote: Quote) => number): string {
  const parts = quotes.flatMap(quote => {
    const citation = ` [${numberOf(quote)}]`
    const following = quote.following.map((passage, i) => {
      const isCited = passage.kind === 'prose' || i === quote.following.length - 1
      return writePassage(passage, isCited ? citation : '')
    })
    return [writePassage({ ...quote.passage, text: quote.text }, citation), ...following]
  })
  return parts.map((part, i) => separator(parts[i - 1], part) + part).join('')
}

/** Writes a question as the heading above its answer. */
export function writeHeading(question: string): string {
  return `**${oneLine(question)}**`
}

/** `1 file`, `2 files`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

function noAnswer(question: string, { unknown }: SearchResult, { documents, leftOut }: Corpus): string {
  const missing = leftOutText(leftOut)
  if (documents > 0) {
    const names = unknown.map(word => `“${oneLine(word)}”`).join(' or ')
    const why = names === '' ? '' : ` Nothing is said about ${names}.`
    const without = missing === '' ? '' : ` It lacks ${missing}.`
    return `Nothing in the corpus answers “${oneLine(question)}”.${why} The corpus has ${count(documents, 'document')}.${without}`
  }
  const advice =
    'Start the server with `--corpus DIR`, a folder of Markdown, text or HTML files, and ask again.'
  return `The corpus has no documents${missing === '' ? '' : ` (without ${missing})`}. ${advice}`
}

/** What was left out of a corpus, in words; empty when nothing was. */
export function leftOutText({ unreadable, notText, tooLarge, beyondLimits }: LeftOut): string {
  const parts: [number, string][] = [
    [unreadable, 'that could not be read'],
    [notText, 'that is no text'],
    [tooLarge, 'that is too large'],
    [beyondLimits, 'beyond the limits of the corpus'],
  ]
  return parts
    .filter(([number]) => number > 0)
    .map(
      ([number, why]) =>
        `${count(number, 'file')} ${number === 1 ? why : why.replace('that is', 'that are')}`,
    )
    .join(', ')
}

function oneLine(question: string): string {
  return escapeMarkdown(question.replace(/\s+/g, ' ').trim())
}

function writePassage({ kind, text, language }: Passage, citation: string): string {
  if (kind === 'code') return fencedCode(text, language)
  return `${kind === 'prose' ? '' : '- '}${completeSentence(text)}${citation}`
}

function separator(before: string | undefined, part: string): string {
  if (before === undefined) return ''
  return before.startsWith('- ') && part.startsWith('- ') ? '\n' : '\n\n'
}

function fencedCode(code: string, language: string): string {
  const longest = Math.max(2, ...(code.match(/`+/g) ?? []).map(ticks => ticks.length))
  const fence = '`'.repeat(longest + 1)
  // Anything else in the first line could end the fence before it has begun.
  const name = /^[\w+#.-]{1,32}$/.test(language) ? language : ''
  return `${fence}${name}\n${code}\n${fence}`
}

/** Escapes the text, and ends it with a full stop unless it ends with punctuation. */
function completeSentence(text: string): string {
  const isComplete = /[.!?:;…。！？：；]["'”’)\]`」』）]*$/.test(text)
  const stop = /\p{Script=Han}[^\p{L}]*$/u.test(text) ? '。' : '.'
  return escapeMarkdown(isComplete ? text : `${text.replace(/[,，、]$/, '')}${stop}`)
}

/** Code between as many backticks on both sides, as CommonMark finds it. */
const CODE_SPAN = /((?<!`)(`+)(?!`).*?(?<!`)\2(?!`))/s

/**
 * Escapes what Markdown would read as HTML, emphasis, links or images, so that documents and questions cannot put a
 * `javascript:` link or a tracking image into an answer. Code spans stay as they are.
 */
export function escapeMarkdown(text: string): string {
  const pieces: { text: string; isCode: boolean }[] = []
  let rest = text
  for (let code = CODE_SPAN.exec(rest); code; code = CODE_SPAN.exec(rest)) {
    pieces.push({ text: rest.slice(0, code.index), isCode: false }, { text: code[0], isCode: true })
    rest = rest.slice(code.index + code[0].length)
  }
  pieces.push({ text: rest, isCode: false })
  // Some renderers end a link that began before a code span within it.
  const lastEnd = pieces.findLastIndex(piece => piece.isCode && LINK_MIDDLE.test(piece.text))
  return pieces
    .map(({ text, isCode }, i) => {
      if (isCode) return text
      return i < lastEnd ? escapeText(text).replace(LINK_BEGIN, '\\[') : escapeText(text)
    })
    .join('')
}

/** Where the text of a link ends and its address begins. */
const LINK_MIDDLE = /\][([:]/

/** A bracket that is not escaped. */
const LINK_BEGIN = /(?<=(?<!\\)(?:\\\\)*)\[/g

/** What is escaped: a backslash that would escape, a lone backtick, a tag, emphasis, and the middle of a link. */
const MARKUP = /\\(?=[!-/:-@[-`{-~]|$)|`|<(?=[a-z/!?])|\*(?=\S)|(?<=\S)\*|\](?=[([:])/gi

function escapeText(text: string): string {
  return text.replace(MARKUP, '\\$&')
}
