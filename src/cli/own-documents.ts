/** Twinrail's own documentation, as files of the package. */
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * The pages for people who change Twinrail, whose passages answer users' questions with names of files and functions, and
 * the index, whose passages only name pages.
 */
const LEFT_OUT = new Set(['docs/architecture.md', 'docs/development.md', 'docs/README.md'])

/** The default documents of deepsearch, so that a new user can ask Twinrail about itself. @returns paths of files */
export function ownDocuments(packageRoot: URL): string[] {
  const docs = readdirSync(new URL('docs/', packageRoot), { recursive: true, encoding: 'utf8' })
    .map(name => `docs/${name.replaceAll('\\', '/')}`)
    .filter(path => path.endsWith('.md') && !LEFT_OUT.has(path))
    .sort()
  return ['README.md', 'README.zh-CN.md', 'PROTOCOL.md', ...docs].map(path =>
    fileURLToPath(new URL(path, packageRoot)),
  )
}
