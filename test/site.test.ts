/** The pages of the documentation site are the documents of the repository. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { siteLink } from '../site/links.ts'
import { addressOf, files, root, sections, slugOf, titleOf } from '../site/pages.ts'
import { documents, fragmentsOf, read, withoutCode } from './fixtures/documents.ts'

t.test('every document is in the sidebar, once', async t => {
  for (const file of documents) {
    t.equal(files.filter(page => page === file).length, 1, `${file} is in one section of site/pages.ts`)
  }
  t.same(
    files.filter(page => !documents.includes(page)),
    [],
  )
})

t.test('everything that the sidebar names is there, under an address and a title of its own', async t => {
  for (const { title, paths } of sections) {
    for (const path of paths) {
      t.ok(existsSync(join(root, path)), `${title}: ${path}`)
    }
  }
  const addresses = files.map(addressOf)
  t.strictSame([...new Set(addresses)], addresses)
  for (const file of files) t.not(titleOf(file), '')
})

t.test('headings have the ids on the site that they have on GitHub', async t => {
  for (const file of files) {
    const ids = fragmentsOf(file)
    for (const [, heading = ''] of withoutCode(read(file)).matchAll(/^#{1,6} (.+)$/gm)) {
      t.ok(ids.has(slugOf(heading)), `${file}: ${heading}`)
    }
  }
})

t.test('links lead to pages of the site; links to other files become text', async t => {
  t.strictSame(siteLink('docs/mount.md', '../PROTOCOL.md#errors'), { href: '/protocol.md#errors' })
  t.strictSame(siteLink('docs/mount.md', 'clients/README.md'), { href: '/clients/index.md' })
  t.strictSame(siteLink('README.md', 'https://example.com/a.md'), { href: 'https://example.com/a.md' })
  t.equal(siteLink('docs/how-to.md', '../Dockerfile'), 'text')
  t.strictSame(siteLink('docs/how-to.md', '../missing.md'), { href: '../missing.md' })
})
