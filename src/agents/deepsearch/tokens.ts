/** Cuts text into words, terms, sentences and pieces with `Intl.Segmenter`, so that any script works. */
import { stem } from './stem.ts'
import { stopwords } from './stopwords.ts'

const wordSegmenter = new Intl.Segmenter('en', { granularity: 'word' })
const sentenceSegmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

/** V8 takes time quadratic in the length of what it segments (1 MiB: 290 s measured), so it gets slices, in chars. */
const SLICE = 1_000

/** Sentences are joined over brackets and abbreviations up to this length, in chars. */
const JOIN_LIMIT = 600

const ABBREVIATION =
  /(?:^|[\s(])(?:e\.g|i\.e|cf|vs|etc|approx|resp|sec|fig|no|dr|mr|mrs|z\.\s?B|d\.\s?h|bzw|ca|vgl)\.\s*$/i
const HAN_CHARACTER = /^\p{Script=Han}$/u

/** Slices of at most `size` chars, cut at white space where there is some, never inside a surrogate pair. */
export function* slices(text: string, size: number): Generator<string> {
  let start = 0
  while (text.length - start > size) {
    const end = start + size
    const space = text.lastIndexOf(' ', end - 1) + 1
    const pair = /[\uD800-\uDBFF]/.test(text[end - 1] ?? '') ? 1 : 0
    const cut = space > start + size / 2 ? space : end - pair
    yield text.slice(start, cut)
    start = cut
  }
  if (start < text.length) yield text.slice(start)
}

/**
 * The search terms of a text, in its order and with repetitions: words without case, accents and endings, names
 * such as `run.started` in their parts, no stop words. Han characters that the dictionary leaves alone also count in
 * pairs, as new Chinese words are mostly such pairs.
 */
export function terms(text: string): string[] {
  const found: string[] = []
  let lastHan = ''
  for (const word of words(text)) {
    const han = HAN_CHARACTER.test(word) && !stopwords.has(word) ? word : ''
    if (han && lastHan) found.push(lastHan + han)
    lastHan = han
    if (!stopwords.has(word)) found.push(...parts(word))
  }
  return found
}

function* words(text: string): Generator<string> {
  for (const slice of slices(text, SLICE)) {
    for (const { segment, isWordLike } of wordSegmenter.segment(slice)) if (isWordLike) yield fold(segment)
  }
}

function fold(word: string): string {
  const unaccented = word.normalize('NFKD').replace(/[\u0300-\u036f]/g, '')
  return unaccented.normalize('NFC').toLowerCase().replace(/’/g, "'")
}

function parts(word: string): string[] {
  const pieces = word.split(/[._:'·]+/).filter(piece => piece !== '')
  const own =
    pieces.length === 1 ? pieces : pieces.filter(piece => !/^[a-z]$/.test(piece) && !stopwords.has(piece))
  return own.map(stem)
}

/** The sentences of a passage, trimmed; never cut after an abbreviation, inside brackets or inside `code`. */
export function sentences(text: string): string[] {
  const found: string[] = []
  let open = ''
  for (const slice of slices(text, 2 * SLICE)) {
    for (const { segment } of sentenceSegmenter.segment(slice)) {
      open += segment
      if (open.length < JOIN_LIMIT && (ABBREVIATION.test(open) || isUnbalanced(open))) continue
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

/** What an answer is streamed in: about a word each; together they are exactly the text. */
export function* pieces(text: string): Generator<string> {
  let piece = ''
  let afterWord = false
  for (const slice of slices(text, SLICE)) {
    for (const { segment, isWordLike = false } of wordSegmenter.segment(slice)) {
      if (piece && ((/\S/.test(segment) && /\s$/.test(piece)) || (isWordLike && afterWord))) {
        yield piece
        piece = ''
      }
      piece += segment
      afterWord = isWordLike
    }
  }
  if (piece) yield piece
}
