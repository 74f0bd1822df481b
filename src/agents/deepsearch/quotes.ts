/** Chooses what answers a question out of the passages that it found. */
import { joinLines } from './blocks.ts'
import type { Findings, Hit, PassageIndex } from './passage-index.ts'
import type { Passage } from './passages.ts'
import { sentences, terms } from './tokens.ts'

/** A further quote is at least this good, measured by the best one. */
const MIN_SHARE = 0.45

/** A sentence is quoted with its neighbours up to this length together, in chars. */
const QUOTE_CHARS = 320

/** What is shown with a quote: at the most so many passages, and so many chars together. */
const SHOWN = 10
const SHOWN_CHARS = 1_000

/** A heading that holds this share of the question asks the same. */
const HEADING_SHARE = 0.7

/** From this share of common terms on, two quotes say the same. */
const SAME = 0.7

/** A sentence that says what comes next. */
const INTRODUCING = /[:：]$/

/** One word with a full stop: a label, as a rule; or nothing. */
const FRAGMENT = /^(?:\p{Script=Latin}+[.:!]?)?$/u

/** Sentences that lean on the one before them. */
const LEANING =
  /^(?:this|that|these|those|it|they|he|she|so|then|but|and|also|both|otherwise|therefore|however|instead|such|dies|diese[rs]?|er|sie|es|aber|und|also|sonst|deshalb)\b|^(?:这|那|它|他|但|因此|所以|否则|不过)/i

/** A few sentences in a row out of a passage. */
export interface Quote {
  readonly passage: Passage
  readonly text: string
  /** What comes after it and belongs to it, such as the list or the code that it introduces. */
  readonly shown: readonly Passage[]
}

/** A sentence that may be quoted. */
interface Candidate {
  readonly hit: Hit
  readonly units: readonly string[]
  readonly position: number
  readonly terms: ReadonlySet<string>
  readonly relevance: number
  /** How much of the question the heading holds that the passage opens; 0 when it opens none. */
  readonly opening: number
}

/**
 * At most `limit` quotes that hold most of the question, in reading order. They say nothing that `said` already says.
 * Empty when nothing answers.
 */
export function chooseQuotes(
  index: PassageIndex,
  findings: Findings,
  said: readonly Quote[],
  limit: number,
): Quote[] {
  const share = sharer(findings)
  let pool = findings.hits.flatMap(hit => candidatesOf(hit, findings))
  const drop = ({ passage, text, shown }: Quote) => {
    const known = [text, ...shown.map(passage => passage.text)].map(text => new Set(terms(text)))
    pool = pool.filter(
      ({ hit, terms }) => hit.passage !== passage && !known.some(other => sameTerms(terms, other)),
    )
  }
  said.forEach(drop)
  const chosen: Quote[] = []
  const covered = new Set<string>()
  let least = 0
  while (chosen.length < limit) {
    const worth = (candidate: Candidate) => candidate.relevance * (0.25 + share(candidate.terms, covered))
    const [best] = pool.toSorted((a, b) => worth(b) - worth(a))
    if (!best || worth(best) < least) break
    least ||= worth(best) * MIN_SHARE
    const quote = quoteAround(index, best)
    chosen.push(quote)
    drop(quote)
    for (const term of best.terms) covered.add(term)
  }
  return inReadingOrder(chosen.filter(({ passage }) => !chosen.some(({ shown }) => shown.includes(passage))))
}

function candidatesOf(hit: Hit, findings: Findings): Candidate[] {
  const { passage, score, coverage } = hit
  if (passage.kind === 'code') return []
  const share = sharer(findings)
  const units = passage.kind === 'row' ? [passage.text] : sentences(passage.text)
  const opening = passage.opens ? headingShare(passage, findings) : 0
  return units.flatMap((text, position) => {
    const own = new Set(terms(text))
    const held = share(own) + (position === 0 ? 0.4 * opening : 0)
    if (held === 0) return []
    const rank = Math.sqrt(score / findings.hits[0]!.score)
    const relevance = rank * (held + 0.3 * coverage) * subject(own, findings) * shape(text)
    return [{ hit, units, position, terms: own, relevance, opening }]
  })
}

/** Measures how much of the question's weight some terms hold, 0 to 1; what is covered already counts half. */
function sharer({ weights, hints, total }: Findings) {
  const wanted = [...weights, ...hints]
  return (own: ReadonlySet<string>, covered?: ReadonlySet<string>): number => {
    let sum = 0
    for (const [term, weight] of wanted) if (own.has(term)) sum += covered?.has(term) ? weight / 2 : weight
    return Math.min(1, sum / total)
  }
}

/** How much a heading and the question are about the same, 0 to 1. */
function headingShare({ heading }: Passage, findings: Findings): number {
  const own = new Set(terms(heading))
  const common = [...own].filter(term => findings.weights.has(term)).length
  return own.size === 0 ? 0 : sharer(findings)(own) * Math.sqrt(common / own.size)
}

/** Sentences that begin with what is asked about tend to define it. */
function subject(own: ReadonlySet<string>, { weights }: Findings): number {
  const least = 0.5 * Math.max(...weights.values())
  const topics = new Set([...weights].filter(([, weight]) => weight >= least).map(([term]) => term))
  const first = [...own].slice(0, Math.min(2, topics.size))
  return first.every(term => topics.has(term)) ? 1.5 : topics.has(first[0] ?? '') ? 1.15 : 1
}

/** How well a sentence stands alone, by its form. */
function shape(text: string): number {
  const length = text.length < 30 || text.length > 350 ? 0.6 : 1
  return length * (/[?？]$/.test(text) ? 0.5 : 1) * (LEANING.test(text) ? 0.7 : 1)
}

/** The sentence with those after and before it, as far as there is room. */
function quoteAround(index: PassageIndex, { hit: { passage }, units, position, opening }: Candidate): Quote {
  const asksTheSame = position === 0 && opening >= HEADING_SHARE
  const shown = shownAfter(index, passage, asksTheSame)
  const last = INTRODUCING.test(passage.text) && shown.length === 0 ? units.length - 1 : units.length
  const room = asksTheSame ? 2 * QUOTE_CHARS : QUOTE_CHARS
  let start = position
  let end = position + 1
  const text = () => joinLines(units.slice(start, end))
  const fits = (unit = '') => !FRAGMENT.test(unit) && text().length + unit.length < room
  while (end < last && fits(units[end])) end++
  while (start > 0 && fits(units[start - 1])) start--
  return { passage, text: text(), shown: end === units.length ? shown : [] }
}

/**
 * What belongs to a passage and comes after it: the code or the list that it introduces, or, where the heading asks
 * the very question, the begin of its section. All of it short.
 */
function shownAfter(index: PassageIndex, passage: Passage, section: boolean): Passage[] {
  if (!section && !INTRODUCING.test(passage.text)) return []
  const next = index.after(passage, SHOWN)
  const shown: Passage[] = []
  let room = SHOWN_CHARS
  for (const { kind, text } of next) {
    room -= text.length
    const belongs = section || (kind !== 'prose' && kind === next[0]?.kind)
    if (room < 0 || !belongs) break
    shown.push(next[shown.length]!)
  }
  return INTRODUCING.test(shown.at(-1)?.text ?? '') ? shown.slice(0, -1) : shown
}

/** Sections best first, each in its own order. */
function inReadingOrder(quotes: readonly Quote[]): Quote[] {
  const sections = [...new Set(quotes.map(({ passage }) => passage.url))]
  return quotes.toSorted(
    (a, b) =>
      sections.indexOf(a.passage.url) - sections.indexOf(b.passage.url) ||
      a.passage.number - b.passage.number,
  )
}

function sameTerms(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  let common = 0
  for (const term of a) if (b.has(term)) common++
  return common > 0 && common >= SAME * Math.min(a.size, b.size)
}
