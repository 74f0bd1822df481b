import { mkdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { type Corpus, loadCorpus } from '../../src/agents/deepsearch/corpus.ts'

async function urls(corpus: Corpus, question = 'ferry'): Promise<string[]> {
  const { hits } = await corpus.passages.search(question, '', 50)
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
  t.match(corpus, { documents: 6, passages: { size: 6 }, unreadable: 0, truncated: false })
})

t.test(
  'reads a folder whatever it lies in, and files named by themselves whatever they are called',
  async t => {
    const folder = t.testdir({ node_modules: { pkg: { LICENSE: 'ferry', docs: { 'a.md': 'ferry' } } } })
    const at = (name: string) => path.join(folder, 'node_modules/pkg', name)
    t.same(await urls(await loadCorpus(at('docs'))), ['a.md'])
    t.same(await urls(await loadCorpus([at('LICENSE'), at('docs'), at('docs/a.md')])), [
      'LICENSE',
      'docs/a.md',
    ])
  },
)

t.test('keeps apart what has the same name in two folders', async t => {
  const folder = t.testdir({ a: { docs: { 'x.md': 'ferry' } }, b: { docs: { 'x.md': 'ferry' } } })
  const roots = ['a/docs', 'b/docs'].map(root => path.join(folder, root))
  t.same(await urls(await loadCorpus(roots)), ['a/docs/x.md', 'b/docs/x.md'])
})

t.test('follows no symbolic links below a folder, but is happy to be given one', async t => {
  const folder = t.testdir({ outside: { 'secret.md': 'ferry' }, corpus: { 'a.md': 'ferry' } })
  await symlink(path.join(folder, 'outside'), path.join(folder, 'corpus/link'))
  await symlink(path.join(folder, 'outside/secret.md'), path.join(folder, 'corpus/secret.md'))
  await symlink(path.join(folder, 'corpus'), path.join(folder, 'corpus/loop'))
  await symlink(path.join(folder, 'corpus'), path.join(folder, 'given'))
  t.same(await urls(await loadCorpus(path.join(folder, 'given'))), ['a.md'])
})

t.test('leaves out and counts what cannot be read', async t => {
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

t.test('is loaded a little at a time, and not at all when aborted', async t => {
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
  t.equal((await loading).passages.size, 1200)
  t.ok(turns > 10, `${turns} turns`)

  const controller = new AbortController()
  const aborted = loadCorpus(folder, { signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.rejects(aborted, { message: 'enough' })
})

t.test('search', async t => {
  const corpus = await loadCorpus('test/fixtures/corpus')
  const best = async (question: string) => (await corpus.passages.search(question, '', 5)).hits[0]

  t.test('ranks by BM25, headings included', async t => {
    t.equal((await best('compression'))?.passage.url, 'transports.md#compression')
    t.equal((await best('how to cancel a run'))?.passage.url, 'README.md#cancel-a-run')
    t.equal((await best('协同编辑'))?.passage.heading, '选择传输方式')
    const { hits } = await corpus.passages.search('connection', '', 50)
    t.same(
      hits.map(({ score }) => score),
      hits.map(({ score }) => score).sort((a, b) => b - a),
    )
  })

  t.test('finds another spelling or ending where the word itself is unknown', async t => {
    t.equal((await best('compresion'))?.passage.url, 'transports.md#compression')
    t.equal((await best('compressor'))?.passage.url, 'transports.md#compression')
  })

  t.test('gives only what holds most of the question', async t => {
    const { hits } = await corpus.passages.search('connection to the volcano', '', 50)
    t.same(hits, [])
    t.ok((await corpus.passages.search('connection', '', 50)).hits.every(({ coverage }) => coverage === 1))
  })

  t.test('lets hints decide between equals, but finds nothing by them alone', async t => {
    const pair = await loadCorpus(t.testdir({ 'a.md': 'A red lease ends.', 'b.md': 'A blue lease ends.' }))
    const first = async (hints: string) =>
      (await pair.passages.search('lease', hints, 9)).hits[0]?.passage.url
    t.equal(await first('blue'), 'b.md')
    t.equal(await first('red'), 'a.md')
    t.same((await corpus.passages.search('volcano', 'WebSocket', 50)).hits, [])
    t.same((await corpus.passages.search('', 'WebSocket', 50)).hits, [])
  })

  t.test('knows what comes after a passage in its section', async t => {
    const hit = await best('cancel a run with its id')
    t.same(
      corpus.passages.after(hit!.passage, 5).map(({ kind }) => kind),
      ['code', 'prose'],
    )
  })
})
