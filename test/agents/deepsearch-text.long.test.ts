import fc from 'fast-check'
import t from 'tap'
import { roots, stem } from '../../src/agents/deepsearch/stem.ts'
import {
  deltas,
  joinLines,
  sentences,
  slices,
  spacedWords,
  terms,
  tokens,
} from '../../src/agents/deepsearch/text.ts'
import { WordTable } from '../../src/agents/deepsearch/word-table.ts'

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

  t.test('hold the parts of a name', async t => {
    t.same(terms('run.started query_decomposition long-poll'), [
      'run',
      'start',
      'querydecomposition',
      'queri',
      'decomposition',
      'long',
      'pol',
    ])
  })

  t.test('the terms of a compound name are the whole and its parts, in every spelling', async t => {
    for (const name of ['bodyLimit', 'BodyLimit', 'BODY_LIMIT', 'body_limit']) {
      t.same(terms(name), ['bodylimit', 'bodi', 'limit'], name)
    }
    t.same(terms('HTTPServer URLs __proto__ 127.0.0.1'), [
      'httpserver',
      'http',
      'server',
      'url',
      'proto',
      '127.0.0.1',
    ])
  })

  t.test('are the same for a Chinese number of a unit and the question for it', async t => {
    for (const text of ['几天', '七天', '七天内', '30天', '30 天内', '7日'])
      t.ok(terms(text).includes('#天'), text)
    t.notOk(terms('今天').includes('#天'))
  })

  t.test('hold Chinese words, and pairs of characters for words that the dictionary lacks', async t => {
    t.same(terms('取消运行'), ['取消', '运行'])
    const lines = [terms('长轮询'), terms('使用轮询时')]
    t.ok(
      lines.every(line => line.includes('轮询')),
      'in any context',
    )
    t.same(terms('什么时候'), [])
  })

  t.test('hold Japanese and Thai words', async t => {
    t.same(terms('イベントとは何ですか'), ['イベント'])
    t.ok(terms('วิธียกเลิกการทำงาน').includes('ยกเลิก'))
  })
})

t.test('the quick way to the words of a text gives the same words, and is taken for most texts', async t => {
  const units = [
    'a',
    'B',
    '7',
    '_',
    ' ',
    '.',
    ',',
    '’',
    "'",
    '—',
    'é',
    'е́',
    'Я',
    'ß',
    '😀',
    '✓',
    '️',
    '会',
    'か',
    'ﾊ',
    'ก',
    'ກ',
    'ក',
    'က',
    '𠮷',
  ]
  const textOf = (units: string[]) => fc.string({ unit: fc.constantFrom(...units), maxLength: 40 })
  // Texts in ASCII have a quick way of their own.
  const ascii = textOf(units.filter(unit => unit < '\x80'))
  const table = new WordTable(word => word)
  const isSame = (words: readonly string[] | undefined, text: string) =>
    !words || words.join('|') === [...tokens(text)].map(({ word }) => word).join('|')
  fc.assert(
    fc.property(
      fc.oneof(textOf(units), ascii, fc.string({ unit: 'binary', maxLength: 40 })),
      text => isSame(spacedWords(text), text) && isSame(table.valuesIn(text), text),
    ),
    { numRuns: 20_000 },
  )
  t.same(spacedWords('It’s “done” — 1.5 s ✓ 😀 для'), ['It’s', 'done', '1.5', 's', 'для'])
  t.equal(spacedWords('使用 SSE'), undefined)
  t.same(table.valuesIn('It’s “done” — 1.5 s ✓ для'), ['It’s', 'done', '1.5', 's', 'для'])
  t.equal(table.valuesIn('使用 SSE'), undefined)
})

t.test('a table of words makes each value once, and forgets all when it is full', async t => {
  let made = 0
  const table = new WordTable(word => {
    made++
    return word
  })
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`)
  for (const round of [1, 2])
    t.same(table.valuesIn(numbers(50_000).join(' ')), numbers(50_000), `round ${round}`)
  t.equal(made, 50_000)
  for (const round of [1, 2])
    t.same(table.valuesIn(numbers(100_000).join(' ')), numbers(100_000), `round ${round}`)
  const long = 'x'.repeat(5_000)
  t.same(table.valuesIn(`${long} ${long}y ${long}`), [long, `${long}y`, long], 'long words')
})

t.test('the forms of a word have one stem, different words have different ones', async t => {
  const families = [
    ['cancel', 'cancels', 'cancelled', 'cancelling', 'canceled'],
    ['use', 'uses', 'used', 'using'],
    ['query', 'queries'],
    ['process', 'processes', 'processing'],
    ['run', 'runs', 'running'],
    ['reply', 'replied', 'replies'],
    ['fall', 'falls', 'falling'],
    ['box', 'boxes'],
    ['request', 'requests', 'requested', 'requesting'],
    ['send', 'sends', 'sent', 'sending'],
    ['lose', 'loses', 'lost', 'losing'],
    ['write', 'wrote', 'written', 'writing'],
    ['index', 'indices', 'indexes', 'indexed'],
  ]
  for (const family of families) t.equal(new Set(family.map(stem)).size, 1, family.join())
  const apart = ['string', 'speed', 'need', 'status', 'bring', 'sse', 'bus', 'thing', 'red']
  t.equal(new Set(apart.map(stem)).size, apart.length)
  t.equal(stem('Größe'), 'Größe')
})

t.test('a derived word has a root in common with the word that it comes from', async t => {
  for (const [word, derived] of [
    ['redirect', 'redirections'],
    ['rotate', 'rotation'],
    ['validate', 'validation'],
    ['configure', 'configuration'],
    ['log', 'logger'],
    ['deploy', 'deployment'],
    ['encrypt', 'encryption'],
  ] as const) {
    t.ok(roots(stem(derived)).includes(stem(word)), `${derived} ${roots(stem(derived))}`)
  }
  t.same(roots('order'), ['order'])
})

t.test('sentences', async t => {
  t.test('end neither at abbreviations nor in brackets or code', async t => {
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

t.test('deltas', async t => {
  t.test('are about a word each', async t => {
    t.same([...deltas('Use **SSE**, it is fine. [1]')], ['Use ', '**SSE**, ', 'it ', 'is ', 'fine. ', '[1]'])
    t.same([...deltas('服务器继续。')], ['服务', '器', '继续。'])
  })

  t.test('give the text again when joined, and none is empty', async t => {
    fc.assert(
      fc.property(anyText, text => {
        const all = [...deltas(text)]
        t.equal(all.join(''), text)
        t.notOk(all.includes(''))
      }),
      { numRuns: 100 },
    )
  })

  t.test('of a long text are made in linear time', async t => {
    const text = 'Every event has an offset. '.repeat(20_000)
    t.equal([...deltas(text)].join('').length, text.length)
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

t.test('joined lines have a space between words, none between Chinese characters', async t => {
  t.equal(joinLines([' a', '', 'b ', '会，', '话', 'c']), 'a b 会，话 c')
})
