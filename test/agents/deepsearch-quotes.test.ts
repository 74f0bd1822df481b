import t, { type Test } from 'tap'
import { writeQuotes, writeTitle } from '../../src/agents/deepsearch/answer.ts'
import { loadCorpus } from '../../src/agents/deepsearch/corpus.ts'
import { chooseQuotes, type Quote } from '../../src/agents/deepsearch/quotes.ts'

/** Asks one page; gives the quotes and a function that asks on. */
async function page(t: Test, ...lines: string[]) {
  const { passages } = await loadCorpus(t.testdir({ 'page.md': lines.join('\n') }))
  return async (question: string, said: Quote[] = [], limit = 3) =>
    chooseQuotes(passages, await passages.search(question, '', 24), said, limit)
}

const texts = (quotes: Quote[]) => quotes.map(({ text }) => text)
const filler =
  'Something else entirely stands in this sentence, so that there is no room for another one beside it.'

t.test('chooses the sentence that holds most of the question, with its neighbours', async t => {
  const ask = await page(
    t,
    '# Page',
    `${filler} ${filler} A lease ends when its producer dies. It is then renewed.`,
  )
  const [quote] = await ask('When does a lease end?')
  t.match(quote?.text, /A lease ends when its producer dies\. It is then renewed\.$/)
  t.ok((quote?.text.length ?? 0) <= 320)
})

t.test('prefers a sentence that begins with what is asked, and prose to rows', async t => {
  const ask = await page(
    t,
    '# Page',
    'Nobody holds two of them at once, be it a lease or a lock.',
    '',
    'A lease is the right to write to a run.',
    '',
    '| a | b |',
    '|---|---|',
    '| other | also with a lease in it |',
  )
  t.equal(texts(await ask('What is a lease?'))[0], 'A lease is the right to write to a run.')
})

t.test('says nothing twice', async t => {
  const ask = await page(
    t,
    '# Page',
    'A lease is the right to write to a run.',
    '',
    '- A lease is the right to write to a run!',
    '- The lease of a dead producer ends after a minute.',
  )
  const quotes = await ask('lease')
  t.same(texts(quotes), [
    'A lease is the right to write to a run.',
    'The lease of a dead producer ends after a minute.',
  ])
  t.same(await ask('lease', quotes), [])
})

t.test('gives no more than it is asked for', async t => {
  const facts = ['red', 'green', 'blue', 'black', 'white'].map(
    color => `A lease may also be ${color}, said ${color}y.\n`,
  )
  const ask = await page(t, '# Page', ...facts)
  t.equal((await ask('lease', [], 2)).length, 2)
  t.equal((await ask('lease', [], 9)).length, 5)
})

t.test('shows the code, the list or the rows that a sentence introduces', async t => {
  const ask = await page(
    t,
    '# Page',
    'Renew a lease with one call:',
    '```js',
    'renew()',
    '```',
    'Then go on.',
    '## Other',
    'A token has two parts:',
    '- number',
    '- owner',
    '',
    'Nothing.',
    '## Last',
    'Broken promise:',
  )
  const kinds = async (question: string) => (await ask(question))[0]?.shown.map(({ kind }) => kind)
  t.same(await kinds('lease'), ['code'])
  t.same(await kinds('token'), ['item', 'item'])
  t.same(await kinds('broken promise'), [])
})

t.test('shows the begin of a section whose heading asks the same', async t => {
  const ask = await page(
    t,
    '# Page',
    'x',
    '## Renewing a lease',
    'Leases are short.',
    '',
    'Call renew.',
    '## Other',
    'y',
  )
  const [quote] = await ask('How do I renew a lease?')
  t.equal(quote?.text, 'Leases are short.')
  t.same(
    quote?.shown.map(({ text }) => text),
    ['Call renew.'],
  )
})

t.test('never quotes code', async t => {
  const ask = await page(t, '# Page', '```', 'const lease = 1', '```')
  t.same(await ask('lease'), [])
})

t.test('writes paragraphs, bullets and code with citations', async t => {
  const passage = {
    id: '',
    number: 1,
    title: '',
    heading: '',
    url: 'u',
    language: '',
    opens: false,
    lead: '',
  }
  const quote = (kind: 'prose' | 'item' | 'row', text: string, shown: Quote['shown'] = []): Quote => ({
    passage: { ...passage, kind, text: 'all of it' },
    text,
    shown,
  })
  const code = { ...passage, kind: 'code', language: 'ts', text: 'a ``` b' } as const
  const note = { ...passage, kind: 'prose', text: 'a note' } as const
  const quotes = [
    quote('prose', 'One *thing*:', [code, note]),
    quote('item', 'an item'),
    quote('row', 'a: row;'),
    quote('prose', '日志'),
    quote('prose', 'Done!)'),
  ]
  t.equal(
    writeQuotes(quotes, quote => quotes.indexOf(quote) + 1),
    [
      'One \\*thing\\*: [1]',
      '````ts\na ``` b\n````',
      'a note. [1]',
      '- an item. [2]\n- a: row; [3]',
      '日志。 [4]',
      'Done!) [5]',
    ].join('\n\n'),
  )
  t.equal(writeTitle(' What is\n <b>? '), '**What is \\<b>?**')
})
