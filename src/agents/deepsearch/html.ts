/** Reads HTML into blocks. */
import { DomHandler, Parser } from 'htmlparser2'
import { type Block, rowText } from './blocks.ts'

type Parent = { children: DomHandler['root']['children'] }
type Node = Parent['children'][number]
type Element = Extract<Node, { name: string; attribs: object }>

/** Elements whose content is no part of what the page says. */
const SKIPPED = new Set(
  'script style noscript template svg math nav footer form button select iframe object canvas'.split(' '),
)

/** Elements that do not end the text around them. */
const INLINE = new Set(
  'a abbr b bdi bdo br cite code data del dfn em font i img ins kbd label mark q s samp small span strong sub sup time tt u var wbr'.split(
    ' ',
  ),
)

/** Chars of HTML that are parsed in one go. */
const CHUNK = 32 * 1024

/** The blocks of an HTML page, in its order. */
export function* htmlBlocks(source: string): Generator<Block> {
  const page = new DomHandler()
  const parser = new Parser(page)
  for (let start = 0; start < source.length; start += CHUNK) {
    parser.write(source.slice(start, start + CHUNK))
    yield { kind: 'pause' }
  }
  parser.end()
  yield* blocksIn(page.root, 'prose')
}

/** Blocks of everything in a node; text of its own is of the given kind. */
function* blocksIn(parent: Parent, kind: 'prose' | 'item'): Generator<Block> {
  let text = ''
  for (const child of [...parent.children, undefined]) {
    if (child && isInline(child)) {
      text += rawText(child)
      continue
    }
    const own = tidy(text)
    text = ''
    if (own) yield { kind, text: own }
    if (child && isElement(child) && !SKIPPED.has(child.name)) yield* elementBlocks(child, kind)
  }
}

function* elementBlocks(element: Element, kind: 'prose' | 'item'): Generator<Block> {
  const { name } = element
  if (name === 'title') yield { kind: 'title', text: inlineText(element) }
  else if (/^h[1-6]$/.test(name)) yield heading(element)
  else if (name === 'li' && isOnlyLink(element)) return
  else if (name === 'pre') yield { kind: 'code', text: code(element) }
  else if (name === 'table') yield* rows(element)
  else if (name === 'dl') yield* definitions(element)
  else yield* blocksIn(element, name === 'li' ? 'item' : /^[uo]l$/.test(name) ? 'prose' : kind)
}

function heading(element: Element): Block {
  const id = element.attribs['id'] ?? all(element, new Set(['a']))[0]?.attribs['id']
  const text = inlineText(element).replace(/\s*[#¶]$/, '')
  return { kind: 'heading', level: Number(element.name.slice(1)), text, ...(id && { id }) }
}

function* rows(table: Element): Generator<Block> {
  let headers: string[] = []
  for (const row of all(table, new Set(['tr']))) {
    const cells = all(row, new Set(['td', 'th']))
    if (cells.every(cell => cell.name === 'th')) headers = cells.map(inlineText)
    else yield { kind: 'row', text: rowText(headers, cells.map(inlineText)) }
  }
}

function* definitions(list: Element): Generator<Block> {
  let term = ''
  for (const part of all(list, new Set(['dt', 'dd']))) {
    if (part.name === 'dt') term = inlineText(part)
    else yield { kind: 'row', text: rowText([], [term, inlineText(part)]) }
  }
}

/** The outermost elements of these names below a node. */
function all(parent: Parent, names: ReadonlySet<string>): Element[] {
  return parent.children
    .filter(isElement)
    .flatMap(child => (names.has(child.name) ? [child] : all(child, names)))
}

function code(pre: Element): string {
  return textOf(pre).replace(/^\n+|\s+$/g, '')
}

function inlineText(node: Node): string {
  return tidy(rawText(node))
}

function tidy(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

/** Text with code in backticks; a space wherever an element ends the text. */
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

/** A line of a table of contents or a menu, not something said. */
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
