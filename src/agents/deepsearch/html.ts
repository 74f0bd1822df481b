/** Reads HTML as blocks. Markdown is read through the same tree, since it may contain HTML. */
import { type Handler, Parser } from 'htmlparser2'
import { type Block, codeBlock, headingBlock, PAUSE, textBlock } from './block.ts'
import { hasNoHan, joinLines, slices } from './text.ts'

/** A text, or an element with its children. */
export type Node = string | Element

export interface Element {
  readonly name: string
  readonly attribs: Readonly<Record<string, string>>
  readonly children: Node[]
}

const NO_ATTRIBS: Element['attribs'] = {}

/** Builds the tree of a document. HTML is parsed into it; other elements and texts are added directly. */
export class TreeBuilder {
  readonly root: Element = { name: '', attribs: NO_ATTRIBS, children: [] }
  /** The open elements, outermost first. */
  readonly #open: Element[] = [this.root]
  /** Elements up to this depth were opened by {@link element}, and HTML inside must not close them. */
  #depth = 0
  readonly #parser: Parser

  constructor() {
    const handler: Partial<Handler> = {
      onopentag: (name, attribs) => this.#enter({ name, attribs, children: [] }),
      ontext: data => this.text(data),
      onclosetag: name => this.#leave(name),
    }
    this.#parser = new Parser(handler)
  }

  /** Parses a piece of HTML. Malformed markup is repaired as far as htmlparser2 does. */
  html(source: string): void {
    this.#parser.write(source)
  }

  text(data: string): void {
    this.#open.at(-1)!.children.push(data)
  }

  /** Adds an element. `fill` adds its content; HTML that it leaves open ends with the element. */
  element(name: string, fill: () => void, attribs = NO_ATTRIBS): void {
    const depth = this.#depth
    this.#enter({ name, attribs, children: [] })
    this.#depth = this.#open.length - 1
    fill()
    this.#open.length = this.#depth
    this.#depth = depth
  }

  end(): void {
    this.#parser.end()
  }

  #enter(element: Element): void {
    this.#open.at(-1)!.children.push(element)
    this.#open.push(element)
  }

  #leave(name: string): void {
    const at = this.#open.findLastIndex(element => element.name === name)
    if (at > this.#depth) this.#open.length = at
  }
}

/** Elements whose content is not part of the text. */
const SKIPPED = new Set(
  'script style noscript template svg math nav footer form button select iframe object canvas'.split(' '),
)

/** Elements that are part of a line of text. */
const INLINE = new Set(
  'a abbr b bdi bdo br cite code data del dfn em font i img ins kbd label mark q s samp small span strong sub sup time tt u var wbr'.split(
    ' ',
  ),
)

/** HTML files are parsed in pieces of this length, in chars. */
const HTML_CHARS = 32 * 1024

/** Reads an HTML document. */
export function* htmlBlocks(source: string): Generator<Block> {
  const tree = new TreeBuilder()
  for (const piece of slices(source, HTML_CHARS)) {
    tree.html(piece)
    yield PAUSE
  }
  tree.end()
  yield* blocksIn(tree.root, 'prose')
}

/** The blocks inside an element. Text directly in the element becomes blocks of the given kind. */
export function blocksIn(parent: Element, kind: 'prose' | 'item'): Block[] {
  const blocks: Block[] = []
  addBlocksIn(blocks, parent, kind)
  return blocks
}

function addBlocksIn(blocks: Block[], parent: Element, kind: 'prose' | 'item'): void {
  let text = ''
  const endLine = () => {
    const line = tidy(text)
    text = ''
    if (line) blocks.push(textBlock(kind, line))
  }
  for (const child of parent.children) {
    if (isInline(child)) text += rawText(child)
    else {
      endLine()
      if (isElement(child) && !SKIPPED.has(child.name)) addElement(blocks, child, kind)
    }
  }
  endLine()
}

function addElement(blocks: Block[], element: Element, kind: 'prose' | 'item'): void {
  const { name } = element
  if (name === 'p') addBlocksIn(blocks, element, kind)
  else if (name === 'title') blocks.push(textBlock('title', inlineText(element)))
  else if (/^h[1-6]$/.test(name)) blocks.push(heading(element))
  else if (name === 'li' && isOnlyLink(element)) return
  else if (name === 'pre') blocks.push(preformatted(element))
  else if (name === 'table') addRows(blocks, element)
  else if (name === 'dl') addDefinitions(blocks, element)
  else addBlocksIn(blocks, element, name === 'li' ? 'item' : /^[uo]l$/.test(name) ? 'prose' : kind)
}

function heading(element: Element): Block {
  const id = element.attribs['id'] ?? outermost(element, 'a')[0]?.attribs['id']
  const text = inlineText(element).replace(/\s*[#¶]$/, '')
  return headingBlock(text, Number(element.name.slice(1)), id)
}

function addRows(blocks: Block[], table: Element): void {
  let headers: string[] = []
  for (const row of outermost(table, 'tr')) {
    const cells = outermost(row, 'td', 'th')
    if (cells.every(cell => cell.name === 'th')) headers = cells.map(inlineText)
    else blocks.push(textBlock('row', rowText(headers, cells.map(inlineText))))
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

function addDefinitions(blocks: Block[], list: Element): void {
  let term = ''
  for (const part of outermost(list, 'dt', 'dd')) {
    if (part.name === 'dt') term = inlineText(part)
    else blocks.push(textBlock('row', rowText([], [term, inlineText(part)])))
  }
}

/** The outermost descendants with one of these names. */
function outermost(parent: Element, ...names: string[]): Element[] {
  const found: Element[] = []
  addOutermost(found, parent, names)
  return found
}

function addOutermost(found: Element[], parent: Element, names: readonly string[]): void {
  for (const child of parent.children) {
    if (!isElement(child)) continue
    if (names.includes(child.name)) found.push(child)
    else addOutermost(found, child, names)
  }
}

function preformatted(pre: Element): Block {
  const [code = pre] = outermost(pre, 'code')
  const [, language = ''] = /(?:^|\s)language-(\S+)/.exec(code.attribs['class'] ?? '') ?? []
  return codeBlock(textOf(pre).trimEnd().replace(/^\n+/, ''), language)
}

function inlineText(node: Node): string {
  return tidy(rawText(node))
}

/** Joins the lines of a text and reduces each white space to one space. */
function tidy(text: string): string {
  const isTidy = !/[^\S ]| {2}|^ | $/.test(text)
  if (isTidy) return text
  const joined = hasNoHan(text) ? text.trim() : joinLines(text.split('\n'))
  // A single space is left alone: most white space is one.
  return joined.replace(/\s*[^\S ]\s*| {2,}/g, ' ')
}

/** Text with code in backticks; block elements are surrounded by spaces. */
function rawText(node: Node): string {
  if (typeof node === 'string') return node.includes('`') ? node.replaceAll('`', "'") : node
  if (SKIPPED.has(node.name)) return ''
  if (node.name === 'br') return ' '
  if (node.name === 'code') return codeSpan(textOf(node))
  let inner = ''
  for (const child of node.children) inner += rawText(child)
  return INLINE.has(node.name) ? inner : ` ${inner} `
}

function codeSpan(text: string): string {
  const inner = tidy(text)
  const ticks = inner.includes('`') ? '``' : '`'
  return inner && ticks + inner + ticks
}

function textOf(node: Node): string {
  if (typeof node === 'string') return node
  let text = ''
  for (const child of node.children) text += textOf(child)
  return text
}

function isElement(node: Node): node is Element {
  return typeof node !== 'string'
}

/** Whether an item is only a link: part of a table of contents or a menu. */
function isOnlyLink(item: Element): boolean {
  const [first, ...others] = item.children.filter(child => isElement(child) || /[^\s.,;]/.test(child))
  if (others.length > 0 || first === undefined || !isElement(first)) return false
  return first.name === 'a' || (first.name === 'p' && isOnlyLink(first))
}

function isInline(node: Node): boolean {
  return (
    typeof node === 'string' ||
    (INLINE.has(node.name) && node.children.every(child => !isElement(child) || INLINE.has(child.name)))
  )
}
