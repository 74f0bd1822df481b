import fc from 'fast-check'
import { Lexer, type Token } from 'marked'
import t from 'tap'
import type { Block } from '../../src/agents/deepsearch/block.ts'
import { documentBlocks } from '../../src/agents/deepsearch/document.ts'
import { inlineTokens } from '../../src/agents/deepsearch/inline.ts'

/** Blocks in short: `prose: text`. */
function inShort(blocks: Iterable<Block>): string[] {
  return [...blocks].flatMap(block => (block.kind === 'pause' ? [] : [`${block.kind}: ${block.text}`]))
}

function markdown(...lines: string[]): string[] {
  return inShort(documentBlocks('a.md', lines.join('\n')))
}

function html(source: string): string[] {
  return inShort(documentBlocks('a.html', source))
}

t.test('Markdown', async t => {
  t.test('paragraphs have their lines joined and their markup removed', async t => {
    t.same(markdown('One **bold**', 'line.', '', '> A [quoted](x.md)', '> one.'), [
      'prose: One bold line.',
      'prose: A quoted one.',
    ])
    t.same(markdown('所有事件都写进日志，', '断线后不会丢失。'), [
      'prose: 所有事件都写进日志，断线后不会丢失。',
    ])
    t.same(markdown('One\r', '\r', 'two\r'), ['prose: One', 'prose: two'])
  })

  t.test('headings of both kinds', async t => {
    t.same(markdown('# A `b` #', 'text', '## C', 'Under', '=====', 'Line', '---'), [
      'heading: A `b`',
      'prose: text',
      'heading: C',
      'heading: Under',
      'heading: Line',
    ])
    t.same(markdown('#hashtag'), ['prose: #hashtag'])
  })

  t.test('front matter gives the title, if it ends', async t => {
    t.same(markdown('---', 'title: "My page"', 'date: 1', '---', 'text'), ['title: My page', 'prose: text'])
    t.same(markdown('---', '', '# A', 'text'), ['heading: A', 'prose: text'])
  })

  t.test('list items, nested, numbered and over several lines', async t => {
    t.same(markdown('- one', '  more', '  * two', '1. three', '', '   a paragraph', '- [x] task'), [
      'item: one more',
      'item: two',
      'item: three',
      'item: a paragraph',
      'item: task',
    ])
  })

  t.test('tables of contents, rules, comments, badges and link definitions are left out', async t => {
    const noise = [
      '- [Words](#words)',
      '---',
      '* * *',
      '<!-- a',
      'b -->',
      '[![b](c)](d)',
      ':::note',
      '',
      '[x]: http://x',
    ]
    t.same(markdown(...noise, '', 'text <br> <b>here</b>'), ['prose: text here'])
  })

  t.test('code stays as it is', async t => {
    t.same(
      markdown(
        '```ts x',
        '# no **heading**',
        '',
        '- none',
        '```',
        'text',
        '',
        '    indented',
        '',
        '~~~',
        'open',
      ),
      ['code: # no **heading**\n\n- none', 'prose: text', 'code: indented', 'code: open'],
    )
    const blocks = [...documentBlocks('a.md', '```ts\nx\n```')]
    t.match(
      blocks.filter(({ kind }) => kind === 'code'),
      [{ text: 'x', language: 'ts' }],
    )
  })

  t.test('table rows can be read without the table', async t => {
    const table = [
      '| word | meaning | not |',
      '|---|:-:|---|',
      '| `run` | one \\| more | job |',
      '| x | | |',
      '',
      'text',
    ]
    t.same(markdown(...table), ['row: `run` – meaning: one | more; not: job', 'row: x', 'prose: text'])
    t.same(markdown('a | b', '--|--', 'c | d'), ['row: c: d'])
    t.same(markdown('| x | y | z |', '|---|---|---|', '| | b | c |'), ['row: y: b; z: c'])
  })

  t.test('inline markup is removed, code spans stay', async t => {
    const texts: Record<string, string> = {
      'a **bold** and *slanted* _word_, __too__, ~~gone~~': 'a bold and slanted word, too, gone',
      '**`lmdb`** (package [`lmdb`](https://x.org)) [see][1]\n\n[1]: x': '`lmdb` (package `lmdb`) see',
      'snake_case_name 2 * 3 * 4 `*kept*`': 'snake_case_name 2 * 3 * 4 `*kept*`',
      '![logo](a.svg) <b>x</b><br> <https://x.org> &amp; &lt; &unknown;': 'x https://x.org & < &unknown;',
      'escaped \\*star\\* and a note[^1] [link [in] it](u)': 'escaped *star* and a note link [in] it',
      '``a ` b``': '``a ` b``',
    }
    for (const [source, text] of Object.entries(texts)) t.same(markdown(source), [`prose: ${text}`], source)
  })
})

t.test('HTML', async t => {
  t.test('gives the text of a page without navigation, scripts and styles', async t => {
    const page = `<html><head><title>T</title><style>x</style></head><body><nav>n</nav>
      <h1 id="top">A <code>b</code><a href="#top">¶</a></h1>loose <p>One<!-- c --> <em>bold</em><br>line &amp; &lt;b&gt;.</p>
      <ul><li>one</li><li><p>two</p></li><li><a href="x">menu</a></li></ul><pre>\n a\n  b\n</pre>
      <script>s</script><footer>f</footer></body></html>`
    t.same(html(page), [
      'title: T',
      'heading: A `b`',
      'prose: loose',
      'prose: One bold line & <b>.',
      'item: one',
      'item: two',
      'code:  a\n  b',
    ])
  })

  t.test('gives table rows and definitions as rows', async t => {
    t.same(
      html(
        '<table><tr><th>a</th><th>b</th><th>c</th></tr><tr><td>1</td><td><p>2</p></td><td>3</td></tr></table>',
      ),
      ['row: 1 – b: 2; c: 3'],
    )
    t.same(html('<dl><dt>a</dt><dd>b</dd><div><dt>c</dt><dd>d</dd></div></dl>'), ['row: a: b', 'row: c: d'])
  })

  t.test('repairs malformed markup', async t => {
    t.same(html('<p>open <b>bold</b><p>next</i> `tick`'), ['prose: open bold', "prose: next 'tick'"])
  })
})

t.test('plain text is split at blank lines', async t => {
  t.same(inShort(documentBlocks('a.txt', 'one\ntwo\r\n  \r\nthree\n\n\n')), [
    'prose: one two',
    'prose: three',
  ])
})

t.test('any text can be read in any format', async t => {
  const marks = fc.constantFrom(
    '#',
    '-',
    '|',
    '`',
    '```',
    '\n',
    '    ',
    '---',
    '<p>',
    '</p>',
    '<td>',
    '[',
    '](',
    '*',
    '>',
    'a',
  )
  const sources = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 500 }),
    fc.array(marks, { maxLength: 80 }).map(marks => marks.join('')),
  )
  fc.assert(
    fc.property(sources, source => {
      for (const file of ['a.md', 'a.html', 'a.txt']) {
        for (const block of documentBlocks(file, source)) t.type(block.kind, 'string')
      }
    }),
    { numRuns: 300 },
  )
})

/** The text that inline tokens stand for, with the kind of each element. */
function inlineText(tokens: readonly Token[]): string {
  const texts = tokens.map(token => {
    if (token.type === 'text' || token.type === 'html') return token.raw
    // Beside other words, a link that is its own text is read as text.
    if (token.type === 'link' && token['autolink']) return token['text']
    if (token.type === 'escape') return token['text']
    if (token.type === 'image') return '<image>'
    if (token.type === 'codespan') return `<code>${token['text'].trim()}</code>`
    return `<${token.type}>${inlineText((token as { tokens?: Token[] }).tokens ?? [])}</${token.type}>`
  })
  return texts.join('')
}

t.test('text with frequent markup gives the same inline tokens without the rules of marked', async t => {
  const definitions = { l: { href: 'a', title: null } }
  const pieces = fc.constantFrom(
    ...[
      'a',
      'B c',
      ' ',
      '\n',
      '.',
      '!',
      '_',
      'a_b',
      '`',
      '`x`',
      '`a b`',
      '``',
      '*',
      '**',
      '**bold**',
      '**a b**',
      '**a:**',
      '*a*',
      '_a_',
      '__b c__',
      '*`',
      '`*',
      '_(',
      '._',
    ],
    ...[
      '[',
      ']',
      '(',
      ')',
      '[a](b)',
      '[a b](c.md#d)',
      '[`a`](b)',
      '![i](j)',
      '[![i](j)](k)',
      '![',
      '](b)',
      '](b "t")',
      '[l]',
      '[a b][l]',
      '[a][m]',
      '[a]',
      '<a href="b">',
      '</a>',
      '<code>',
      '</code>',
      '</b>',
      '<br/>',
      '< ',
      '<https://a.b>',
      '<b>',
      '&amp;',
      '&',
      '@',
      'a@b.co',
      '~',
      '\\',
      '\\*',
      '\\[',
      '\\a',
    ],
    ...['https://a.b', 'www.a.b', '  \n', '中', '**中**', '"', "'", '5', ':'],
  )
  let taken = 0
  fc.assert(
    fc.property(fc.array(pieces, { minLength: 1, maxLength: 7 }), list => {
      const source = list.join('')
      const lexer = new Lexer()
      lexer.tokens.links = definitions
      const tokens = inlineTokens(source, definitions)
      if (!tokens) return
      taken++
      const expected = inlineText(lexer.inlineTokens(source))
      if (inlineText(tokens) !== expected)
        throw new Error(`${JSON.stringify(source)}: ${inlineText(tokens)}, not ${expected}`)
    }),
    { numRuns: 20_000 },
  )
  t.ok(taken > 1_000, `${taken} of 20,000 texts have frequent markup only`)
  for (const source of [
    'Plain text.',
    'See `a_b` in [the guide](guide.md) **now**',
    'snake_case, 3 & 4',
    'see https://a.b',
    '**Note:** [`a`](b)',
    '*a* and _b c_, not a < b!',
    '![a](b) [![a](b)](c)',
    '<b>a</b> <code>b</code>',
    '`a` https://a.b (c)',
    '[a] [l] [a b][l] [a](b "c")',
    'a\\*',
    '@a/b@1.0.0',
    'a* or * and ~b\\c',
    "<b c d='e' f=g>a</b>",
  ])
    t.ok(inlineTokens(source, definitions), source)
  for (const source of ['a [b[0]] `c`', '[a][m]', 'a@b.co', 'https://a.b/c']) {
    t.ok(inlineTokens(source, {}), source)
  }
  for (const source of [
    'a [b[0]] `c`',
    '[a][m]',
    '*\\*',
    '*a _**',
    '~a ~',
    '<=a@b.co>',
    'see https://a.b?c&d',
    '`a` https://a.b?c&d',
    'https://a.b`c` d',
    '<code>a',
    '<code>https://a.b</code>',
    '``a``',
    '2*3',
    '[a [b](c)](d)',
    '***a***',
    '[l][l](*a*)',
    'a  \n`b`',
  ])
    t.equal(inlineTokens(source, definitions), undefined, source)
})
