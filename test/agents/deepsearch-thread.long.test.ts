import { execFile } from 'node:child_process'
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { listFiles, loadCorpus } from '../../src/agents/deepsearch/corpus.ts'
import { CorpusThread } from '../../src/agents/deepsearch/corpus-thread.ts'
import { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
import { cacheFile, keyOf, readCached, writeCached } from '../../src/agents/deepsearch/index-cache.ts'
import { fakeRun, play } from '../fixtures/run-context.ts'

const fixtures = 'test/fixtures/corpus'

t.test('a search in the worker thread gives the same result as in this thread', async t => {
  const thread = new CorpusThread({ roots: [fixtures], limits: {}, cache: undefined }, message =>
    t.fail(message),
  )
  const there = await thread.untilReady()
  const here = await loadCorpus(fixtures)
  t.equal(there.documents, here.documents)
  t.same(there.leftOut, here.leftOut)
  for (const question of ['How do I cancel a run?', '客户端断线重连后会怎样？', 'zebra']) {
    t.same(await there.index.search(question, '', 9), await here.index.search(question, '', 9), question)
  }
})

t.test('reports in the diagnostic output and in the answer what was left out', async t => {
  const corpus = t.testdir({
    'a.md': 'A lease ends.',
    'large.md': 'ferry '.repeat(100),
    'binary.txt': 'fer\0ry',
  })
  const logged: string[] = []
  const agent = createDeepsearch({
    corpus: [corpus, path.join(corpus, 'missing')],
    maxFileBytes: 100,
    cache: false,
    log: message => logged.push(message),
  })
  const { result } = await play(agent, { query: 'zebra?' }, fakeRun())
  const what = '1 file that could not be read, 1 file that is no text, 1 file that is too large'
  t.same(logged, [`left out of the documents: ${what}`])
  t.match(result?.result, { answer: `The corpus has 1 document. It lacks ${what}.` })
})

t.test('an index that is kept is the same until a file changes', async t => {
  const folder = t.testdir({
    docs: { 'a.md': '# A\n\nA lease ends.', 'b.md': '# B\n\nA token ends.' },
    cache: {},
  })
  const roots = [path.join(folder, 'docs')]
  const cache = path.join(folder, 'cache')
  const file = cacheFile(cache, roots)
  const key = async (limits = {}) => keyOf((await listFiles(roots)).files, limits)
  const first = await key()
  const corpus = await loadCorpus(roots)
  t.equal(await readCached(file, first), undefined, 'nothing is kept yet')
  await writeCached(file, first, corpus)
  t.equal((await readdir(cache)).length, 1, 'no draft is left')

  const kept = await readCached(file, first)
  t.match(kept, { documents: 2, leftOut: corpus.leftOut })
  t.same(
    await kept?.index.search('When does a lease end?', '', 9),
    await corpus.index.search('When does a lease end?', '', 9),
  )

  t.not(await key({ maxFileBytes: 1 }), first, 'other limits')
  await utimes(path.join(folder, 'docs/a.md'), 1, 1)
  const touched = await key()
  t.not(touched, first, 'another time')
  t.equal(await readCached(file, touched), undefined)
  await writeFile(path.join(folder, 'docs/c.md'), 'more')
  t.not(await key(), touched, 'another file')

  const bytes = await readFile(file)
  await writeFile(file, bytes.subarray(0, bytes.length - 20))
  t.equal(await readCached(file, first), undefined, 'half a file')
})

t.test('a run that is cancelled does not wait for the documents', async t => {
  const run = fakeRun()
  const agent = createDeepsearch({ corpus: fixtures, cache: false })
  const { error } = await play(agent, { query: 'session' }, run, ({ type }) => {
    if (type === 'tool.called') run.cancel()
  })
  t.match(error, { name: 'AbortError' })
})

t.test('an agent keeps no process alive', async t => {
  const entry = new URL('../../src/agents/deepsearch/deepsearch.ts', import.meta.url).href
  const loader = new URL('../loader/register.mjs', import.meta.url).href
  // Its thread starts by itself, half a second after the agent was made.
  const program = `import { createDeepsearch } from '${entry}'
    createDeepsearch({ corpus: ['${fixtures}'], cache: false })
    setTimeout(() => console.log('done'), 2000)`
  const args = [`--import=${loader}`, '--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 })
  t.equal(stdout, 'done\n')
})
