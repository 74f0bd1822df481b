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
    hit?.following.map(({ kind }) => kind),
    ['code', 'prose'],
  )
})

t.test('a passage without a word that names the subject is no hit', async t => {
  const corpus = await loadCorpus(
    t.testdir({
      zod: { 'README.md': '# zod\n\nA schema parses a string.\n\nIt infers a type from a schema.' },
      pino: { 'api.md': '# API\n\nA string such as `1` is coerced to a number by pino.' },
    }),
  )
  const urls = async (question: string) =>
    (await corpus.index.search(question, '', 9)).hits.map(({ passage }) => passage.url)
  t.same(await urls('How does zod coerce a string to a number?'), [])
  t.same(await urls('How does pino coerce a string to a number?'), ['pino/api.md#api'])
  t.match(await corpus.index.search('How does zod talk to Django?', '', 9), {
    hits: [],
    unknown: ['talk', 'Django'],
  })
})

t.test('headings and file names count as the context of a passage', async t => {
  const corpus = await loadCorpus(
    t.testdir({
      'Server.md':
        '# Server\n\n## `bodyLimit`\n\n- Default: `1048576`\n\n## `trustProxy`\n\n- Default: `false`',
      'Other.md': '# Other\n\nNothing of the sort stands here, nor anything about proxies and bodies.',
    }),
  )
  const answer = async (question: string) =>
    (await corpus.index.search(question, '', 9)).hits[0]?.passage.text
  t.equal(await answer('What is the default body limit of the server?'), 'Default: `1048576`')
  t.equal(await answer('What is the default of trustProxy?'), 'Default: `false`')
})

t.test('a derived word and a short form match, but a form of the word itself comes first', async t => {
  const corpus = await loadCorpus(
    t.testdir({
      'a.md': 'The max number of redirections.',
      'b.md': 'A lease.',
      'c.md': 'It redirects once.',
    }),
  )
  const found = async (question: string) =>
    (await corpus.index.search(question, '', 9)).hits.map(({ passage }) => passage.url)
  t.same(await found('redirecting'), ['c.md', 'a.md'])
  t.same(await found('maximum redirections'), ['a.md'])
})

t.test('finds a Chinese period by the question for it', async t => {
  const corpus = await loadCorpus(
    t.testdir({
      '退款.md': '# 售后\n\n购买后七天内申请退款。\n\n发货后三天送达。',
      '会员.md': '# 会员\n\n会员每月付费一次。',
    }),
  )
  const { hits } = await corpus.index.search('退款期限是几天', '', 9)
  t.equal(hits[0]?.passage.text, '购买后七天内申请退款。')
})
