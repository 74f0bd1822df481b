/** Twinrail's own documentation as web pages: the page at `/` and the sources of its answers link to it. */
import { readFile } from 'node:fs/promises'

/** The address of the documents, relative to that of the page: below it they are laid out as in the package. */
export const DOCUMENTS = 'about/'

/** What of the package is shown: the documents in its folder, those of the clients, and those in `docs/` with their images. */
const shown =
  /^(?:(?:README(?:\.[a-z]{2}-[A-Z]{2})?|PROTOCOL|CHANGELOG)\.md|client\/(?:python\/)?README\.md|docs\/(?:[a-z\d-]+\/)?[A-Za-z\d-]+(?:\.[a-z\d-]+)*\.(?:md|svg))$/

/** Pages by their path; there are as many as documents. */
const pages = new Map<string, Promise<string>>()

/**
 * Returns a document of the package: Markdown as a page, an image as it is; `undefined` when there is none.
 * @param template the built page that the document is put into
 */
export async function documentAt(
  path: string,
  packageFolder: URL,
  template: () => Promise<string>,
): Promise<{ type: 'html' | 'svg'; body: string } | undefined> {
  if (!shown.test(path)) return undefined
  try {
    const file = new URL(path, packageFolder)
    if (path.endsWith('.svg')) return { type: 'svg', body: await readFile(file, 'utf8') }
    const page = pages.get(path) ?? pageOf(await readFile(file, 'utf8'), inFolderOf(path, await template()))
    pages.set(path, page)
    return { type: 'html', body: await page }
  } catch {
    pages.delete(path)
    return undefined
  }
}

/** The template for the document at `path`. Its links are written as they are in the page, above the documents. */
function inFolderOf(path: string, template: string): string {
  const depth = `${DOCUMENTS}${path}`.split('/').length - 1
  return template.replaceAll(/(?<=\b(?:href|src)=")\.\//g, '../'.repeat(depth))
}

async function pageOf(source: string, template: string): Promise<string> {
  const { Marked } = await import('marked')
  const slugs = new Map<string, number>()
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth, text }) {
        const words = text.replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
        const slug = words.toLowerCase().replaceAll(' ', '-')
        const earlier = slugs.get(slug) ?? 0
        slugs.set(slug, earlier + 1)
        const id = earlier ? `${slug}-${earlier}` : slug
        return `<h${depth} id="${id}">${this.parser.parseInline(tokens)}</h${depth}>\n`
      },
    },
  })
  const title = /^# (.+)$/m.exec(source)?.[1]?.replace(/[<>&`]/g, '') ?? 'Twinrail'
  const html = await marked.parse(source)
  return template
    .replace(/<title>.*?<\/title>/, () => `<title>${title}</title>`)
    .replace('<!--document-->', () => html)
}
