/**
 * The pages of the documentation site: which Markdown files of the repository they are, their order and their addresses.
 * `test/site.test.ts` fails when a document is in no section, and when a path here is no file.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** A part of the sidebar. */
export interface Section {
  readonly title: string
  /** Paths in the repository. A path with a `/` at the end stands for the files of that folder that are not listed. */
  readonly paths: readonly string[]
}

export const sections: readonly Section[] = [
  { title: 'Start', paths: ['README.md', 'docs/getting-started.md', 'docs/concepts.md', 'docs/README.md'] },
  {
    title: 'Guides',
    paths: [
      'docs/guides/react-chat.md',
      'docs/guides/llm-agents.md',
      'docs/guides/existing-app.md',
      'docs/guides/',
      'docs/how-to.md',
      'docs/pages.md',
      'client/README.md',
      'client/python/README.md',
      'docs/mount.md',
      'docs/put-it-in-front.md',
      'docs/workers.md',
      'docs/choosing-a-transport.md',
      'docs/selection-guide.md',
    ],
  },
  { title: 'Coming from', paths: ['docs/coming-from/', 'docs/clients/README.md', 'docs/clients/'] },
  {
    title: 'Run it',
    paths: [
      'docs/command-line.md',
      'docs/production-checklist.md',
      'docs/authorization.md',
      'docs/proxies.md',
      'docs/several-nodes.md',
      'docs/backup.md',
      'docs/observability.md',
      'docs/inspector.md',
      'docs/troubleshooting.md',
    ],
  },
  { title: 'Reference', paths: ['PROTOCOL.md', 'docs/limits.md', 'docs/performance.md', 'CHANGELOG.md'] },
  {
    title: 'How it is made',
    paths: ['docs/architecture.md', 'docs/delivery.md', 'docs/development.md', 'bench/README.md'],
  },
  { title: '中文', paths: ['README.zh-CN.md', 'docs/zh/'] },
]

/** The Markdown files of a folder, as paths in the repository. */
function filesIn(folder: string): string[] {
  if (!existsSync(`${root}${folder}`)) return []
  return readdirSync(`${root}${folder}`)
    .filter(name => name.endsWith('.md'))
    .sort()
    .map(name => `${folder}${name}`)
}

/** Every path that a section names itself. */
export const listed = sections.flatMap(({ paths }) => paths.filter(path => !path.endsWith('/')))

/** The files of a section, in its order. A listed file that is missing is left out. */
export function filesOf({ paths }: Section): string[] {
  return paths
    .flatMap(path => (path.endsWith('/') ? filesIn(path).filter(file => !listed.includes(file)) : [path]))
    .filter(file => existsSync(`${root}${file}`))
}

/** All pages, in the order of the sidebar. */
export const files = sections.flatMap(filesOf)

/** The Markdown files of the repository that are no pages. */
export function otherFiles(folder = ''): string[] {
  return readdirSync(`${root}${folder}`, { withFileTypes: true }).flatMap(entry => {
    const path = `${folder}${entry.name}`
    if (entry.isDirectory())
      return /^\.|^(node_modules|dist|api)$/.test(entry.name) ? [] : otherFiles(`${path}/`)
    return path.endsWith('.md') && !files.includes(path) ? [path] : []
  })
}

/** The address of a page on the site, as a path of a Markdown file: `docs/clients/README.md` is `clients/index.md`. */
export function addressOf(file: string): string {
  if (file === 'README.md') return 'index.md'
  if (file === 'README.zh-CN.md') return 'zh/index.md'
  if (file === 'docs/README.md') return 'all-pages.md'
  return file
    .replace(/^docs\//, '')
    .replace(/README\.md$/, 'index.md')
    .toLowerCase()
}

/** The first heading of a page, as text. */
export function titleOf(file: string): string {
  const heading = /^# (.+)$/m.exec(readFileSync(`${root}${file}`, 'utf8'))?.[1]
  if (heading === undefined) throw new Error(`${file} has no heading of the first level`)
  return heading.replaceAll(/[`*]/g, '')
}

/** The id of a heading, as GitHub makes it, so that links to it work there and on the site. */
export function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-')
}
