/** Reads Markdown (CommonMark and GFM, with front matter) as blocks, from the tokens of marked. */
import { Parser } from 'htmlparser2'
import { getDefaults, Lexer, type MarkedToken, type Token, Tokenizer, type Tokens } from 'marked'
import { type Block, PAUSE, textBlock } from './block.ts'
import { blocksIn, TreeBuilder } from './html.ts'
import { inlineTokens } from './inline.ts'
import { slices } from './text.ts'

/** Inline markup is parsed in pieces of this length, in chars: marked takes quadratic time (100 KB of `*a` took 7 s). */
const INLINE_CHARS = 4_000

/** The caller may yield to the event loop after this length of inline markup, in chars. */
const PAUSE_CHARS = 16_000

/** YAML front matter: at most 50 lines between `---` at the start of a document. */
const FRONT_MATTER = /^---\r?\n((?:.*\r?\n){0,50}?)---[^\S\n]*(?:\r?\n|$)/

/** Marks that GFM does not define: admonitions (`[!NOTE]`, `:::note`) and footnotes. */
const FOREIGN_MARKS = /^\[![A-Z]+\]\s*|^:::[^\S\n]*[\w-]*\s*|\s*:::$|\[\^[^\][]{1,100}\]:?/g

/** Reads a Markdown document. */
export function* markdownBlocks(source: string): Generator<Block> {
  const [whole = '', frontMatter = ''] = FRONT_MATTER.exec(source) ?? []
  const title = /^title:\s*["']?(.*?)["']?\s*$/m.exec(frontMatter)?.[1]
  if (title) yield textBlock('title', title)
  const lexer = new Lexer({ ...getDefaults(), tokenizer: new GuardedTokenizer() })
  lexer.blockTokens(source.slice(whole.length).replace(/\r\n?/g, '\n'), lexer.tokens)
  let chars = 0
  for (const { src, tokens } of lexer.inlineQueue) {
    addInlineTokens(lexer, src, tokens)
    chars += src.length
    if (chars < PAUSE_CHARS) continue
    chars = 0
    yield PAUSE
  }
  const tree = new TreeBuilder()
  addTokens(tree, lexer.tokens)
  tree.end()
  for (const block of blocksIn(tree.root, 'prose')) {
    if (block.kind !== 'prose' && block.kind !== 'item') yield block
    else {
      const text = withoutForeignMarks(block.text)
      if (text) yield textBlock(block.kind, text)
    }
  }
}

function addInlineTokens(lexer: Lexer, source: string, tokens: Token[]): void {
  const frequent = source.length <= INLINE_CHARS ? inlineTokens(source, lexer.tokens.links) : undefined
  if (frequent) tokens.push(...frequent)
  else for (const part of slices(source, INLINE_CHARS)) lexer.inlineTokens(part, tokens)
}

/** Tests the first character, or for a line below, before the rules of marked, which try every rule at every place. */
class GuardedTokenizer extends Tokenizer {
  override lheading(src: string): Tokens.Heading | undefined {
    const end = src.indexOf('\n\n')
    return /\n {0,3}[=-]/.test(end === -1 ? src : src.slice(0, end)) ? super.lheading(src) : undefined
  }

  override escape(src: string): Tokens.Escape | undefined {
    return src.startsWith('\\') ? super.escape(src) : undefined
  }

  override tag(src: string): Tokens.Tag | undefined {
    return src.startsWith('<') ? super.tag(src) : undefined
  }

  override autolink(src: string): Tokens.Link | undefined {
    return src.startsWith('<') ? super.autolink(src) : undefined
  }

  override link(src: string): Tokens.Link | Tokens.Image | undefined {
    return src.startsWith('[') || src.startsWith('!') ? super.link(src) : undefined
  }

  override reflink(
    src: string,
    links: Parameters<Tokenizer['reflink']>[1],
  ): ReturnType<Tokenizer['reflink']> {
    return src.startsWith('[') || src.startsWith('!') ? super.reflink(src, links) : undefined
  }

  override codespan(src: string): Tokens.Codespan | undefined {
    return src.startsWith('`') ? super.codespan(src) : undefined
  }

  override br(src: string): Tokens.Br | undefined {
    return src.startsWith(' ') || src.startsWith('\\') ? super.br(src) : undefined
  }
}

/** Adds the elements that marked's tokens stand for to a tree. */
function addTokens(tree: TreeBuilder, tokens: readonly Token[]): void {
  for (const token of tokens) addToken(tree, token as MarkedToken)
}

function addToken(tree: TreeBuilder, token: MarkedToken): void {
  const add = (name: string, tokens: readonly Token[]) => tree.element(name, () => addTokens(tree, tokens))
  switch (token.type) {
    case 'text':
      if ('tokens' in token && token.tokens) addTokens(tree, token.tokens)
      else if (token.escaped) tree.html(token.text)
      else tree.text(withoutEntities(token.text))
      break
    case 'escape':
      tree.text(withoutEntities(token.text))
      break
    case 'html':
      tree.html(token.text)
      break
    case 'paragraph':
      add('p', token.tokens)
      break
    case 'heading':
      add(`h${token.depth}`, token.tokens)
      break
    case 'list':
      tree.element(token.ordered ? 'ol' : 'ul', () => {
        for (const item of token.items) add('li', item.tokens)
      })
      break
    case 'code':
      addCode(tree, token)
      break
    case 'table':
      addTable(tree, token)
      break
    case 'codespan':
      tree.element('code', () => tree.text(token.text))
      break
    case 'link':
      if (token.autolink) tree.element('a', () => tree.text(token.text))
      else add('a', token.tokens)
      break
    case 'blockquote':
    case 'strong':
    case 'em':
    case 'del':
    case 'br':
    case 'hr':
    case 'image':
      add(
        token.type === 'image' ? 'img' : token.type,
        ('tokens' in token && token.type !== 'image' && token.tokens) || [],
      )
      break
  }
}

function addCode(tree: TreeBuilder, { text, lang = '' }: Tokens.Code): void {
  const [language] = lang.match(/^\S+/) ?? []
  const attribs = language ? { class: `language-${withoutEntities(language)}` } : {}
  tree.element('pre', () => tree.element('code', () => tree.text(text), attribs))
}

function addTable(tree: TreeBuilder, { header, rows }: Tokens.Table): void {
  tree.element('table', () => {
    for (const cells of [header, ...rows]) {
      tree.element('tr', () => {
        for (const cell of cells) tree.element(cell.header ? 'th' : 'td', () => addTokens(tree, cell.tokens))
      })
    }
  })
}

/** Replaces character references such as `&amp;` by their characters. */
function withoutEntities(text: string): string {
  if (!text.includes('&')) return text
  let decoded = ''
  const parser = new Parser({ ontext: data => (decoded += data) })
  parser.end(text.replaceAll('<', '&lt;'))
  return decoded
}

/** Removes {@link FOREIGN_MARKS} outside of code spans. */
function withoutForeignMarks(text: string): string {
  if (!text.includes('[^') && !text.includes('[!') && !text.includes(':::')) return text
  const parts = text.split(/(`[^`]+`)/)
  return parts
    .map((part, i) => (i % 2 === 1 ? part : part.replace(FOREIGN_MARKS, '')))
    .join('')
    .trim()
}
