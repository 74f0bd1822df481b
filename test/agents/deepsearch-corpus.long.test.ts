import { mkdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { type Corpus, loadCorpus, passagesOf } from '../../src/agents/deepsearch/corpus.ts'
import { documentBlocks } from '../../src/agents/deepsearch/document.ts'

async function urls(corpus: Corpus, question = 'ferry'): Promise<string[]> {
  const { hits } = await corpus.index.search(question, '', 50)
  return hits.map(({ passage }) => passage.url).sort()
}

t.test('reads Markdown, text and HTML below a folder, and nothing else', async t => {
  const folder = t.testdir({
    'a.md': 'ferry',
    'b.TXT': 'ferry',
    'c.html': '<p>ferry</p>',
    'd.htm': '<p>ferry</p>',
    'e.markdown': 'ferry',
    'f.js': 'ferry',
    sub: { 'g.md': '# Ferry\nferry' },
    dist: { 'a.md': 'ferry' },
    node_modules: { pkg: { 'a.md': 'ferry' } },
    '.hidden': { 'a.md': 'ferry' },
    '.a.md': 'ferry',
  })
  const corpus = await loadCorpus(folder)
  t.same(await urls(corpus), ['a.md', 'b.TXT', 'c.html', 'd.htm', 'e.markdown', 'sub/g.md#ferry'])
  t.match(corpus, { documents: 6, index: { size: 6 }, unreadable: 0, truncated: false })
})

t.test('reads a given folder or file of any name, also inside node_modules', async t => {
  const folder = t.testdir({ node_modules: { pkg: { LICENSE: 'ferry', docs: { 'a.md': 'ferry' } } } })
  const at = (name: string) => path.join(folder, 'node_modules/pkg', name)
  t.same(await urls(await loadCorpus(at('docs'))), ['a.md'])
  t.same(await urls(await loadCorpus([at('LICENSE'), at('docs'), at('docs/a.md')])), ['LICENSE', 'docs/a.md'])
})

t.test('files with the same name in two folders have different URLs', async t => {
  const folder = t.testdir({ a: { docs: { 'x.md': 'ferry' } }, b: { docs: { 'x.md': 'ferry' } } })
  const roots = ['a/docs', 'b/docs'].map(root => path.join(folder, root))
  t.same(await urls(await loadCorpus(roots)), ['a/docs/x.md', 'b/docs/x.md'])
})

t.test('follows a symbolic link that is given, but none below a folder', async t => {
  const folder = t.testdir({ outside: { 'secret.md': 'ferry' }, corpus: { 'a.md': 'ferry' } })
  await symlink(path.join(folder, 'outside'), path.join(folder, 'corpus/link'))
  await symlink(path.join(folder, 'outside/secret.md'), path.join(folder, 'corpus/secret.md'))
  await symlink(path.join(folder, 'corpus'), path.join(folder, 'corpus/loop'))
  await symlink(path.join(folder, 'corpus'), path.join(folder, 'given'))
  t.same(await urls(await loadCorpus(path.join(folder, 'given'))), ['a.md'])
})

t.test('leaves out and counts files that cannot be read', async t => {
  const folder = t.testdir({ 'a.md': 'ferry', 'large.md': 'ferry '.repeat(100), 'binary.txt': 'fer\0ry' })
  await writeFile(path.join(folder, 'latin1.txt'), Buffer.from('f\xe9rry', 'latin1'))
  await writeFile(path.join(folder, 'deep.html'), `${'<div>'.repeat(20_000)}ferry`)
  const corpus = await loadCorpus([folder, path.join(folder, 'missing')], { maxFileBytes: 200_000 })
  t.match(corpus, { documents: 2, unreadable: 4 })
  t.same(await urls(await loadCorpus(folder, { maxFileBytes: 100 })), ['a.md'])
})

t.test('is bounded in files, folders and bytes', async t => {
  const folder = t.testdir({ 'a.md': 'ferry', 'b.md': 'ferry', sub: { 'c.md': 'ferry' } })
  t.match(await loadCorpus(folder, { maxFiles: 2 }), { documents: 2, truncated: true })
  t.match(await loadCorpus(folder, { maxTotalBytes: 6 }), { documents: 2, truncated: true })
  t.match(await loadCorpus(folder, { maxFiles: 3 }), { documents: 3, truncated: false })
  t.match(await loadCorpus(folder, { maxFiles: 1 }), { documents: 1, truncated: true })
})

t.test('yields to the event loop while loading, and stops when aborted', async t => {
  const folder = t.testdir({})
  await mkdir(path.join(folder, 'sub'))
  const line = 'Every event has an offset, and every client resumes at its own. '
  await writeFile(path.join(folder, 'sub/a.md'), `${line.repeat(10)}\n\n`.repeat(600))
  await writeFile(path.join(folder, 'sub/b.html'), `<p>${line.repeat(10)}</p>`.repeat(600))
  let turns = 0
  let loaded = false
  const loading = loadCorpus(folder).finally(() => {
    loaded = true
  })
  for (; !loaded; turns++) await setImmediate()
  t.equal((await loading).index.size, 1200)
  t.ok(turns > 10, `${turns} turns`)

  const controller = new AbortController()
  const aborted = loadCorpus(folder, { signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.rejects(aborted, { message: 'enough' })
})

t.test('passages', async t => {
  const read = (file: string, ...lines: string[]) =>
    [...passagesOf(file, documentBlocks(file, lines.join('\n')))].filter(passage => passage !== undefined)

  t.test('know their document, section and introduction', async t => {
    const all = read(
      'a b/指南.md',
      'first',
      '# The `doc`',
      'x',
      '## Sub',
      'Do this:',
      '- y',
      '# Other',
      'z',
      '## Sub',
      'q',
    )
    t.same(
      all.map(({ title, url, text, opensSection, lead }) => [title, url, text, opensSection, lead]),
      [
        ['指南', 'a%20b/%E6%8C%87%E5%8D%97.md', 'first', true, ''],
        ['The doc', 'a%20b/%E6%8C%87%E5%8D%97.md#the-doc', 'x', true, ''],
        ['The doc > Sub', 'a%20b/%E6%8C%87%E5%8D%97.md#sub', 'Do this:', true, ''],
        ['The doc > Sub', 'a%20b/%E6%8C%87%E5%8D%97.md#sub', 'y', false, 'Do this:'],
        ['The doc > Other', 'a%20b/%E6%8C%87%E5%8D%97.md#other', 'z', true, ''],
        ['The doc > Other > Sub', 'a%20b/%E6%8C%87%E5%8D%97.md#sub-1', 'q', true, ''],
      ],
    )
  })

  t.test('have unique ids that are the same in every load', async t => {
    const ids = () => read('a.md', '# A', 'x', '', 'x', '## A', 'x').map(({ id }) => id)
    t.same(ids(), ['a.md#a:1', 'a.md#a:2', 'a.md#a-1:3'])
    t.same(ids(), ids())
  })

  t.test('have a maximum length: a longer block becomes several', async t => {
    const all = read('a.md', 'word '.repeat(1000))
    t.equal(all.length, 3)
    t.ok(all.every(({ text }) => text.length <= 2000))
  })
})
