import { readFileSync } from 'node:fs'
import t from 'tap'
import { performancePage } from '../performance-page.ts'
import { figure, isReached, type KeptResult, keptResults } from '../report.ts'

t.test('the documentation’s page shows the newest committed result of each scenario', async t => {
  const page = readFileSync(new URL('../../docs/performance.md', import.meta.url), 'utf8')
  t.equal(page, performancePage(keptResults()), 'run `npm run bench -- report` on any of the files')
})

t.test('every result is on the page with all its figures, and a missed aim is called missed', async t => {
  const results = keptResults()
  const page = performancePage(results)
  t.ok(results.length >= 7, `${results.length} scenarios`)
  for (const { scenario, aims, tables } of results) {
    const [part = ''] = page.split(/^## /m).filter(part => part.includes(`npm run bench -- ${scenario}\``))
    for (const { rows } of tables) {
      for (const row of rows)
        for (const cell of row) if (typeof cell === 'number') t.ok(part.includes(figure(cell)), scenario)
    }
    for (const aim of aims) {
      const line = part.split('\n').find(line => line.startsWith(`| ${aim.what} |`))
      t.match(line, isReached(aim) ? /reached \|$/ : /missed \|$/, aim.what)
    }
  }
})

t.test('what a table cannot hold is escaped', async t => {
  const [result] = keptResults() as [KeptResult]
  const table = { title: '<a>', columns: ['', 'b|c'], rows: [['x|y', 1]] }
  const page = performancePage([{ ...result, tables: [table] }])
  for (const text of ['**&lt;a>**', '| b\\|c |', '| x\\|y | 1.00 |']) t.ok(page.includes(text), text)
})
