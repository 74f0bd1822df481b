import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { escaped, tableHtml } from '../../bench/guide/html.ts'
import { markdown } from '../../bench/guide/markdown.ts'
import { page } from '../../bench/guide/page.ts'
import { bars, curves, linear, logarithmic, percentiles } from '../../bench/guide/plots.ts'
import { readFindings, writeReport } from '../../bench/guide/write.ts'
import { scenarios } from '../../src/guide/index.ts'
import { judged, makeFound, withCell } from '../fixtures/findings.ts'

const findings = judged(makeFound())
const broken = judged(
  withCell(makeFound(), 'chat', 'SSE', cell => ({ ...cell, counts: { ...cell.counts, lost: 3 } })),
)

t.test('axes end at round numbers and hold every value', async t => {
  for (const largest of [0.7, 1, 3, 9.5, 10, 99, 1234]) {
    const scale = linear('x', largest)
    t.ok(scale.place(largest) <= 1.0001 && scale.place(largest) > 0.5, `${largest}`)
    t.ok(scale.ticks.length >= 2 && scale.ticks.length <= 6)
    t.equal(scale.place(0), 0)
  }
  const log = logarithmic('ms', 0.3, 45)
  t.same(
    log.ticks.map(([, text]) => text),
    ['0.1', '1', '10', '100'],
  )
  t.ok(Math.abs(log.place(1) - 1 / 3) < 1e-9)
  t.ok(Number.isFinite(log.place(0)), 'nothing is below the axis, not nowhere')
  const nines = percentiles('percentile', 99.9)
  t.equal(nines.place(99.9), 1)
  t.ok(Math.abs(nines.place(99) - nines.place(90) - (nines.place(99.9) - nines.place(99))) < 1e-9)
  t.same(
    nines.ticks.map(([value]) => value),
    [0, 50, 90, 99, 99.9],
  )
  t.ok(Number.isFinite(percentiles('percentile', 100).place(100)))
})

t.test('a curve goes through its points', async t => {
  const scale = linear('x', 10)
  const svg = curves('a', scale, scale, [
    {
      name: 'one',
      kind: 'sse',
      points: [
        [0, 0],
        [10, 10],
      ],
    },
  ])
  t.match(svg, /<path class="sse" d="M52 216L408 12"/)
  t.match(
    curves(
      'a',
      scale,
      scale,
      [{ name: 'one', kind: 'sse', points: [[0, 0] as const, [10, 10] as const] }],
      true,
    ),
    /d="M52 216H408V12"/,
  )
  t.match(svg, /role="img" aria-label="a"/)
})

t.test('bars are as long as their values', async t => {
  const svg = bars('cost', [
    { name: 'a', kind: 'sse', parts: [10, 10], text: '20' },
    { name: 'b', kind: 'websocket', parts: [5], text: '5' },
  ])
  const widths = [...svg.matchAll(/<rect[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width))
  t.same(widths, [210, 210, 105])
})

t.test('nothing that a name holds becomes markup', async t => {
  t.equal(escaped(`<a href="x">'&`), '&#60;a href=&#34;x&#34;&#62;&#39;&#38;')
  const bad = '<script>alert(1)</script>|x'
  const found = makeFound({ workloads: ['chat'] })
  const named = judged({
    ...found,
    environment: { ...found.environment, cpu: bad, [bad]: bad },
    variants: found.variants.map(variant => ({ ...variant, name: `${variant.name}${bad}` })),
    cells: found.cells.map(cell => ({ ...cell, variant: `${cell.variant}${bad}` })),
    memory: found.memory.map(one => ({ ...one, variant: `${one.variant}${bad}` })),
    leftOut: [{ workload: bad, variant: bad, why: bad, impossible: false }],
  })
  t.notMatch(page(named), /<script|alert\(1\)<\/s/)
  t.match(page(named), /&#60;script/)
  t.notMatch(markdown(named), /[^\\]<script/)
  const rows = markdown(named)
    .split('\n')
    .filter(line => line.startsWith('|') && line.includes('alert'))
  t.ok(rows.length > 5)
  t.ok(rows.every(row => !/[^\\]\|x/.test(row)))
})

t.test('a table in HTML has heads for columns and rows', async t => {
  const html = tableHtml({ title: 'T', columns: ['', 'ms'], rows: [['SSE', 1.234]] })
  t.match(html, /<caption>T<\/caption>/)
  t.match(html, /<th scope="col">ms<\/th>/)
  t.match(html, /<th scope="row">SSE<\/th><td class="number">1\.23<\/td>/)
  t.match(html, /tabindex="0"/)
})

t.test('the page stands alone: no script, no address but its own parts', async t => {
  const html = page(findings)
  t.notMatch(html, /<script/)
  const addresses = [...html.matchAll(/(?:href|src|url\()="?([^">)]+)/g)].map(([, address]) => address)
  t.same(
    addresses.filter(address => !address?.startsWith('#') && !address?.startsWith('data:')),
    [],
  )
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
  t.equal(new Set(ids).size, ids.length, 'ids stand once')
  for (const [, id] of html.matchAll(/href="#([^"]+)"/g)) t.ok(ids.includes(id), `#${id}`)
  t.notMatch(html, /NaN|undefined|Infinity|\[object/)
})

t.test('every scenario has its card with plots and a verdict', async t => {
  const html = page(findings)
  for (const [name, { title }] of Object.entries(scenarios)) {
    const card = html.split(`<article class="card" id="${name}">`)[1]?.split('</article>')[0] ?? ''
    t.match(card, `<h3>${title}</h3>`)
    t.match(card, /Use (SSE|WebSocket): /)
    t.ok([...card.matchAll(/<svg/g)].length >= 3, `${name}: plots`)
    t.equal(
      [...card.matchAll(/<svg/g)].length,
      [...card.matchAll(/The same as a table/g)].length,
      'each with its table',
    )
  }
  t.match(html, /Valid\.<\/strong> All \d+ checks hold/)
  t.notMatch(html, /class="verdict invalid"/)
})

t.test('an invalid run says so, and why', async t => {
  t.notOk(broken.valid)
  t.match(page(broken), /class="verdict invalid" role="alert"/)
  t.match(page(broken), /no event was lost: chat, SSE: 3, expected 0/)
  t.match(markdown(broken), /\*\*The run was invalid/)
  t.match(markdown(broken), /\| no event was lost \| FAILED \| chat, SSE: 3, expected 0 \|/)
})

t.test('the selection guide says for each scenario what to use and by which figures', async t => {
  const text = markdown(findings)
  for (const { title, teaching } of Object.values(scenarios)) {
    const part = text.split(`\n### ${title}\n`)[1]?.split('\n##')[0] ?? ''
    t.match(part, /Use (SSE|WebSocket): /, title)
    t.match(part, /The figures (speak for|decide nothing)/)
    t.match(part, /\| measure \| SSE \| WebSocket \| long-poll \| difference \|/)
    if (teaching) t.match(part, `Its reason: “${teaching.reason}”`)
  }
  t.match(text, /That WebSocket brings events sooner: does not hold\. game: publish → receive/)
  t.match(text, /That WebSocket takes moves sooner: holds\./)
  t.match(text, /\| WebSocket, TLS \|/)
  t.match(text, /\| socket\.io \|/)
  t.match(text, /does not work \| The upgrade did not get through: HTTP 426\./)
  t.notMatch(text, /NaN|undefined|Infinity|\[object/)
  const rows = text.split('\n').filter(line => line.startsWith('|'))
  const widths = text
    .split('\n\n')
    .filter(part => part.startsWith('|'))
    .map(table => new Set(table.split('\n').map(line => line.split(/(?<!\\)\|/).length)))
  t.ok(rows.length > 80)
  t.ok(
    widths.every(({ size }) => size === 1),
    'every row of a table is as wide as its head',
  )
})

t.test('one workload alone makes a report, too', async t => {
  const alone = judged(makeFound({ workloads: ['game'], quick: true }))
  t.match(markdown(alone), /It was not measured in this run\./)
  t.match(page(alone), /It was not measured in this run\./)
  t.match(page(alone), /It was a quick run/)
  t.notMatch(page(alone), /NaN|undefined|Infinity/)
})

t.test('a results file is written as a page beside it; a quick one changes nothing else', async t => {
  const file = `${t.testdir()}/results.json`
  const guide = new URL('../../src/guide/measured.ts', import.meta.url)
  const before = readFileSync(guide, 'utf8')
  const quick = judged(makeFound({ quick: true }))
  writeFileSync(file, JSON.stringify(quick))
  t.same(writeReport(file), [file.replace('.json', '.html')])
  t.equal(
    readFileSync(file.replace('.json', '.html'), 'utf8'),
    page(quick),
    'JSON keeps all that the page needs',
  )
  writeFileSync(file, JSON.stringify(broken))
  t.equal(writeReport(file).length, 1, 'nor an invalid one')
  writeFileSync(file, JSON.stringify(judged(makeFound({ workloads: ['chat'] }))))
  t.equal(writeReport(file).length, 1, 'nor one workload alone')
  t.equal(readFileSync(guide, 'utf8'), before)
})

t.test('a file that holds no findings is refused in words', async t => {
  const file = `${t.testdir({ 'other.json': '{"scenario":"fanout"}', 'broken.json': '{' })}/`
  t.throws(() => readFindings(`${file}other.json`), /expected results of the workloads in format 1/)
  t.throws(() => readFindings(`${file}broken.json`), /expected the results of a run as JSON/)
  t.throws(() => writeReport(`${file}none.json`), /none\.json/)
  t.notOk(existsSync(`${file}other.html`))
})
