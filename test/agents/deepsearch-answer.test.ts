import fc from 'fast-check'
import { marked } from 'marked'
import t, { type Test } from 'tap'
import {
  chooseQuotes,
  escapeMarkdown,
  type Quote,
  writeHeading,
  writeQuotes,
} from '../../src/agents/deepsearch/answer.ts'
import { loadCorpus } from '../../src/agents/deepsearch/corpus.ts'

/** Loads a corpus of one page. Returns a function that chooses quotes from it for a question. */
async function onePage(t: Test, ...lines: string[]) {
  const { index } = await loadCorpus(t.testdir({ 'page.md': lines.join('\n') }))
  return async (question: string, earlier: Quote[] = [], limit = 3) =>
    chooseQuotes(await index.search(question, '', 24), earlier, limit)
}

const emptyPassage = {
  id: '',
  number: 1,
  title: '',
  heading: '',
  url: 'u',
  kind: 'prose' as const,
  text: '',
  language: '',
  opensSection: false,
  lead: '',
}

const texts = (quotes: Quote[]) => quotes.map(({ text }) => text)
const filler =
  'Something else entirely stands in this sentence, so that there is no room for another one beside it.'

t.test('chooses the sentence with most of the question, and its neighbours', async t => {
  const ask = await onePage(
    t,
    '# Page',
    `${filler} ${filler} A lease ends when its producer dies. It is then renewed.`,
  )
  const [quote] = await ask('When does a lease end?')
  t.match(quote?.text, /A lease ends when its producer dies\. It is then renewed\.$/)
  t.ok((quote?.text.length ?? 0) <= 320)
})

t.test('prefers sentences that begin with the subject of the question, and prose to rows', async t => {
  const ask = await onePage(
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
  t.same(texts(await ask('What is a lease?', [], 1)), ['A lease is the right to write to a run.'])
})

t.test('quotes nothing that another quote says already', async t => {
  const ask = await onePage(
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

t.test('chooses at most as many quotes as the limit', async t => {
  const facts = ['red', 'green', 'blue', 'black', 'white'].map(
    color => `A lease may also be ${color}, said ${color}y.\n`,
  )
  const ask = await onePage(t, '# Page', ...facts)
  t.equal((await ask('lease', [], 2)).length, 2)
  t.equal((await ask('lease', [], 9)).length, 5)
})

t.test('shows the code, the list or the rows that a sentence introduces', async t => {
  const ask = await onePage(
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
  const kinds = async (question: string) => (await ask(question))[0]?.following.map(({ kind }) => kind)
  t.same(await kinds('lease'), ['code'])
  t.same(await kinds('token'), ['item', 'item'])
  t.same(await kinds('broken promise'), [])
})

t.test('shows the beginning of a section whose heading asks the same question', async t => {
  const ask = await onePage(
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
    quote?.following.map(({ text }) => text),
    ['Call renew.'],
  )
})

t.test('never quotes code', async t => {
  const ask = await onePage(t, '# Page', '```', 'const lease = 1', '```')
  t.same(await ask('lease'), [])
})

t.test('writes paragraphs, bullets and code with citations', async t => {
  const passage = emptyPassage
  const quote = (
    kind: 'prose' | 'item' | 'row',
    text: string,
    following: Quote['following'] = [],
  ): Quote => ({
    passage: { ...passage, kind, text: 'all of it' },
    text,
    following,
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
  t.equal(writeHeading(' What is\n <b>? '), '**What is \\<b>?**')
})

t.test('escapes text that Markdown would read as HTML or emphasis, but not code', async t => {
  t.equal(escapeMarkdown('<img> a < b *x* 2 * 3 `<b> *y*`'), '\\<img> a < b \\*x\\* 2 * 3 `<b> *y*`')
})

t.test(
  'no script, image or hidden link of a text is live in the answer, whatever stands around it',
  async t => {
    const texts = [
      '[x](javascript:alert(1))',
      '![](https://example.org/pixel.png)',
      '[x][1]',
      '[1]: javascript:alert(1)',
      '<javascript:alert(1)>',
      '<img src=x onerror=alert(1)>',
      '[![](https://example.org/p.png)](javascript:alert(1))',
    ]
    const around = fc.array(fc.constantFrom('`', '``', '\\', '[', ']', '!', '*', 'a', ' ', '<', '(', ')'), {
      maxLength: 6,
    })
    const property = fc.property(around, fc.constantFrom(...texts), around, (before, text, after) => {
      const whole = `${before.join('')}${text}${after.join('')}`
      const html = marked.parse(`${escapeMarkdown(whole)} [1]\n\n${writeHeading(whole)}`, { async: false })
      // GitHub's Markdown makes a link of any bare address, which shows where it leads.
      t.notMatch(html.replace(/<code>.*?<\/code>/gs, ''), /<img\b|href="(?!https?:)/, JSON.stringify(whole))
    })
    fc.assert(property, { numRuns: 2_000 })
  },
)

t.test('a code block stays one code block with any name of its language', async t => {
  const code = { ...emptyPassage, kind: 'code' as const, language: 'a`b', text: '[x](javascript:alert(1))' }
  const quote: Quote = { passage: { ...emptyPassage, text: 'Do:' }, text: 'Do:', following: [code] }
  t.equal(
    writeQuotes([quote], () => 1),
    'Do: [1]\n\n```\n[x](javascript:alert(1))\n```',
  )
})
