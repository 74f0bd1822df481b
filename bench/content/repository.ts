/** The project's own documents, as the text that is sent. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Section {
  /** The document's path in the repository. */
  readonly file: string
  readonly heading: string
  /** What stands under the heading, without the tables, the code and the marks of Markdown. */
  readonly text: string
}

/** The folder with `docs`: a run's measured code is a copy further down in it. */
function root(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'PROTOCOL.md'))) {
    const above = dirname(folder)
    if (above === folder)
      throw new Error('expected PROTOCOL.md in a folder above this file; run it in the repository')
    folder = above
  }
  return folder
}

/** Paragraphs as sentences in a line each, lists too; no tables, no code. */
function plain(markdown: string): string {
  return markdown
    .split('\n')
    .filter(line => !/^\s*\|/.test(line))
    .join('\n')
    .replace(/\[([^\]]+)\]\([^)]+\)/g, '$1')
    .replace(/(\*\*|`)/g, '')
    .replace(/^[-*] /gm, '')
    .replace(/([^\n])\n(?=[^\n])/g, '$1 ')
    .replace(/ {2,}/g, ' ')
    .replace(/\n{2,}/g, '\n\n')
    .trim()
}

function sectionsOf(file: string, markdown: string): Section[] {
  const parts = markdown.replace(/^```[\s\S]*?^```$/gm, '').split(/^#+ /m)
  return parts.slice(1).flatMap(part => {
    const [heading = '', ...lines] = part.split('\n')
    const text = plain(lines.join('\n'))
    return text.length >= 80 ? [{ file, heading: plain(heading), text }] : []
  })
}

let read: readonly Section[] | undefined

/** Every section of the documents that says something, in their order; the guide that a run writes is not among them. */
export function sections(): readonly Section[] {
  if (read) return read
  const folder = root()
  const docs = readdirSync(join(folder, 'docs')).filter(
    name => name.endsWith('.md') && name !== 'selection-guide.md',
  )
  const files = ['README.md', 'PROTOCOL.md', ...docs.sort().map(name => `docs/${name}`)]
  read = files.flatMap(file => sectionsOf(file, readFileSync(join(folder, file), 'utf8')))
  return read
}

/** A text's sentences. */
export const sentences = (text: string) =>
  text.split(/(?<=[.!?:])\s+(?=[\p{Lu}`"])/u).map(sentence => sentence.trim())

/** A text in the pieces that language models speak in: words with the space before them, long ones in parts. */
export const tokens = (text: string) => text.match(/ ?\p{L}{1,7}| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+/gu) ?? []
