/** The benchmark's report in a real browser: one file, opened as such. */
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { page as report } from '../../bench/guide/page.ts'
import { judged, makeFound, withCell } from '../fixtures/findings.ts'
import { closeBrowser, open, skip } from './stage.ts'

const shots = process.env['SCREENSHOTS']

/** Opens a report, and fails on everything that the page complains of or asks for. */
async function show(t: Test, html: string, options: { width?: number; dark?: boolean } = {}): Promise<Page> {
  const file = `${t.testdir()}/report.html`
  writeFileSync(file, html)
  const page = await open(t, 'about:blank', options)
  page.on('console', message => t.fail(`the console says: ${message.text()}`))
  page.on('request', request => {
    if (!/^(file|data):/.test(request.url())) t.fail(`it asks for ${request.url()}`)
  })
  await page.goto(pathToFileURL(file).href)
  return page
}

const shoot = async (page: Page, name: string) => {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true })
}

const overhang = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)

t.test('the report', { skip }, async t => {
  t.teardown(closeBrowser)
  const html = report(judged(makeFound()))

  t.test('shows plots whose curves and bars have a size', async t => {
    const page = await show(t, html)
    const drawn = await page.locator('svg').evaluateAll(all =>
      all.map(svg => ({
        name: svg.getAttribute('aria-label'),
        paths: [...svg.querySelectorAll('path')].map(path => path.getTotalLength()),
        bars: [...svg.querySelectorAll('rect')].map(bar => bar.getBBox().width),
        width: svg.getBoundingClientRect().width,
      })),
    )
    t.ok(drawn.length > 30, `${drawn.length} plots`)
    for (const { name, paths, bars, width } of drawn) {
      t.ok(paths.length + bars.length > 0, `${name} is not empty`)
      t.ok(paths.every(length => length > 20) && bars.every(width => width > 0), `${name} has a size`)
      t.ok(width > 200, `${name} is wide enough to read`)
    }
    t.ok(drawn.some(({ name }) => name?.startsWith('Reconnect storm')))
    t.ok(drawn.some(({ name }) => name?.startsWith('Memory of our server')))
    t.ok((await overhang(page)) <= 0)
    await shoot(page, 'report-light')
  })

  t.test('on a phone, dark, nothing sticks out', async t => {
    const page = await show(t, html, { width: 375, dark: true })
    t.ok((await overhang(page)) <= 0)
    await page.locator('details').evaluateAll(all => {
      for (const one of all) (one as HTMLDetailsElement).open = true
    })
    t.ok((await overhang(page)) <= 0, 'with every table open')
    t.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(16, 19, 25)')
    const small = await page
      .locator('svg text')
      .evaluateAll(all => Math.min(...all.map(text => text.getBoundingClientRect().height)))
    t.ok(small > 8, `text in plots is ${small} px high`)
    await shoot(page, 'report-phone-dark')
  })

  t.test('by keyboard: to a scenario, through a table, into the figures of a plot', async t => {
    const page = await show(t, html, { width: 375 })
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    t.match(page.url(), /#chat$/)
    const summary = page.locator('#chat summary').first()
    await summary.focus()
    await page.keyboard.press('Enter')
    t.ok(await page.locator('#chat details').first().locator('table').isVisible())
    const table = page.locator('#chat .scroll').first()
    await table.focus()
    await page.keyboard.press('ArrowRight')
    await page.waitForFunction(() => (document.activeElement?.scrollLeft ?? 0) > 0)
    await shoot(page, 'report-phone-light')
  })

  t.test('an invalid run is told first, in red', async t => {
    const broken = withCell(makeFound(), 'chat', 'SSE', cell => ({
      ...cell,
      counts: { ...cell.counts, doubled: 1 },
    }))
    const page = await show(t, report(judged(broken)), { dark: true })
    const alert = page.getByRole('alert')
    t.match(await alert.textContent(), /Invalid.*no event was doubled: chat, SSE: 1, expected 0/s)
    const colour = await alert.locator('strong').evaluate(strong => getComputedStyle(strong).color)
    t.equal(colour, 'rgb(255, 143, 133)')
    await shoot(page, 'report-invalid-dark')
  })
})
