import fc from 'fast-check'
import t from 'tap'
import { type Block, joinLines, rowText, textBlocks } from '../../src/agents/deepsearch/blocks.ts'
import { htmlBlocks } from '../../src/agents/deepsearch/html.ts'
import { markdownBlocks } from '../../src/agents/deepsearch/markdown.ts'
import { passages } from '../../src/agents/deepsearch/passages.ts'

/** Blocks in short: `prose: text`. */
function inShort(blocks: Iterable<Block>): string[] {
  return [...blocks].flatMap(block => (block.kind === 'pause' ? [] : [`${block.kind}: ${block.text}`]))
}

function markdown(...lines: string[]): string[] {
  return inShort(markdownBlocks(lines.join('\n')))
}

function html(source: string): string[] {
  return inShort(htmlBlocks(source))
}

t.test('Markdown', async t => {
  t.test('paragraphs, with their lines joined and their markup gone', async t => {
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
      'prose: a paragraph',
      'item: task',
    ])
  })

  t.test('no tables of contents, rules, comments, badges, definitions', async t => {
    const noise = [
      '- [Words](#words)',
      '---',
      '* * *',
      '<!-- a',
      'b -->',
      '[![b](c)](d)',
      ':::note',
      '[x]: http://x',
    ]
    t.same(markdown(...noise, '', 'text <br> <b>here</b>'), ['prose: text here'])
  })

  t.test('code, kept as it is', async t => {
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
    t.match([...markdownBlocks('```ts\nx\n```')], [{ kind: 'code', language: 'ts' }])
  })

  t.test('table rows that read without the table', async t => {
    const table = [
      '| word | meaning | not |',
      '|---|:-:|---|',
      '| `run` | one \\| more | job |',
      '| x | | |',
      'text',
    ]
    t.same(markdown(...table), ['row: `run` – meaning: one | more; not: job', 'row: x', 'prose: text'])
    t.same(markdown('a | b', '--|--', 'c | d'), ['row: c: d'])
  })
})

t.test('HTML', async t => {
  t.test('keeps what the page says and nothing else', async t => {
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

  t.test('reads tables and definitions as rows', async t => {
    t.same(
      html(
        '<table><tr><th>a</th><th>b</th><th>c</th></tr><tr><td>1</td><td><p>2</p></td><td>3</td></tr></table>',
      ),
      ['row: 1 – b: 2; c: 3'],
    )
    t.same(html('<dl><dt>a</dt><dd>b</dd><div><dt>c</dt><dd>d</dd></div></dl>'), ['row: a: b', 'row: c: d'])
  })

  t.test('makes the best of what is broken', async t => {
    t.same(html('<p>open <b>bold</b><p>next</i> `tick`'), ['prose: open bold', "prose: next 'tick'"])
  })
})

t.test('plain text is cut at blank lines', async t => {
  t.same(inShort(textBlocks('one\ntwo\r\n  \r\nthree\n\n\n')), ['prose: one two', 'prose: three'])
})

t.test('joined lines have a space between words, none between Chinese', async t => {
  t.equal(joinLines([' a', '', 'b ', '会，', '话', 'c']), 'a b 会，话 c')
})

t.test('a row without values or header still reads', async t => {
  t.equal(rowText([], ['a', 'b']), 'a: b')
  t.equal(rowText(['x', 'y', 'z'], ['', 'b', 'c']), 'y: b; z: c')
  t.equal(rowText([], []), '')
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
      for (const blocks of [markdownBlocks(source), htmlBlocks(source), textBlocks(source)]) {
        for (const passage of passages('a b/c.md', blocks)) t.not(passage?.text, '')
      }
    }),
    { numRuns: 300 },
  )
})

t.test('passages', async t => {
  const read = (file: string, ...lines: string[]) =>
    [...passages(file, markdownBlocks(lines.join('\n')))].filter(passage => passage !== undefined)

  t.test('know where they stand', async t => {
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
      all.map(({ title, url, text, opens, lead }) => [title, url, text, opens, lead]),
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

  t.test('have ids that are unique and stay the same', async t => {
    const ids = () => read('a.md', '# A', 'x', '', 'x', '## A', 'x').map(({ id }) => id)
    t.same(ids(), ['a.md#a:1', 'a.md#a:2', 'a.md#a-1:3'])
    t.same(ids(), ids())
  })

  t.test('are bounded: a long block becomes several', async t => {
    const all = read('a.md', 'word '.repeat(1000))
    t.equal(all.length, 3)
    t.ok(all.every(({ text }) => text.length <= 2000))
  })
})
