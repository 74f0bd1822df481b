/** Reads Markdown into blocks: as much of CommonMark and GFM as tells headings, paragraphs, lists, tables and code. */
import { type Block, joinLines, rowText } from './blocks.ts'
import { plainText } from './inline.ts'
import { slices } from './tokens.ts'

const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*))?$/
const UNDERLINE = /^ {0,3}(=+|-+)\s*$/
const FENCE = /^\s*(`{3,}|~{3,})\s*([\w+#.-]*)/
const ITEM = /^\s*(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?(.*)$/
/** A table of contents, not something said. */
const LINK_ITEM = /^\s*(?:[-*+]|\d{1,9}[.)])\s+!?\[[^\]]{1,500}\]\([^()]{0,2000}\)[.,;]?\s*$/
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/
const TABLE_LINE = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/
const INDENTED = /^(?: {4}|\t)/
const NOT_TEXT = /^\s*(?::::|\[![A-Z]+\]\s*$|\[[^\]]{1,200}\]:\s)/

/** Longer lines are read as several, in chars; so are paragraphs and rows with more parts than these. */
const LINE_CHARS = 10_000
const PARAGRAPH_LINES = 200
const ROW_CELLS = 50
const FRONT_MATTER_LINES = 50

/** The lines of a document and how far they are read. */
class Lines {
  private readonly lines: readonly string[]
  private at = 0

  constructor(source: string) {
    const lines = source.split(/\r\n?|\n/)
    const bounded = lines.flatMap(line => (line.length > LINE_CHARS ? [...slices(line, LINE_CHARS)] : line))
    this.lines = bounded.map(line => line.replace(/^(?: {0,3}> ?)+/, ''))
  }

  /** The line `ahead` of the next one, without quote marks; `undefined` after the last. */
  peek(ahead = 0): string | undefined {
    return this.lines[this.at + ahead]
  }

  /** Whether one of the `ahead` lines after the next one is this line. */
  has(line: string, ahead: number): boolean {
    return this.lines.slice(this.at + 1, this.at + 1 + ahead).includes(line)
  }

  take(): string {
    const line = this.peek() ?? ''
    this.at++
    return line
  }

  /** Takes lines as long as `wanted` says so, `most` at the most. */
  takeWhile(wanted: (line: string) => boolean, most = Number.POSITIVE_INFINITY): string[] {
    const begin = this.at
    while (this.at < this.lines.length && this.at - begin < most && wanted(this.peek()!)) this.at++
    return this.lines.slice(begin, this.at)
  }
}

/** The blocks of a Markdown document, in its order. */
export function* markdownBlocks(source: string): Generator<Block> {
  const lines = new Lines(source)
  yield* frontMatter(lines)
  let inList = false
  for (let line = lines.peek(); line !== undefined; line = lines.peek()) {
    const indented = INDENTED.test(line)
    const item = ITEM.test(line) && !RULE.test(line)
    if (line.trim() !== '') inList = item || (inList && /^\s/.test(line))

    if (FENCE.test(line)) yield fenced(lines)
    else if (HEADING.test(line)) yield heading(lines.take())
    else if (isTable(lines)) yield* table(lines)
    else if (line.trimStart().startsWith('<!--')) comment(lines)
    else if (line.trim() === '' || [RULE, NOT_TEXT, LINK_ITEM].some(skipped => skipped.test(line)))
      lines.take()
    else if (indented && !inList) yield indentedCode(lines)
    else yield* paragraph(lines, item)
  }
}

function* frontMatter(lines: Lines): Generator<Block> {
  if (lines.peek() !== '---' || !lines.has('---', FRONT_MATTER_LINES)) return
  lines.take()
  for (const line of lines.takeWhile(line => line !== '---')) {
    const title = /^title:\s*["']?(.*?)["']?\s*$/.exec(line)?.[1]
    if (title) yield { kind: 'title', text: title }
  }
  lines.take()
}

function heading(line: string): Block {
  const [, marks = '#', text = ''] = HEADING.exec(line) ?? []
  return { kind: 'heading', level: marks.length, text: plainText(text.trimEnd().replace(/(?:^|\s)#+$/, '')) }
}

function fenced(lines: Lines): Block {
  const [, fence = '```', language = ''] = FENCE.exec(lines.take()) ?? []
  const closes = (line: string) => line.trim().startsWith(fence) && /^\s*(?:`+|~+)\s*$/.test(line)
  const text = lines.takeWhile(line => !closes(line)).join('\n')
  lines.take()
  return { kind: 'code', text, language }
}

function indentedCode(lines: Lines): Block {
  const code = lines.takeWhile(line => INDENTED.test(line)).map(line => line.replace(INDENTED, ''))
  return { kind: 'code', text: code.join('\n') }
}

function comment(lines: Lines): void {
  lines.takeWhile(line => !line.includes('-->'))
  lines.take()
}

function isTable(lines: Lines): boolean {
  return Boolean(lines.peek()?.includes('|') && TABLE_LINE.test(lines.peek(1) ?? ''))
}

function* table(lines: Lines): Generator<Block> {
  const headers = cells(lines.take())
  lines.take()
  for (const line of lines.takeWhile(line => line.includes('|'))) {
    yield { kind: 'row', text: rowText(headers, cells(line)) }
  }
}

function cells(line: string): string[] {
  const inner = line.trim().replace(/^\||(?<!\\)\|$/g, '')
  return inner
    .split(/(?<!\\)\|/)
    .slice(0, ROW_CELLS)
    .map(cell => plainText(cell.replaceAll('\\|', '|')))
}

function* paragraph(lines: Lines, item: boolean): Generator<Block> {
  const first = lines.take()
  const rest = lines.takeWhile(
    line =>
      line.trim() !== '' &&
      ![HEADING, FENCE, ITEM, UNDERLINE, RULE, NOT_TEXT].some(other => other.test(line)),
    PARAGRAPH_LINES,
  )
  const own = item ? (ITEM.exec(first)?.[1] ?? '') : first
  const text = plainText(joinLines([own, ...rest]))
  const underline = item ? undefined : UNDERLINE.exec(lines.peek() ?? '')?.[1]
  if (underline) {
    lines.take()
    yield { kind: 'heading', level: underline.startsWith('=') ? 1 : 2, text }
  } else if (text) {
    yield { kind: item ? 'item' : 'prose', text }
  }
}
