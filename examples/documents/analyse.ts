/** The analysis of a text, in steps. It needs no model: it counts words, weighs them, and picks sentences. */

export type Language = 'en' | 'zh'

export interface Section {
  heading: string
  /** Without Markdown. */
  text: string
}

export interface Sentence {
  text: string
  /** The words that count, without repetitions. */
  terms: ReadonlySet<string>
  words: number
  /** The index of its section. */
  section: number
  isFirst: boolean
}

export interface Term {
  term: string
  count: number
  weight: number
}

/** Chinese when a fifth of the letters is. */
export function languageOf(text: string): Language {
  const han = text.match(/\p{Script=Han}/gu)?.length ?? 0
  const letters = text.match(/\p{L}/gu)?.length ?? 0
  return han > letters / 5 ? 'zh' : 'en'
}

/** Splits at headings of Markdown; a text without any is split into groups of paragraphs. */
export function sectionsOf(name: string, source: string): Section[] {
  const lines = source
    .replace(/\r\n?/g, '\n')
    .replace(/^(```|~~~).*?^\1[^\n]*$/gms, '')
    .split('\n')
  const found: { heading: string; lines: string[] }[] = [{ heading: name, lines: [] }]
  for (const line of lines) {
    const heading = headingIn(line)
    if (heading) found.push({ heading: plain(heading), lines: [] })
    else found.at(-1)!.lines.push(line)
  }
  const sections = found
    .map(({ heading, lines }) => ({ heading, text: plain(lines.join('\n')) }))
    .filter(({ text }) => text !== '')
  return sections.length === 1 && !/^#/m.test(source) ? byParagraphs(sections[0]!.text) : sections
}

/** `## Heading ##` has the heading "Heading". */
function headingIn(line: string): string | undefined {
  if (!/^#{1,6}\s/.test(line)) return undefined
  return line
    .replace(/^#+/, '')
    .trim()
    .replace(/(?<=\s)#+$/, '')
    .trim()
}

/** Characters of a section that is made of paragraphs. */
const SECTION_CHARS = 1_200

function byParagraphs(text: string): Section[] {
  const groups: string[] = ['']
  for (const paragraph of text.split(/\n{2,}/)) {
    if (groups.at(-1)!.length > SECTION_CHARS) groups.push('')
    groups.push([groups.pop(), paragraph].filter(Boolean).join('\n\n'))
  }
  return groups.map((text, i) => ({ heading: groups.length === 1 ? 'Text' : `Part ${i + 1}`, text }))
}

/**
 * Markdown without its signs. Tables are left out, since their cells are no sentences. Each pattern looks ahead a limited
 * way only, so that no text takes it long.
 */
function plain(markdown: string): string {
  return markdown
    .replace(/^[ \t]{0,9}\|.*$/gm, '')
    .replace(/^[ \t]{0,9}(>|[-*+]|\d{1,9}[.)])[ \t]+/gm, '')
    .replace(/!?\[([^\]]{0,200})\]\([^)]{0,500}\)/g, '$1')
    .replace(/[*_`]{1,3}(?=\S)(.{1,200}?)(?<=\S)[*_`]{1,3}/g, '$1')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
}

/** Words that say nothing about a text. */
const stopWords = new Set(
  (
    'about above after again against all also although always among and another any are because been before being ' +
    'below between both but can cannot could does done down during each either else even ever every few for from further get ' +
    'gets had has have having her here hers him his how however into its itself just last least less like made make many ' +
    'may more most much must near need never next nor not now off often once one only onto other others our out over own ' +
    'per rather same shall she should since some still such take than that the their them then there these they this those ' +
    'though three through thus too two under until upon use used uses using very was well were what when where whether ' +
    'which while who whom whose why will with within without would yet you your ' +
    '一个 一种 一些 我们 你们 他们 它们 这个 那个 这些 那些 这样 那样 这里 那里 因为 所以 但是 而且 如果 虽然 不过 以及 或者 并且 ' +
    '已经 可以 可能 能够 应该 需要 没有 不是 就是 只是 还是 也是 都是 不会 不能 什么 怎么 如何 为了 由于 关于 对于 通过 进行 其中 ' +
    '其他 之间 之后 之前 时候 现在 自己 非常 比较 很多 许多 每个 同时 然后 因此 例如 必须 仍然 使用 不同'
  ).split(' '),
)

/** A word in the form in which it is counted; `undefined` when it does not count. */
function termOf(segment: string): string | undefined {
  const word = segment.toLowerCase()
  const isLong = /\p{Script=Han}/u.test(word) ? word.length >= 2 : /^\p{L}{3,}/u.test(word)
  return isLong && !stopWords.has(word) ? word : undefined
}

/** At most 1,000 characters: up to the end of a sentence, else up to a space. */
const PIECE = /.{1,1000}(?:[.!?]\s+|[。！？])|.{1,1000}(?:\s|$)|.{1,1000}/gsu

/** A paragraph in pieces that are quickly split: `Intl.Segmenter` of Node 20 takes time that grows with the square of the length. */
const piecesOf = (text: string): readonly string[] =>
  text.length > 1000 ? (text.match(PIECE) ?? []) : [text]

/** The sentences of a section, with their words. Works for languages without spaces as well. */
export function* sentencesOf({ text }: Section, section: number, language: Language): Generator<Sentence> {
  const bySentence = new Intl.Segmenter(language, { granularity: 'sentence' })
  const byWord = new Intl.Segmenter(language, { granularity: 'word' })
  let isFirst = true
  for (const paragraph of text.split(/\n{2,}/)) {
    const lines = paragraph.split('\n').map(line => line.trim())
    const pieces = piecesOf(lines.join(language === 'zh' ? '' : ' '))
    for (const { segment } of pieces.flatMap(piece => [...bySentence.segment(piece)])) {
      const words = [...byWord.segment(segment)].filter(({ isWordLike }) => isWordLike)
      if (words.length === 0) continue
      const terms = new Set(words.flatMap(word => termOf(word.segment) ?? []))
      yield { text: segment.trim(), terms, words: words.length, section, isFirst }
      isFirst = false
    }
  }
}

/**
 * The terms with the highest TF-IDF, over sections: words that are frequent, and not spread evenly over the document. A
 * plural counts as its singular when the document has both.
 */
export function termsOf(sentences: readonly Sentence[], count: number): Term[] {
  const known = new Set(sentences.flatMap(({ terms }) => [...terms]))
  const singular = (term: string) =>
    term.endsWith('s') && known.has(term.slice(0, -1)) ? term.slice(0, -1) : term
  const sections = new Set(sentences.map(({ section }) => section)).size
  const uses = new Map<string, { count: number; sections: Set<number> }>()
  for (const { terms, section } of sentences) {
    for (const term of terms) {
      const use = uses.get(singular(term)) ?? { count: 0, sections: new Set() }
      use.count += 1
      uses.set(singular(term), { ...use, sections: use.sections.add(section) })
    }
  }
  return [...uses]
    .map(([term, use]) => ({
      term,
      count: use.count,
      weight: use.count * Math.log(1 + sections / use.sections.size),
    }))
    .sort((a, b) => b.weight - a.weight || (a.term < b.term ? -1 : 1))
    .slice(0, count)
}

/** Sentences of fewer words say too little alone, and of more words too much. */
const WORDS = { least: 5, most: 60 }

/** The sentences that carry most of the weighty terms and repeat each other least, in the order of the document. */
export function summaryOf(sentences: readonly Sentence[], terms: readonly Term[], count: number): Sentence[] {
  const weights = new Map(terms.map(({ term, weight }) => [term, weight]))
  const worth = ({ terms, words, isFirst }: Sentence) => {
    const sum = [...terms].reduce((sum, term) => sum + (weights.get(term) ?? 0), 0)
    return (sum / Math.sqrt(words)) * (isFirst ? 1.3 : 1)
  }
  const usual = sentences.filter(({ words }) => words >= WORDS.least && words <= WORDS.most)
  const candidates = [...(usual.length > 0 ? usual : sentences)].sort((a, b) => worth(b) - worth(a))
  const picked: Sentence[] = []
  for (const one of candidates) {
    if (picked.length === count) break
    if (!picked.some(other => likeness(one.terms, other.terms) > 0.5)) picked.push(one)
  }
  return sentences.filter(sentence => picked.includes(sentence))
}

/** The share of terms that two sentences have in common, 0 to 1. */
function likeness(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  const common = [...one].filter(term => other.has(term)).length
  const all = one.size + other.size - common
  return all === 0 ? 0 : common / all
}
