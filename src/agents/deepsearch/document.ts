/** Reads a Markdown, HTML or plain text document as a flat sequence of blocks. */
import { DomHandler, Parser as HtmlParser } from 'htmlparser2'
import { Lexer, Parser as MarkdownParser } from 'marked'
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
  if (/\.html?$/i.test(file)) return htmlBlocks(slices(source, HTML_CHARS))
  if (/\.(?:md|markdown)$/i.test(file)) return markdownBlocks(source)
  if (/\.mdx$/i.test(file)) return markdownBlocks(withoutModules(source))
  if (/\.rst$/i.test(file)) return markupBlocks(source, underlinedHeading)
  if (/\.(?:adoc|asciidoc)$/i.test(file)) return markupBlocks(source, markedHeading)
  return textBlocks(source)
}

/** Removes the `import` and `export` lines of MDX; its components are read as HTML. */
function withoutModules(source: string): string {
  return source.replace(/^(?:import|export)\s.*(?:\r?\n|$)/gm, '')
}

type HeadingRule = (lines: readonly string[]) => { level: number; text: string } | undefined

/** The heading of reStructuredText: a line with a line of marks below it, and maybe one above. */
const underlinedHeading: HeadingRule = lines => {
  const [text = '', marks = ''] = /^([=\-`:'"~^_*+#<>.])\1{2,}\s*$/.test(lines[0] ?? '')
    ? lines.slice(1)
    : lines
  const [, mark] = /^([=\-`:'"~^_*+#<>.])\1{2,}\s*$/.exec(marks) ?? []
  if (mark === undefined || !/[\p{L}\p{N}]/u.test(text)) return undefined
  return { level: 1 + Math.max(0, '=-~^'.indexOf(mark)), text: text.trim() }
}

/** The heading of AsciiDoc: `== Text`. */
const markedHeading: HeadingRule = ([line = '']) => {
  const [, marks, text] = /^(={1,6})\s+(\S.*)$/.exec(line) ?? []
  return marks && text ? { level: marks.length, text } : undefined
}

/** Reads light markup paragraph by paragraph: headings by a rule, the rest as it stands. */
function* markupBlocks(source: string, headingOf: HeadingRule): Generator<Block> {
  for (const paragraph of source.split(/\r?\n[^\S\n]*(?:\r?\n)+/)) {
    const heading = headingOf(paragraph.split(/\r?\n/))
    if (heading) yield { kind: 'heading', ...heading }
    const rest = heading
      ? paragraph
          .split(/\r?\n/)
          .filter(line => isBody(line, heading.text))
          .join('\n')
      : paragraph
    yield* textBlocks(rest)
  }
}

/** Whether a line of a heading's paragraph is neither the heading nor its marks. */
function isBody(line: string, heading: string): boolean {
  return !line.trim().endsWith(heading) && /[\p{L}\p{N}]/u.test(line)
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

/** Inline markup is parsed in pieces of this length, in chars: marked takes quadratic time (100 KB of `*a` took 7 s). */
const INLINE_CHARS = 4_000

/** YAML front matter: at most 50 lines between `---` at the start of a document. */
const FRONT_MATTER = /^---\r?\n((?:.*\r?\n){0,50}?)---[^\S\n]*(?:\r?\n|$)/

/** Marks that GFM does not define: admonitions (`[!NOTE]`, `:::note`) and footnotes. */
const FOREIGN_MARKS = /^\[![A-Z]+\]\s*|^:::[^\S\n]*[\w-]*\s*|\s*:::$|\[\^[^\][]{1,100}\]:?/g

/** Reads Markdown (CommonMark and GFM, with front matter) by way of its HTML. */
function* markdownBlocks(source: string): Generator<Block> {
  const [whole = '', frontMatter = ''] = FRONT_MATTER.exec(source) ?? []
  const title = /^title:\s*["']?(.*?)["']?\s*$/m.exec(frontMatter)?.[1]
  if (title) yield { kind: 'title', text: title }
  for (const block of htmlBlocks(htmlOf(source.slice(whole.length)))) {
    const text = block.kind === 'prose' || block.kind === 'item' ? withoutForeignMarks(block.text) : undefined
    if (text === undefined) yield block
    else if (text) yield { ...block, text } as Block
  }
}

/** Converts Markdown to HTML, piece by piece, so that the caller may yield to the event loop between pieces. */
function* htmlOf(source: string): Generator<string> {
  const lexer = new Lexer()
  lexer.blockTokens(source.replace(/\r\n?/g, '\n'), lexer.tokens)
  for (const { src, tokens } of lexer.inlineQueue) {
    for (const part of slices(src, INLINE_CHARS)) lexer.inlineTokens(part, tokens)
    yield ''
  }
  for (const token of lexer.tokens) yield MarkdownParser.parse([token])
}

/** Removes {@link FOREIGN_MARKS} outside of code spans. */
function withoutForeignMarks(text: string): string {
  const parts = text.split(/(`[^`]+`)/)
  return parts
    .map((part, i) => (i % 2 === 1 ? part : part.replace(FOREIGN_MARKS, '')))
    .join('')
    .trim()
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

/** HTML files are parsed in pieces of this length, in chars. */
const HTML_CHARS = 32 * 1024

/** Reads HTML, given in pieces; malformed markup is repaired as far as htmlparser2 does. */
function* htmlBlocks(pieces: Iterable<string>): Generator<Block> {
  const page = new DomHandler()
  const parser = new HtmlParser(page)
  for (const piece of pieces) {
    parser.write(piece)
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
  else if (name === 'pre') yield preformatted(element)
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

function preformatted(pre: Element): Block {
  const [code = pre] = outermost(pre, new Set(['code']))
  const language = /(?:^|\s)language-(\S+)/.exec(code.attribs['class'] ?? '')?.[1]
  return { kind: 'code', text: textOf(pre).replace(/^\n+|\s+$/g, ''), ...(language && { language }) }
}

function inlineText(node: Node): string {
  return tidy(rawText(node))
}

function tidy(text: string): string {
  return joinLines(text.split('\n')).replace(/\s+/g, ' ')
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
  const inner = tidy(text)
  const ticks = inner.includes('`') ? '``' : '`'
  return inner && ticks + inner + ticks
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
    child => isElement(child) || (child.type === 'text' && /[^\s.,;]/.test(child.data)),
  )
  if (others.length > 0 || first === undefined || !isElement(first)) return false
  return first.name === 'a' || (first.name === 'p' && isOnlyLink(first))
}

function isInline(node: Node): boolean {
  return (
    !isElement(node) ||
    (INLINE.has(node.name) && node.children.every(child => !isElement(child) || INLINE.has(child.name)))
  )
}
