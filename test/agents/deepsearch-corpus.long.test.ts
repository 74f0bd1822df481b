import { mkdir, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { type Corpus, loadCorpus, passagesOf } from '../../src/agents/deepsearch/corpus.ts'
import { documentBlocks } from '../../src/agents/deepsearch/document.ts'
import { decodeText } from '../../src/agents/deepsearch/encoding.ts'

async function urls(corpus: Corpus, question = 'ferry'): Promise<string[]> {
  const { hits } = await corpus.index.search(question, '', 50)
  return hits.map(({ passage }) => passage.url).sort()
}

t.test('reads documents of all kinds below a folder, and nothing else', async t => {
  const folder = t.testdir({
    'a.md': 'ferry',
    'b.TXT': 'ferry',
    'c.html': '<p>ferry</p>',
    'd.htm': '<p>ferry</p>',
    'e.markdown': 'ferry',
    'f.js': 'ferry',
    'h.mdx': "import { Note } from './note'\n\n<Note>ferry</Note>",
    'i.rst': 'Ferry\n=====\n\nferry',
    'j.adoc': '= Ferry\n\nferry',
    README: 'ferry',
    LICENSE: 'ferry',
    sub: { 'g.md': '# Ferry\nferry' },
    dist: { 'a.md': 'ferry' },
    node_modules: { pkg: { 'a.md': 'ferry' } },
    '.hidden': { 'a.md': 'ferry' },
    '.a.md': 'ferry',
  })
  const corpus = await loadCorpus(folder)
  t.same(await urls(corpus), [
    ...['README', 'a.md', 'b.TXT', 'c.html', 'd.htm', 'e.markdown', 'h.mdx', 'i.rst#ferry', 'j.adoc#ferry'],
    'sub/g.md#ferry',
  ])
  t.match(corpus, {
    documents: 10,
    index: { size: 10 },
    leftOut: { unreadable: 0, notText: 0, tooLarge: 0, beyondLimits: 0 },
  })
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
  await writeFile(path.join(folder, 'deep.html'), `${'<div>'.repeat(20_000)}ferry`)
  const corpus = await loadCorpus([folder, path.join(folder, 'missing')], { maxFileBytes: 200_000 })
  t.match(corpus, { documents: 2, leftOut: { unreadable: 2, notText: 1, tooLarge: 0 } })
  const small = await loadCorpus(folder, { maxFileBytes: 100 })
  t.same(await urls(small), ['a.md'])
  t.match(small, { leftOut: { tooLarge: 2 } })
})

t.test('reads files in any of the usual encodings', async t => {
  const texts: [name: string, encoding: string, text: string][] = [
    ['utf-8', 'utf8', 'Grüße von der Fähre, 渡轮'],
    ['latin-1', 'latin1', 'Grüße von der Fähre über den Øresund'],
    ['utf-16', 'utf16le', 'Grüße von der Fähre, 渡轮'],
  ]
  for (const [name, encoding, text] of texts)
    t.equal(decodeText(Buffer.from(text, encoding as BufferEncoding)), text, name)
  const utf16 = Buffer.from('\ufeffFähre 渡轮', 'utf16le')
  t.equal(decodeText(utf16), 'Fähre 渡轮', 'a byte order mark')
  t.equal(decodeText(Buffer.from(utf16).swap16()), 'Fähre 渡轮', 'the other byte order')
  t.equal(decodeText(Buffer.from('\ufeffFähre')), 'Fähre', 'a mark of UTF-8')
  // “购买后七天内申请退款。” in GBK.
  const gbk = Buffer.from('b9bac2f2bac6dfcceca7c4dac9eac7eb', 'hex')
  const refund = Buffer.from('b9bac2f2baf3c6dfccecc4dac9eac7ebcdcbbfeea1a3', 'hex')
  t.equal(decodeText(refund), '购买后七天内申请退款。', 'GBK')
  t.not(decodeText(gbk), undefined, 'what fits no encoding is read as Latin-1')
  t.equal(decodeText(Buffer.from([0x80, 0x20, 0x93, 0x61, 0x94])), '€ “a”', 'Windows-1252')
  t.equal(
    decodeText(Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 1, 2])),
    undefined,
    'a picture',
  )
  t.equal(decodeText(new Uint8Array()), '')

  const folder = t.testdir({})
  await writeFile(path.join(folder, 'latin1.txt'), Buffer.from('die F\xe4hre', 'latin1'))
  await writeFile(path.join(folder, 'gbk.txt'), refund)
  const corpus = await loadCorpus(folder)
  t.same(await urls(corpus, 'Fähre'), ['latin1.txt'])
  t.same(await urls(corpus, '退款期限是几天'), ['gbk.txt'])
})

t.test('is bounded in files, folders and bytes, and counts what is beyond', async t => {
  const folder = t.testdir({ 'a.md': 'ferry', 'b.md': 'ferry', sub: { 'c.md': 'ferry' } })
  const bounded = async (options: object) => {
    const { documents, leftOut } = await loadCorpus(folder, options)
    return [documents, leftOut.beyondLimits]
  }
  t.same(await bounded({ maxFiles: 2 }), [2, 1])
  t.same(await bounded({ maxTotalBytes: 6 }), [2, 1])
  t.same(await bounded({ maxFiles: 3 }), [3, 0])
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
