/** The pages of the documentation site are the documents of the repository, and the links between them lead somewhere. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { siteLink } from '../site/links.ts'
import { addressOf, files, root, sections, slugOf, titleOf } from '../site/pages.ts'

const read = (file: string) => readFileSync(join(root, file), 'utf8')

t.test('every document is in the sidebar, once', async t => {
  const documents = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.md'))
    .map(file => `docs/${file.replaceAll('\\', '/')}`)
  const others = readdirSync(root).filter(file => file.endsWith('.md'))
  for (const file of [...documents, ...others, 'client/README.md', 'client/python/README.md']) {
    t.equal(files.filter(page => page === file).length, 1, `${file} is in one section of site/pages.ts`)
  }
})

t.test('everything that the sidebar names is there, under an address and a title of its own', async t => {
  for (const { title, paths } of sections) {
    for (const path of paths) {
      const isThere = existsSync(join(root, path))
      t.ok(isThere, `${title}: ${path}`, isThere ? {} : { todo: 'not written yet' })
    }
  }
  const addresses = files.map(addressOf)
  t.strictSame([...new Set(addresses)], addresses)
  for (const file of files) t.not(titleOf(file), '')
})

/** The ids of a document's headings; a repeated heading gets a number, as on GitHub and on the site. */
function anchorsOf(file: string): Set<string> {
  const seen = new Map<string, number>()
  const text = read(file).replaceAll(/^```.*?^```/gms, '')
  return new Set(
    [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => {
      const slug = slugOf(heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/[`*]/g, ''))
      const times = seen.get(slug) ?? 0
      seen.set(slug, times + 1)
      return times === 0 ? slug : `${slug}-${times}`
    }),
  )
}

t.test('links between documents lead to files and headings that are there', async t => {
  let links = 0
  for (const file of files) {
    const text = read(file)
      .replaceAll(/^```.*?^```/gms, '')
      .replaceAll(/`[^`\n]*`/g, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      links++
      const [path = '', anchor] = target.split('#')
      const link = siteLink(file, path)
      if (path !== '' && link !== 'text' && !link.href.startsWith('/')) t.fail(`${file} links to ${target}`)
      if (anchor === undefined || link === 'text') continue
      const page = path === '' ? file : files.find(page => link.href === `/${addressOf(page)}`)
      t.ok(page && anchorsOf(page).has(anchor), `${file} links to ${target}`)
    }
  }
  t.ok(links > 100, `${links} links`)
})
