import { readFileSync } from 'node:fs'
import { JSDOM } from 'jsdom'
import t from 'tap'
import { fanoutPicture } from '../fanout-picture.ts'
import { figure, keptResults, type Result } from '../report.ts'

const inRepository = (path: string) => new URL(`../../${path}`, import.meta.url)

/** The newest committed result. */
function committed(): Result {
  const result = keptResults().find(({ scenario }) => scenario === 'fanout')
  if (!result) throw new Error('no result is kept')
  return result
}

t.test('the documentation’s picture shows the newest committed result', async t => {
  t.equal(readFileSync(inRepository('docs/images/fanout.svg'), 'utf8'), fanoutPicture(committed()))
})

t.test('each bar has its name and figure and a matching length, the cheapest first', async t => {
  const result = committed()
  const { document } = new JSDOM(fanoutPicture(result), { contentType: 'image/svg+xml' }).window
  const texts = [...document.querySelectorAll('text')].map(({ textContent }) => textContent)
  const widths = [...document.querySelectorAll('rect')].map(rect => Number(rect.getAttribute('width')))
  const panels = result.tables.filter(({ title }) => title.startsWith('Fan-out'))
  t.equal(panels.length, 2)
  for (const [i, { rows }] of panels.entries()) {
    const drawn = widths.slice(i * rows.length, (i + 1) * rows.length)
    t.same(
      drawn,
      [...drawn].sort((a, b) => a - b),
    )
    const costs = rows.map(([, us]) => Number(us)).sort((a, b) => a - b)
    const perMicrosecond = (drawn.at(-1) as number) / (costs.at(-1) as number)
    for (const [row, us] of costs.entries())
      t.ok(Math.abs((drawn[row] as number) - us * perMicrosecond) < 0.2, `${us} µs`)
    for (const [name, us] of rows)
      t.ok(
        texts.some((text, at) => text === name && texts[at + 1] === figure(Number(us))),
        `${name}: ${us}`,
      )
  }
})

t.test('names are escaped', async t => {
  const result = {
    ...committed(),
    tables: [{ title: 'Fan-out, 1 per turn', columns: [], rows: [['<a&b>', 1]] }],
  }
  const { document } = new JSDOM(fanoutPicture(result), { contentType: 'image/svg+xml' }).window
  t.ok([...document.querySelectorAll('text')].some(({ textContent }) => textContent === '<a&b>'))
})
