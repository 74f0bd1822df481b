import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { networksOf } from '../guide/figures.ts'
import { markdown } from '../guide/markdown.ts'
import { summaryTables } from '../guide/tables.ts'
import { validityLine } from '../guide/validity.ts'
import { readFindings, writeReport } from '../guide/write.ts'
import { scenarios } from '../package/guide.ts'
import type { KeptResult } from '../report.ts'
import { figureOf, judged, makeFound, withCell } from './fixtures/findings.ts'

const findings = judged(makeFound())
const broken = judged(
  withCell(makeFound(), 'chat', 'SSE', cell => ({ ...cell, counts: { ...cell.counts, lost: 3 } })),
)

/** Figures of an imitated network, for these tests only. */
const networks = networksOf([
  {
    scenario: 'networks',
    environment: { ...findings.environment, date: '2026-01-03T00:00:00Z' },
    figures: {
      cold: {
        unit: 'ms',
        sse: { median: 183, low: 182, high: 184 },
        websocket: { median: 244, low: 243, high: 245 },
      },
    },
  } as unknown as KeptResult,
])

t.test('markup in names is escaped', async t => {
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
  t.notMatch(markdown(named, networks), /[^\\]<script/)
  const rows = markdown(named, networks)
    .split('\n')
    .filter(line => line.startsWith('|') && line.includes('alert'))
  t.ok(rows.length > 5)
  t.ok(rows.every(row => !/[^\\]\|x/.test(row)))
})

t.test('an invalid run is reported with the reason; one on a slow machine as such', async t => {
  t.notOk(broken.valid)
  t.match(markdown(broken, networks), /\*\*The run is invalid: failed checks: no event was lost/)
  t.match(markdown(broken, networks), /\| no event was lost \| FAILED \| chat, SSE: 3, expected 0 \|/)
  t.equal(validityLine(findings.checks), 'valid')
  t.match(validityLine(broken.checks), 'invalid: failed checks: no event was lost')
  const late = (found: ReturnType<typeof makeFound>) =>
    withCell(found, 'chat', 'SSE', cell => ({
      ...cell,
      generator: { ...cell.generator, lateP99Ms: figureOf([30, 30, 30, 30, 30]) },
    }))
  t.match(validityLine(judged(late(makeFound())).checks), /^invalid: machine too slow \(the load was in time/)
  const lost = withCell(late(makeFound()), 'chat', 'SSE', cell => ({
    ...cell,
    counts: { ...cell.counts, lost: 1 },
  }))
  t.match(
    validityLine(judged(lost).checks),
    /^invalid: failed checks: no event was lost$/,
    'loss is never the machine',
  )
})

t.test('the summary for a terminal has every cell and measurement', async t => {
  const tables = summaryTables(findings)
  const rows = tables.flatMap(({ rows }) => rows)
  for (const { variant } of findings.cells)
    t.ok(
      rows.some(([name]) => name === variant),
      variant,
    )
  for (const title of ['Slow readers', 'Reconnect storm', 'Memory per idle connection'])
    t.ok(
      tables.some(table => table.title === title),
      title,
    )
})

t.test(
  'the selection guide has a recommendation, its figures and the tutorial’s reason for each scenario',
  async t => {
    const text = markdown(findings, networks)
    for (const { title, teaching } of Object.values(scenarios)) {
      const part = text.split(`\n### ${title}\n`)[1]?.split('\n##')[0] ?? ''
      t.match(part, /Use (SSE|WebSocket): /, title)
      t.match(part, /The figures (favour|decide nothing)/)
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
  },
)

t.test('a run of one workload has a report, too', async t => {
  const alone = judged(makeFound({ workloads: ['game'], quick: true }))
  t.match(markdown(alone, networks), /It was not measured in this run\./)
  t.match(markdown(alone, networks), /It was a quick run/)
  t.notMatch(markdown(alone, networks), /NaN|undefined|Infinity/)
})

t.test(
  'the report of a quick, invalid or partial run is written beside its results and changes no committed file',
  async t => {
    const file = `${t.testdir()}/results.json`
    const guide = new URL('../../src/guide/measured.ts', import.meta.url)
    const before = readFileSync(guide, 'utf8')
    const quick = judged(makeFound({ quick: true }))
    writeFileSync(file, JSON.stringify(quick))
    t.same(writeReport(file, networks), [file.replace('.json', '.md')])
    t.equal(
      readFileSync(file.replace('.json', '.md'), 'utf8'),
      markdown(quick, networks),
      'JSON keeps all that the report needs',
    )
    writeFileSync(file, JSON.stringify(broken))
    t.same(writeReport(file, networks), [file.replace('.json', '.md')], 'invalid')
    writeFileSync(file, JSON.stringify(judged(makeFound({ workloads: ['chat'] }))))
    t.same(writeReport(file, networks), [file.replace('.json', '.md')], 'one workload')
    t.equal(readFileSync(guide, 'utf8'), before)
  },
)

t.test('a file without findings is refused with what was expected', async t => {
  const file = `${t.testdir({ 'other.json': '{"scenario":"fanout"}', 'broken.json': '{' })}/`
  t.throws(() => readFindings(`${file}other.json`), /expected results of the workloads in format 2/)
  t.throws(() => readFindings(`${file}broken.json`), /expected the results of a run as JSON/)
  t.throws(() => writeReport(`${file}none.json`, networks), /none\.json/)
  t.notOk(existsSync(`${file}other.md`))
})
