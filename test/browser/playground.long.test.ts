/** The page in a real browser: what an application's user does. */
import t from 'tap'
import { answerOn, ask, buildPage, closeBrowser, open, serve, skip, wire } from './stage.ts'

const question = 'When should I use SSE and when WebSocket?'
const paced = (seed: number) => JSON.stringify({ count: 300, rate: 100, seed })

t.test('the page', { skip }, async t => {
  await buildPage()
  t.teardown(closeBrowser)
  const url = await serve(t)
  const shots = process.env['SCREENSHOTS']
  const screenshot = async (page: { screenshot(options: object): Promise<unknown> }, name: string) => {
    if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: !name.startsWith('slow') })
  }

  t.test('both rails show the same cited answer', async t => {
    const page = await open(t, url)
    await ask(page, 'deepsearch', question)
    const [left, right] = await Promise.all([answerOn(page, 'SSE'), answerOn(page, 'WebSocket')])
    t.equal(left, right)
    t.match(left, /Completed/)
    t.match(left, /\[1\]/)
    const cite = page.locator('[data-rail="SSE"] .cite').first()
    await cite.focus()
    await page.keyboard.press('Enter')
    t.equal(
      await page.evaluate(() => document.activeElement?.tagName),
      'LI',
      'a citation leads to its source',
    )
    await screenshot(page, 'answer')
  })

  t.test('a reload in mid-answer shows it whole', async t => {
    const page = await open(t, url)
    await ask(page, 'playback', paced(1))
    await page.locator('[data-rail="SSE"] .part').first().waitFor()
    await page.reload()
    const [left, right] = await Promise.all([answerOn(page, 'SSE'), answerOn(page, 'WebSocket')])
    t.equal(left, right)
    const fresh = await open(t, page.url())
    t.equal(await answerOn(fresh, 'SSE'), left)
  })

  t.test('the network is cut in mid-answer: both rails come back and miss nothing', async t => {
    const line = await wire(t, url)
    const page = await open(t, line.url)
    await ask(page, 'playback', paced(2))
    await page.locator('[data-rail="WebSocket"] .part').first().waitFor()
    line.cut()
    await page.locator('[data-rail="SSE"] .state.waiting').waitFor()
    await page.locator('[data-rail="WebSocket"] .state.waiting').waitFor()
    await screenshot(page, 'cut')
    line.mend()
    const [left, right] = await Promise.all([answerOn(page, 'SSE'), answerOn(page, 'WebSocket')])
    t.equal(left, right)
    const direct = await open(t, `${url}/${new URL(page.url()).hash}`)
    t.equal(await answerOn(direct, 'SSE'), left, 'and what the log says is the same')
  })

  t.test('the page cuts and restores its own network', async t => {
    const page = await open(t, url)
    await ask(page, 'playback', paced(3))
    const rail = page.locator('[data-rail="WebSocket"]')
    await rail.locator('.part').first().waitFor()
    await rail.getByRole('button', { name: 'Cut' }).click()
    await rail.locator('.state.waiting').waitFor()
    await rail.getByRole('button', { name: 'Mend' }).click()
    const [left, right] = await Promise.all([answerOn(page, 'SSE'), answerOn(page, 'WebSocket')])
    t.equal(left, right)
  })

  t.test('the transport is switched in the middle of an answer', async t => {
    const page = await open(t, url)
    await ask(page, 'playback', paced(4))
    const rail = page.locator('[data-rail="SSE"]')
    await rail.locator('.part').first().waitFor()
    for (const transport of ['websocket', 'long-poll', 'sse'] as const) {
      await rail.getByLabel('Transport').selectOption(transport)
      await rail.locator('.state', { hasText: `open · ${transport}` }).waitFor()
    }
    const [left, right] = await Promise.all([answerOn(page, 'SSE'), answerOn(page, 'WebSocket')])
    t.equal(left, right)
    t.match(await rail.locator('.figures').textContent(), /Reconnects0/)
  })

  t.test('approved in one tab, seen in the other', async t => {
    const page = await open(t, url)
    await ask(page, 'asking', 'the thing')
    const other = await open(t, page.url())
    await other.getByText('Do the thing?').waitFor()
    await page.getByRole('button', { name: 'Approve' }).click()
    t.match(await answerOn(other, 'WebSocket'), /Done\./)
    t.equal(await other.locator('.question').count(), 0)
  })

  t.test('steer and cancel', async t => {
    const page = await open(t, url)
    await ask(page, 'playback', JSON.stringify({ count: 100_000, rate: 20 }))
    await page.locator('#steer').fill('faster')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Cancel run' }).click()
    t.match(await answerOn(page, 'SSE'), /Cancelled/)
    t.equal(await page.locator('#running').count(), 0)
  })

  t.test('a slow reader falls behind alone, and gets folded text', async t => {
    const page = await open(t, url)
    const rail = page.locator('[data-rail="SSE"]')
    await rail.getByLabel('Reader takes').selectOption('100')
    await ask(page, 'playback', JSON.stringify({ count: 4000, rate: 2000, bytes: 400 }))
    t.match(await answerOn(page, 'WebSocket'), /Completed/)
    t.equal(await rail.locator('.outcome').count(), 0, 'the slow one is behind')
    await screenshot(page, 'slow')
    await rail.getByLabel('Reader takes').selectOption('0')
    t.equal(await answerOn(page, 'SSE'), await answerOn(page, 'WebSocket'))
  })

  t.test('a phone’s width, dark, by keyboard', async t => {
    const page = await open(t, url, { width: 375, dark: true })
    await page.locator('#agent').waitFor()
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    t.ok(wide <= 0, 'nothing sticks out')
    const reached = new Set<string>()
    for (let i = 0; i < 30; i += 1) {
      await page.keyboard.press('Tab')
      reached.add(
        await page.evaluate(() => {
          const element = document.activeElement as HTMLElement
          return element.id || element.textContent?.trim() || element.tagName
        }),
      )
    }
    for (const name of ['question', 'agent', 'Ask', 'Cut']) t.ok(reached.has(name), name)
    await page.locator('#question').fill(question)
    await page.keyboard.press('Enter')
    await answerOn(page, 'SSE')
    t.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0)
    t.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(16, 19, 25)')
    await screenshot(page, 'phone-dark')
  })
})
