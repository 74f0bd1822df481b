import fc from 'fast-check'
import t from 'tap'
import { escapeMarkdown, plainText } from '../../src/agents/deepsearch/inline.ts'
import { stem } from '../../src/agents/deepsearch/stem.ts'
import { pieces, sentences, slices, terms } from '../../src/agents/deepsearch/tokens.ts'

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 3000 }),
  fc.string({
    unit: fc.constantFrom('a', ' ', '.', '`', '(', ')', '*', '[', ']', '\\', '\n', '会', '。', '😀'),
    maxLength: 3000,
  }),
)

t.test('terms', async t => {
  t.test('are words without case, accents, endings and stop words', async t => {
    t.same(terms('The Clients’ flights to Zürich were cancelled!'), ['client', 'flight', 'zurich', 'cancel'])
    t.same(terms('ＨＴＴＰ'), terms('http'))
  })

  t.test('hold names in their parts', async t => {
    t.same(terms('run.started query_decomposition long-poll'), [
      'run',
      'start',
      'queri',
      'decomposition',
      'long',
      'pol',
    ])
  })

  t.test('hold Chinese words, and new ones as pairs of characters', async t => {
    t.same(terms('取消运行'), ['取消', '运行'])
    const lines = [terms('长轮询'), terms('使用轮询时')]
    t.ok(
      lines.every(line => line.includes('轮询')),
      'whatever stands around them',
    )
    t.same(terms('什么时候'), [])
  })

  t.test('hold Japanese and Thai words', async t => {
    t.same(terms('イベントとは何ですか'), ['イベント'])
    t.ok(terms('วิธียกเลิกการทำงาน').includes('ยกเลิก'))
  })
})

t.test('stem gives the forms of a word one root', async t => {
  const families = [
    ['cancel', 'cancels', 'cancelled', 'cancelling', 'canceled'],
    ['use', 'uses', 'used', 'using'],
    ['query', 'queries'],
    ['process', 'processes', 'processing'],
    ['run', 'runs', 'running'],
    ['reply', 'replied', 'replies'],
    ['fall', 'falls', 'falling'],
    ['box', 'boxes'],
  ]
  for (const family of families) t.equal(new Set(family.map(stem)).size, 1, family.join())
  const apart = ['string', 'speed', 'need', 'status', 'bring', 'sse', 'bus', 'thing', 'red']
  t.equal(new Set(apart.map(stem)).size, apart.length)
  t.equal(stem('Größe'), 'Größe')
})

t.test('sentences', async t => {
  t.test('end where a reader would say so', async t => {
    t.same(sentences('It is small, e.g. Chrome has it. Call `a. B` (see sec. 4. And 5). Done!'), [
      'It is small, e.g. Chrome has it.',
      'Call `a. B` (see sec. 4. And 5).',
      'Done!',
    ])
    t.same(sentences('会话是日志。它很长！'), ['会话是日志。', '它很长！'])
  })

  t.test('lose nothing but white space', async t => {
    const bare = (text: string) => text.replace(/\s/g, '')
    fc.assert(
      fc.property(anyText, text => t.equal(bare(sentences(text).join('')), bare(text))),
      { numRuns: 100 },
    )
  })
})

t.test('pieces', async t => {
  t.test('are about a word each', async t => {
    t.same([...pieces('Use **SSE**, it is fine. [1]')], ['Use ', '**SSE**, ', 'it ', 'is ', 'fine. ', '[1]'])
    t.same([...pieces('服务器继续。')], ['服务', '器', '继续。'])
  })

  t.test('are exactly the text together, none empty', async t => {
    fc.assert(
      fc.property(anyText, text => {
        const all = [...pieces(text)]
        t.equal(all.join(''), text)
        t.notOk(all.includes(''))
      }),
      { numRuns: 100 },
    )
  })

  t.test('take time in proportion to the text', async t => {
    const text = 'Every event has an offset. '.repeat(20_000)
    t.equal([...pieces(text)].join('').length, text.length)
  })
})

t.test('slices are bounded, lose nothing and keep characters whole', async t => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 500 }),
      fc.integer({ min: 2, max: 50 }),
      (text, size) => {
        const all = [...slices(text, size)]
        t.equal(all.join(''), text)
        t.ok(all.every(slice => slice.length <= size && !/\p{Surrogate}/u.test(slice)))
      },
    ),
  )
})

t.test('plain text', async t => {
  const texts: Record<string, string> = {
    'a **bold** and *slanted* _word_, __too__, ~~gone~~': 'a bold and slanted word, too, gone',
    '**`lmdb`** (package [`lmdb`](https://x.org)) [see][1]': '`lmdb` (package `lmdb`) see',
    'snake_case_name 2 * 3 * 4 `*kept*`': 'snake_case_name 2 * 3 * 4 `*kept*`',
    '![logo](a.svg) <b>x</b><br> <https://x.org> &amp; &lt; &unknown;': 'x https://x.org & < &unknown;',
    'escaped \\*star\\* and a note[^1] [link [in] it](u)': 'escaped *star* and a note [link [in] it](u)',
    '``a ` b``': '``a ` b``',
  }
  for (const [markdown, expected] of Object.entries(texts)) t.equal(plainText(markdown), expected, markdown)
  fc.assert(
    fc.property(anyText, text => t.type(plainText(text), 'string')),
    { numRuns: 100 },
  )
})

t.test('escaped Markdown shows plain text as it is, code untouched', async t => {
  t.equal(escapeMarkdown('<img> a < b *x* 2 * 3 `<b> *y*`'), '\\<img> a < b \\*x\\* 2 * 3 `<b> *y*`')
})
