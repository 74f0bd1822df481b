/** Reads a Markdown, HTML or plain text document as a flat sequence of blocks. */
import { DomHandler, Parser } from 'htmlparser2'
import { joinLines, slices } from './text.ts'

/** One block of a document, in document order. */
export type Block =
  /** The title that the document gives itself, apart from its headings. */
  | { kind: 'title'; text: string }
  /** `id` is the URL fragment of the heading, where the document sets one. */
  | { kind: 'heading'; level: number; text: string; id?: string }
  /** Text without markup, except that code spans stay in backticks. */
  | { kind: 'prose' | 'item' | 'row'; text: string }
  | { kind: 'code'; text: string; language?: string }
  /** No content: the parser has worked for a while, and the caller may yield to the event loop. */
  | { kind: 'pause' }

/** Reads a document in the format that its file name says; unknown extensions are plain text. */
export function documentBlocks(file: string, source: string): Iterable<Block> {
  if (/\.html?$/i.test(file)) return htmlBlocks(source)
  return /\.(?:md|markdown)$/i.test(file) ? markdownBlocks(source) : textBlocks(source)
}

/** A longer paragraph of plain text is read as several, in chars. */
const PARAGRAPH_CHARS = 20_000

/** Reads plain text: paragraphs are separated by blank lines. */
function* textBlocks(source: string): Generator<Block> {
  for (const paragraph of source.split(/\r?\n[^\S\n]*(?:\r?\n)+/)) {
    for (const part of slices(paragraph, PARAGRAPH_CHARS)) {
      const text = joinLines(part.split('\n'))
      if (text) yield { kind: 'prose', text }
    }
  }
}

/**
 * Writes a table row so that it can be read without the table: `first cell: second cell`, or with more than two columns
 * `first cell – header: second cell; header: third cell`. Empty for a row without text.
 */
function rowText(headers: readonly string[], cells: readonly string[]): string {
  const [subject = '', ...values] = cells.map(cell => cell.trim())
  const labelled = values.map((value, i) => {
    const header = headers[i + 1]?.trim() ?? ''
    return value && header && values.length > 1 ? `${header}: ${value}` : value
  })
  const rest = labelled.filter(value => value !== '').join('; ')
  return subject && rest ? `${subject}${values.length > 1 ? ' –' : ':'} ${rest}` : subject || rest
}

const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*))?$/
const SETEXT_UNDERLINE = /^ {0,3}(=+|-+)\s*$/
const FENCE = /^\s*(`{3,}|~{3,})\s*([\w+#.-]*)/
const ITEM = /^\s*(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?(.*)$/
/** An item that is only a link: part of a table of contents. */
const LINK_ITEM = /^\s*(?:[-*+]|\d{1,9}[.)])\s+!?\[[^\]]{1,500}\]\([^()]{0,2000}\)[.,;]?\s*$/
const THEMATIC_BREAK = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/
const TABLE_DELIMITER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/
const INDENTED = /^(?: {4}|\t)/
/** Directives, admonition marks and link definitions. */
const NOT_TEXT = /^\s*(?::::|\[![A-Z]+\]\s*$|\[[^\]]{1,200}\]:\s)/

/** Limits that keep the regular expressions fast: longer lines and paragraphs are cut, further cells are dropped. */
const LINE_CHARS = 10_000
const PARAGRAPH_LINES = 200
const ROW_CELLS = 50
const FRONT_MATTER_LINES = 50

/** Reads the lines of a document one after another, without block quote marks. */
class Lines {
  private readonly lines: readonly string[]
  private at = 0

  constructor(source: string) {
    const lines = source.split(/\r\n?|\n/)
    const bounded = lines.flatMap(line => (line.length > LINE_CHARS ? [...slices(line, LINE_CHARS)] : line))
    this.lines = bounded.map(line => line.replace(/^(?: {0,3}> ?)+/, ''))
  }

  /** The line that is `ahead` lines after the next one; `undefined` beyond the last line. */
  peek(ahead = 0): string | undefined {
    return this.lines[this.at + ahead]
  }

  /** Whether `line` is among the `ahead` lines after the next one. */
  has(line: string, ahead: number): boolean {
    return this.lines.slice(this.at + 1, this.at + 1 + ahead).includes(line)
  }

  take(): string {
    const line = this.peek() ?? ''
    this.at++
    return line
  }

  /** Takes lines while `condition` holds, at most `limit`. */
  takeWhile(condition: (line: string) => boolean, limit = Number.POSITIVE_INFINITY): string[] {
    const begin = this.at
    while (this.at < this.lines.length && this.at - begin < limit && condition(this.peek()!)) this.at++
    return this.lines.slice(begin, this.at)
  }
}

/** Reads Markdown: the parts of CommonMark and GFM that tell headings, paragraphs, lists, tables and code apart. */
function* markdownBlocks(source: string): Generator<Block> {
  const lines = new Lines(source)
  yield* frontMatter(lines)
  let inList = false
  for (let line = lines.peek(); line !== undefined; line = lines.peek()) {
    const indented = INDENTED.test(line)
    const item = ITEM.test(line) && !THEMATIC_BREAK.test(line)
    if (line.trim() !== '') inList = item || (inList && /^\s/.test(line))

    if (FENCE.test(line)) yield fencedCode(lines)
    else if (HEADING.test(line)) yield atxHeading(lines.take())
    else if (isTable(lines)) yield* tableRows(lines)
    else if (line.trimStart().startsWith('<!--')) skipComment(lines)
    else if (line.trim() === '' || [THEMATIC_BREAK, NOT_TEXT, LINK_ITEM].some(pattern => pattern.test(line)))
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

function atxHeading(line: string): Block {
  const [, marks = '#', text = ''] = HEADING.exec(line) ?? []
  return { kind: 'heading', level: marks.length, text: plainText(text.trimEnd().replace(/(?:^|\s)#+$/, '')) }
}

function fencedCode(lines: Lines): Block {
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

function skipComment(lines: Lines): void {
  lines.takeWhile(line => !line.includes('-->'))
  lines.take()
}

function isTable(lines: Lines): boolean {
  return Boolean(lines.peek()?.includes('|') && TABLE_DELIMITER.test(lines.peek(1) ?? ''))
}

function* tableRows(lines: Lines): Generator<Block> {
  const headers = tableCells(lines.take())
  lines.take()
  for (const line of lines.takeWhile(line => line.includes('|'))) {
    yield { kind: 'row', text: rowText(headers, tableCells(line)) }
  }
}

function tableCells(line: string): string[] {
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
      ![HEADING, FENCE, ITEM, SETEXT_UNDERLINE, THEMATIC_BREAK, NOT_TEXT].some(pattern => pattern.test(line)),
    PARAGRAPH_LINES,
  )
  const firstText = item ? (ITEM.exec(first)?.[1] ?? '') : first
  const text = plainText(joinLines([firstText, ...rest]))
  const underline = item ? undefined : SETEXT_UNDERLINE.exec(lines.peek() ?? '')?.[1]
  if (underline) {
    lines.take()
    yield { kind: 'heading', level: underline.startsWith('=') ? 1 : 2, text }
  } else if (text) {
    yield { kind: item ? 'item' : 'prose', text }
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
}

/** Removes inline markup from Markdown; code spans keep their backticks. */
function plainText(markdown: string): string {
  const code: string[] = []
  const text = markdown
    .replaceAll('\0', '')
    .replace(/(?<!`)(`{1,3})(?!`)([^`]+)\1(?!`)/g, (_span, _ticks, inner: string) => {
      code.push(`\`${inner.trim()}\``)
      return `\0${code.length - 1}\0`
    })
    .replace(/<!--.{0,2000}?-->/g, '')
    .replace(/<(https?:[^<>\s]{1,2000}|mailto:[^<>\s]{1,300})>/g, '$1')
    .replace(/<\/?[a-z][^<>]{0,2000}>/gi, '')
    .replace(/!\[[^\][]{0,500}\](?:\([^()]{0,2000}\)|\[[^\][]{0,200}\])/g, '')
    .replace(/\[\^[^\][]{1,100}\]:?/g, '')
    .replace(/\[([^\][]{0,1000})\](?:\([^()]{0,2000}\)|\[[^\][]{0,200}\])/g, '$1')
    .replace(/(?<!\\)(?:\*\*|~~)|(?<![\w\\])__(?=\S)|(?<=\S)__(?!\w)/g, '')
    .replace(/(?<![\w\\*])\*(?=[^\s*])([^*]{1,1000})(?<=[^\s\\])\*(?!\w)/g, '$1')
    .replace(/(?<![\w\\_])_(?=[^\s_])([^_]{1,1000})(?<=[^\s\\])_(?!\w)/g, '$1')
    .replace(/\\([!-/:-@[-`{-~])/g, '$1')
    .replace(/&(\w{2,4});/g, (entity, name: string) => ENTITIES[name] ?? entity)
    .replace(/\0(\d+)\0/g, (_mark, i: string) => code[Number(i)] ?? '')
  return text.replace(/\s+/g, ' ').trim()
}

type Parent = { children: DomHandler['root']['children'] }
type Node = Parent['children'][number]
type Element = Extract<Node, { name: string; attribs: object }>

/** Elements whose content is not part of the text. */
const SKIPPED = new Set(
  'script style noscript template svg math nav footer form button select iframe object canvas'.split(' '),
)

/** Elements that stand inside a line of text. */
const INLINE = new Set(
  'a abbr b bdi bdo br cite code data del dfn em font i img ins kbd label mark q s samp small span strong sub sup time tt u var wbr'.split(
    ' ',
  ),
)

/** HTML is parsed in pieces of this many chars, with a pause after each. */
const CHUNK_CHARS = 32 * 1024

/** Reads HTML; malformed markup is repaired as far as htmlparser2 does. */
function* htmlBlocks(source: string): Generator<Block> {
  const page = new DomHandler()
  const parser = new Parser(page)
  for (let start = 0; start < source.length; start += CHUNK_CHARS) {
    parser.write(source.slice(start, start + CHUNK_CHARS))
    yield { kind: 'pause' }
  }
  parser.end()
  yield* blocksIn(page.root, 'prose')
}

/** The blocks inside a node. Text directly in the node becomes blocks of the given kind. */
function* blocksIn(parent: Parent, kind: 'prose' | 'item'): Generator<Block> {
  let text = ''
  for (const child of [...parent.children, undefined]) {
    if (child && isInline(child)) {
      text += rawText(child)
      continue
    }
    const line = tidy(text)
    text = ''
    if (line) yield { kind, text: line }
    if (child && isElement(child) && !SKIPPED.has(child.name)) yield* elementBlocks(child, kind)
  }
}

function* elementBlocks(element: Element, kind: 'prose' | 'item'): Generator<Block> {
  const { name } = element
  if (name === 'title') yield { kind: 'title', text: inlineText(element) }
  else if (/^h[1-6]$/.test(name)) yield htmlHeading(element)
  else if (name === 'li' && isOnlyLink(element)) return
  else if (name === 'pre') yield { kind: 'code', text: preformatted(element) }
  else if (name === 'table') yield* htmlTableRows(element)
  else if (name === 'dl') yield* definitions(element)
  else yield* blocksIn(element, name === 'li' ? 'item' : /^[uo]l$/.test(name) ? 'prose' : kind)
}

function htmlHeading(element: Element): Block {
  const id = element.attribs['id'] ?? outermost(element, new Set(['a']))[0]?.attribs['id']
  const text = inlineText(element).replace(/\s*[#¶]$/, '')
  return { kind: 'heading', level: Number(element.name.slice(1)), text, ...(id && { id }) }
}

function* htmlTableRows(table: Element): Generator<Block> {
  let headers: string[] = []
  for (const row of outermost(table, new Set(['tr']))) {
    const cells = outermost(row, new Set(['td', 'th']))
    if (cells.every(cell => cell.name === 'th')) headers = cells.map(inlineText)
    else yield { kind: 'row', text: rowText(headers, cells.map(inlineText)) }
  }
}

function* definitions(list: Element): Generator<Block> {
  let term = ''
  for (const part of outermost(list, new Set(['dt', 'dd']))) {
    if (part.name === 'dt') term = inlineText(part)
    else yield { kind: 'row', text: rowText([], [term, inlineText(part)]) }
  }
}

/** The outermost descendants with one of these names. */
function outermost(parent: Parent, names: ReadonlySet<string>): Element[] {
  return parent.children
    .filter(isElement)
    .flatMap(child => (names.has(child.name) ? [child] : outermost(child, names)))
}

function preformatted(pre: Element): string {
  return textOf(pre).replace(/^\n+|\s+$/g, '')
}

function inlineText(node: Node): string {
  return tidy(rawText(node))
}

function tidy(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

/** Text with code in backticks; block elements are surrounded by spaces. */
function rawText(node: Node): string {
  if (node.type === 'text') return node.data.replaceAll('`', "'")
  if (!isElement(node) || SKIPPED.has(node.name)) return ''
  if (node.name === 'br') return ' '
  if (node.name === 'code') return codeSpan(textOf(node))
  const inner = node.children.map(rawText).join('')
  return INLINE.has(node.name) ? inner : ` ${inner} `
}

function codeSpan(text: string): string {
  const inner = tidy(text.replaceAll('`', "'"))
  return inner && `\`${inner}\``
}

function textOf(node: Node): string {
  if (node.type === 'text') return node.data
  return isElement(node) ? node.children.map(textOf).join('') : ''
}

function isElement(node: Node): node is Element {
  return 'name' in node && 'attribs' in node
}

/** Whether an item is only a link: part of a table of contents or a menu. */
function isOnlyLink(item: Element): boolean {
  const [first, ...others] = item.children.filter(
    child => isElement(child) || (child.type === 'text' && child.data.trim() !== ''),
  )
  return others.length === 0 && first !== undefined && isElement(first) && first.name === 'a'
}

function isInline(node: Node): boolean {
  return (
    !isElement(node) ||
    (INLINE.has(node.name) && node.children.every(child => !isElement(child) || INLINE.has(child.name)))
  )
}
