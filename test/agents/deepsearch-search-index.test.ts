import t from 'tap'
import { loadCorpus } from '../../src/agents/deepsearch/corpus.ts'

const { index } = await loadCorpus('test/fixtures/corpus')
const best = async (question: string) => (await index.search(question, '', 5)).hits[0]

t.test('ranks passages by their text and headings', async t => {
  t.equal((await best('compression'))?.passage.url, 'transports.md#compression')
  t.equal((await best('how to cancel a run'))?.passage.url, 'README.md#cancel-a-run')
  t.equal((await best('协同编辑'))?.passage.heading, '选择传输方式')
  const { hits } = await index.search('connection', '', 50)
  t.same(
    hits.map(({ score }) => score),
    hits.map(({ score }) => score).sort((a, b) => b - a),
  )
})

t.test('finds similar spellings of a word that the corpus does not contain', async t => {
  t.equal((await best('compresion'))?.passage.url, 'transports.md#compression')
  t.equal((await best('compressor'))?.passage.url, 'transports.md#compression')
})

t.test('finds only passages with most of the question', async t => {
  const { hits } = await index.search('connection to the volcano', '', 50)
  t.same(hits, [])
  t.ok((await index.search('connection', '', 50)).hits.every(({ coverage }) => coverage === 1))
})

t.test('hints decide between equal passages, but alone find nothing', async t => {
  const pair = await loadCorpus(t.testdir({ 'a.md': 'A red lease ends.', 'b.md': 'A blue lease ends.' }))
  const first = async (hints: string) => (await pair.index.search('lease', hints, 9)).hits[0]?.passage.url
  t.equal(await first('blue'), 'b.md')
  t.equal(await first('red'), 'a.md')
  t.same((await index.search('volcano', 'WebSocket', 50)).hits, [])
  t.same((await index.search('', 'WebSocket', 50)).hits, [])
})

t.test('gives the passages that follow one in its section', async t => {
  const hit = await best('cancel a run with its id')
  t.same(
    index.following(hit!.passage, 5).map(({ kind }) => kind),
    ['code', 'prose'],
  )
})
