/**
 * Cuts text into words, search terms, sentences and stream deltas. Everything rests on `Intl.Segmenter`, which knows
 * scripts without spaces.
 */

import { stem } from './stem.ts'
import { stopWords } from './words.ts'

const wordSegmenter = new Intl.Segmenter('en', { granularity: 'word' })
const sentenceSegmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

/**
 * Longest text given to a segmenter in one call, in chars. V8 segments in time quadratic in the length (1 MiB took 290 s).
 */
const SLICE_CHARS = 1_000

/** A sentence is continued over an abbreviation or an open bracket only while it is shorter than this, in chars. */
const MAX_JOINED_SENTENCE_CHARS = 600

const ABBREVIATION =
  /(?:^|[\s(])(?:e\.g|i\.e|cf|vs|etc|approx|resp|sec|fig|no|dr|mr|mrs|z\.\s?B|d\.\s?h|bzw|ca|vgl)\.\s*$/i

const HAN_CHARACTER = /^\p{Script=Han}$/u

/** Splits text into slices of at most `size` chars: at a space where possible, never inside a surrogate pair. */
export function slices(text: string, size: number): string[] {
  const found: string[] = []
  let start = 0
  while (text.length - start > size) {
    const end = start + size
    const afterSpace = text.lastIndexOf(' ', end - 1) + 1
    const splitsPair = /[\uD800-\uDBFF]/.test(text[end - 1] ?? '')
    const cut = afterSpace > start + size / 2 ? afterSpace : splitsPair ? end - 1 : end
    found.push(text.slice(start, cut))
    start = cut
  }
  if (start < text.length) found.push(text.slice(start))
  return found
}

/** Joins the lines of one paragraph with spaces; between two Han or kana characters a line break is no space. */
export function joinLines(lines: readonly string[]): string {
  const joined = lines
    .map(line => line.trim())
    .filter(line => line !== '')
    .join('\n')
  return (hasNoHan(joined) ? joined : joined.replace(BREAK_BETWEEN_HAN, '')).replaceAll('\n', ' ')
}

const BREAK_BETWEEN_HAN =
  /(?<=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}，。、；：！？])\n(?=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])/gu

/** Whether a text surely has no Han or kana character; a quick test. */
export function hasNoHan(text: string): boolean {
  return !/[\u2e80-\uffff]/.test(text)
}

/** A word: letters, digits and `_`, with what joins them in numbers and in English contractions. */
const WORD = /\d+(?:[.,]\d+)+|[\p{L}\p{M}\p{N}_]+(?:['’]\p{L}+)*/gu

/** The same of a text in ASCII. */
const ASCII_WORD = /\d+(?:[.,]\d+)+|[A-Za-z\d_]+(?:'[A-Za-z]+)*/g

const ASCII = /^[\0-\x7f]*$/

/** Scripts that put no spaces between words. */
export const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u
/** Blocks that have such scripts. Punctuation, symbols and emoji are in none of them. */
const MAYBE_UNSPACED = /[\u0e00-\u1fff\u2e80-\ud7ff\ud840-\udbff\uf900-\ufdff\ufe10-\uffff]/
const UNSPACED_RUN = new RegExp(`${UNSPACED.source}+`, 'gu')

/** A Chinese unit, and a number with one or a question for it: 七天, 几天. */
const UNIT = /^[天日周月年次个小分秒]/
const QUANTITY = /^(?:几|[一二三四五六七八九十百千万两]+)([天日周月年次个小分秒])/

/** A word of a text and the terms that it stands for; none for a stop word. */
export interface Token {
  readonly word: string
  readonly terms: readonly string[]
}

/**
 * The search terms of a text, in text order, repetitions included. A term is a stemmed word without case and accents;
 * stop words are left out. A name such as `bodyLimit` or `body_limit` gives a term for the whole and one for each part,
 * `run.started` one for each part. Two adjacent Han characters that the dictionary does not join also give a term
 * together, since most new Chinese words are such pairs.
 */
export function terms(text: string): string[] {
  const found: string[] = []
  const words = spacedWords(text)
  if (words) for (const word of words) found.push(...termsOf(word))
  else for (const token of tokens(text)) found.push(...token.terms)
  return found
}

/**
 * The words of a text in scripts with spaces, as most of what is indexed; `undefined` for another text. Takes a third of the
 * time of {@link tokens}, which gives the same words.
 */
export function spacedWords(text: string): readonly string[] | undefined {
  if (ASCII.test(text)) return text.match(ASCII_WORD) ?? []
  return MAYBE_UNSPACED.test(text) ? undefined : (text.match(WORD) ?? [])
}

/** The words of a text with their terms, in text order. */
export function* tokens(text: string): Generator<Token> {
  let before = ''
  for (const [word] of text.matchAll(WORD)) {
    if (UNSPACED.test(word)) yield* unspacedTokens(word, before)
    else yield { word, terms: termsOf(word) }
    before = word
  }
}

/** The terms of words that were read before; most texts repeat a few thousand words. */
const known = new Map<string, readonly string[]>()
const MAX_KNOWN_WORDS = 200_000

/** The terms of one word of a script with spaces. */
export function termsOf(word: string): readonly string[] {
  const before = known.get(word)
  if (before) return before
  if (known.size >= MAX_KNOWN_WORDS) known.clear()
  const found = newTerms(word)
  if (word.length <= 64) known.set(word, found)
  return found
}

/** A word in ASCII that is no name of several parts. */
const SIMPLE_WORD = /^[A-Z]?[a-z\d]*$/

function newTerms(written: string): readonly string[] {
  if (SIMPLE_WORD.test(written)) {
    const word = written.toLowerCase()
    return stopWords.has(word) ? [] : [stem(word)]
  }
  const word = written.replace(/(?<=\p{Lu}{2})s$/u, '')
  const whole = fold(word)
  if (stopWords.has(whole)) return []
  const parts = nameParts(word).filter(part => !/^[a-z]$/.test(part) && !stopWords.has(part))
  if (parts.length === 0) return /[\p{L}\p{N}]/u.test(whole) ? [stem(withoutMarks(whole))] : []
  return [...new Set([withoutMarks(whole), ...parts].map(stem))]
}

/** Removes what joins the parts of a name. */
function withoutMarks(word: string): string {
  return word.replace(/_+|'s?$/g, '')
}

/** The parts of a compound name, folded: `bodyLimit`, `BODY_LIMIT`, `HTTPServer2`. One part for other words. */
function nameParts(word: string): string[] {
  return word
    .replace(/(\p{Ll})(?=\p{Lu})|(\p{Lu})(?=\p{Lu}\p{Ll})/gu, '$1$2_')
    .split(/[_'’]+/)
    .filter(part => part !== '')
    .map(fold)
}

function* unspacedTokens(text: string, before: string): Generator<Token> {
  // What stands between the runs is a word of its own, as in 使用SSE推送.
  let end = 0
  let previous = before
  for (const { 0: run, index } of text.matchAll(UNSPACED_RUN)) {
    if (index > end) {
      previous = text.slice(end, index)
      yield { word: previous, terms: termsOf(previous) }
    }
    end = index + run.length
    if (/\d$/.test(previous) && UNIT.test(run))
      yield { word: run.charAt(0), terms: [quantity(run.charAt(0))] }
    yield* unspacedRun(run)
  }
  if (end < text.length) yield { word: text.slice(end), terms: termsOf(text.slice(end)) }
}

function* unspacedRun(run: string): Generator<Token> {
  let previousHan = ''
  for (const slice of slices(run, SLICE_CHARS)) {
    for (const { segment, isWordLike } of wordSegmenter.segment(slice)) {
      const word = fold(segment)
      const isStopWord = !isWordLike || stopWords.has(word)
      const han = HAN_CHARACTER.test(word) && !isStopWord ? word : ''
      const pair = han && previousHan ? [previousHan + han] : []
      previousHan = han
      const [, unit] = QUANTITY.exec(word) ?? []
      const own = unit ? [quantity(unit)] : isStopWord ? [] : [word]
      yield { word: segment, terms: [...pair, ...own] }
    }
  }
}

/** The term of any number of a unit, so that “几天” finds “七天” and “7 日”. */
function quantity(unit: string): string {
  return `#${unit === '日' ? '天' : unit}`
}

/** Removes case and accents. */
function fold(word: string): string {
  if (ASCII.test(word)) return word.toLowerCase()
  const unaccented = word.normalize('NFKD').replace(/[\u0300-\u036f]/g, '')
  return unaccented.normalize('NFC').toLowerCase().replace(/’/g, "'")
}

/** The sentences of a text, trimmed. A sentence never ends at an abbreviation, inside brackets or inside `code`. */
export function sentences(text: string): string[] {
  const found: string[] = []
  let open = ''
  for (const slice of slices(text, 2 * SLICE_CHARS)) {
    for (const { segment } of sentenceSegmenter.segment(slice)) {
      open += segment
      const continues = ABBREVIATION.test(open) || isUnbalanced(open)
      if (continues && open.length < MAX_JOINED_SENTENCE_CHARS) continue
      found.push(open.trim())
      open = ''
    }
  }
  found.push(open.trim())
  return found.filter(sentence => sentence !== '')
}

function isUnbalanced(text: string): boolean {
  const count = (pattern: RegExp) => text.match(pattern)?.length ?? 0
  return count(/`/g) % 2 === 1 || count(/[(（]/g) > count(/[)）]/g)
}

/** Splits an answer into the deltas that it is streamed in, about one word each. Joined, they are the text again. */
export function* deltas(text: string): Generator<string> {
  let delta = ''
  let afterWord = false
  for (const slice of slices(text, SLICE_CHARS)) {
    for (const { segment, isWordLike = false } of wordSegmenter.segment(slice)) {
      const startsAfterSpace = /\S/.test(segment) && /\s$/.test(delta)
      if (delta && (startsAfterSpace || (isWordLike && afterWord))) {
        yield delta
        delta = ''
      }
      delta += segment
      afterWord = isWordLike
    }
  }
  if (delta) yield delta
}
