/**
 * Links of the documents, which are paths in the repository, as links of the site. A link to a file that is no page, such
 * as a source file, becomes plain text, because the site does not have the file. A link to nothing stays and fails the
 * build.
 */
import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { addressOf, files, root } from './pages.ts'

/** What a link in a document becomes: an address on the site, or `text` for a file that is no page. */
export function siteLink(file: string, target: string): { href: string } | 'text' {
  if (/^([a-z][a-z+.-]*:|#|\/)/i.test(target)) return { href: target }
  const [path = '', anchor] = target.split('#')
  const found = posix.join(posix.dirname(file), decodeURIComponent(path)).replace(/\/$/, '')
  const page = [found, `${found}/README.md`].find(name => files.includes(name))
  if (page !== undefined) return { href: `/${addressOf(page)}${anchor === undefined ? '' : `#${anchor}`}` }
  return existsSync(`${root}${found}`) ? 'text' : { href: target }
}

/** The parts of markdown-it's tokens and environment that are used here. */
interface Token {
  type: string
  children: Token[] | null
  attrGet(name: string): string | null
  attrSet(name: string, value: string): void
}
interface State {
  tokens: Token[]
  env: { path?: string; realPath?: string }
}

/** A plugin of markdown-it that rewrites the links of the repository's documents. */
export function repositoryLinks(md: {
  core: { ruler: { push(name: string, rule: (state: State) => void): void } }
}): void {
  md.core.ruler.push('repository-links', ({ tokens, env }) => {
    const file = posix.relative(root, (env.realPath ?? env.path ?? '').replaceAll('\\', '/'))
    if (!files.includes(file)) return
    for (const token of tokens) if (token.children) token.children = rewrite(file, token.children)
  })
}

function rewrite(file: string, tokens: readonly Token[]): Token[] {
  let isText = false
  return tokens.filter(token => {
    if (token.type === 'link_open') {
      const link = siteLink(file, token.attrGet('href') ?? '')
      isText = link === 'text'
      if (link !== 'text') token.attrSet('href', link.href)
      return !isText
    }
    if (token.type !== 'link_close' || !isText) return true
    isText = false
    return false
  })
}
