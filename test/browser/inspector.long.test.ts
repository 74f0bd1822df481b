/** The inspector in a real browser: what an operator does. */
import { readFileSync } from 'node:fs'
import { SignJWT } from 'jose'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { createClient } from '../../client/index.ts'
import { jwtAuthorize } from '../../src/index.ts'
import { openSse } from '../fixtures/wire-clients.ts'
import { eventually, ingestLines, post } from '../fixtures/wire-server.ts'
import { buildPage, closeBrowser, open, screens, serve, skip } from './stage.ts'

const SECRET = 'a secret of tests that is long enough'

const token = (allow: string[]) =>
  new SignJWT({ sub: 'op', exp: Math.floor(Date.now() / 1000) + 600, twinrail: [{ sessions: ['*'], allow }] })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(SECRET))

/** A session of notes and one ended run. */
async function fill(url: string, sessionId: string, notes: number): Promise<void> {
  await post(`${url}/v1/sessions`, { sessionId, metadata: { title: `About ${sessionId}` } })
  const lines = Array.from({ length: notes }, (_, i) =>
    JSON.stringify({ type: 'x.note', data: { text: i === 3 ? 'the needle' : `note ${i}`, i } }),
  )
  if (notes > 0) await ingestLines(url, sessionId, lines.join('\n'))
}

function start(url: string, t: Test, count: number, rate: number) {
  const client = createClient({ url, transport: 'sse' })
  t.teardown(() => client.close())
  return client.session('busy').run('playback', { count, rate, seed: 1 })
}

const rows = (page: Page) => page.locator('.rows > li')

t.test('the inspector', { skip }, async t => {
  await buildPage()
  t.teardown(closeBrowser)
  const url = await serve(t, { inspector: true })
  const shots = process.env['SCREENSHOTS']
  const screenshot = async (page: Page, name: string) => {
    if (shots) await page.screenshot({ path: `${shots}/inspector-${name}.png` })
  }
  for (let i = 0; i < 60; i++) await fill(url, `session-${String(i).padStart(2, '0')}`, i % 7)
  await fill(url, 'busy', 3000)

  t.test('lists the sessions by last activity, page by page, and opens one by keyboard', async t => {
    const page = await open(t, `${url}/inspect`)
    t.equal(page.url(), `${url}/inspect/`)
    const items = page.locator('.sessions li')
    await items.nth(49).waitFor()
    t.match(await items.first().textContent(), /^busy/)
    t.match(await items.nth(1).textContent(), /session-59.*title: About session-59/)
    await page.getByRole('button', { name: 'Older sessions' }).click()
    await items.nth(60).waitFor()
    t.equal(await items.count(), 61)
    await items.nth(1).locator('button').focus()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'busy' }).waitFor()
    t.equal(new URL(page.url()).hash, '#busy')
    await page.locator('[data-figure="Connections"] strong', { hasText: /^[1-9]/ }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'busy' }).waitFor()
  })

  t.test('shows the newest events, pages back, and searches', async t => {
    const page = await open(t, `${url}/inspect/#busy`)
    await page.getByText('Following the log').waitFor()
    t.match(await rows(page).last().textContent(), /#3000.*x\.note/)
    const before = await rows(page).count()
    await page.getByRole('button', { name: 'Older events' }).click()
    await eventually(t, 'an older page is there', async () => (await rows(page).count()) > before)
    for (let i = 0; i < 5; i++) {
      const count = await rows(page).first().textContent()
      await page.getByRole('button', { name: 'Older events' }).click()
      await eventually(t, `page ${i}`, async () => (await rows(page).first().textContent()) !== count)
    }
    t.ok((await rows(page).count()) <= 1000, 'the page keeps a window of them')
    await page.getByText('Not at the end of the log').waitFor()
    await page.getByRole('button', { name: 'Newest' }).click()
    await page.getByText('Following the log').waitFor()

    await page.keyboard.press('/')
    await page.keyboard.type('NEEDLE')
    await page.keyboard.press('Enter')
    await page.getByText(/^1 found in 3k events/).waitFor()
    await page.locator('summary', { hasText: 'the needle' }).click()
    await page.getByRole('button', { name: 'Show in the timeline' }).click()
    await page.locator('.row-target', { hasText: 'the needle' }).waitFor()
    await page.getByRole('button', { name: 'Newer events' }).click()
    await page.locator('.rows > li', { hasText: 'note 150' }).first().waitFor()
    await page.keyboard.press('/')
    await page.locator('[name="type"]').fill('run.*')
    await page.keyboard.press('Enter')
    await page.getByText(/^0 found/).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Newest' }).waitFor()
  })

  t.test('follows a run live, shows its text in one row, and cancels it', async t => {
    const page = await open(t, `${url}/inspect/#busy`)
    await page.getByText('Following the log').waitFor()
    const other = start(url, t, 3, 1000)
    await other.done
    const run = start(url, t, 100_000, 100)
    await run.started
    const live = page.locator('.rows > li', { hasText: 'text.delta' })
    await live.first().waitFor()
    await eventually(t, 'its text grows', async () =>
      /#\d+–\d+/.test((await live.last().textContent()) ?? ''),
    )
    t.equal(await live.count(), 2, 'one row of each run')
    await page.locator('[data-figure="Appended"] strong', { hasText: /^[1-9]\d*(\.\d)?\/s$/ }).waitFor()
    await screenshot(page, 'run')
    const item = page.locator(`[data-run="${run.runId}"]`)
    await item.getByRole('button', { name: 'playback' }).click()
    // One page of it has 200 events.
    const first = rows(page).first()
    await eventually(t, 'its first event', async () => {
      if (/run\.started/.test((await first.textContent()) ?? '')) return true
      const older = page.getByRole('button', { name: 'Older events' })
      // It is gone once the first page is there.
      if (await older.isVisible()) await older.click({ timeout: 1000 }).catch(() => {})
      return false
    })
    const countOf = (type: string) => rows(page).filter({ hasText: type }).count()
    t.same([await countOf('run.started'), await countOf('x.note')], [1, 0], 'only the events of the run')
    await item.getByRole('button', { name: 'Cancel' }).click()
    await item.getByRole('button', { name: 'Cancel this run?' }).click()
    t.match(await run.done, { type: 'run.cancelled', data: { reason: 'cancelled by an operator' } })
    await item.getByText('cancelled').waitFor()
    await page.locator('[data-type="run.cancelled"]').waitFor()
  })

  t.test('shows subscribers, and ends one, whose client is told', async t => {
    const page = await open(t, `${url}/inspect/#session-10`)
    const stream = await openSse(t, `${url}/v1/sessions/session-10/events?lag=skip`)
    await stream.nextOf('caught-up')
    await page.getByRole('tab', { name: 'Subscribers' }).click()
    const item = page.locator('.subscribers li', { hasText: 'skip' })
    await item.waitFor()
    t.match(await item.textContent(), /live.*local.*sse/)
    await screenshot(page, 'subscribers')
    await item.getByRole('button', { name: 'End' }).click()
    await item.getByRole('button', { name: 'End it for good?' }).click()
    t.match(await stream.nextOf('end'), { reason: 'forbidden' })
    await page.getByText('The subscription has ended').waitFor()
    await item.waitFor({ state: 'detached' })
  })

  t.test('exports a session', async t => {
    const page = await open(t, `${url}/inspect/#session-06`)
    // Without a dialog of the system, which nobody would answer here.
    await page.evaluate(() => Reflect.deleteProperty(globalThis, 'showSaveFilePicker'))
    await page.evaluate(() => Object.assign(globalThis, { showSaveFilePicker: undefined }))
    const download = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export' }).click()
    const file = await download
    t.equal(file.suggestedFilename(), 'session-06.ndjson')
    const lines = readFileSync(await file.path(), 'utf8')
      .trimEnd()
      .split('\n')
    t.equal(lines.length, 3 + 6)
    t.match(JSON.parse(lines.at(-1) as string), { end: { sessions: 1, events: 6 } })
  })

  t.test('asks for a token, keeps it out of the address, and says which right is missing', async t => {
    const url = await serve(t, { inspector: true, authorize: jwtAuthorize({ secret: SECRET }) })
    const page = await open(t, `${url}/inspect/`)
    const requested: string[] = []
    page.on('request', request => requested.push(request.url()))
    const give = async (text: string) => {
      await page.getByLabel('Token or API key').fill(text)
      await page.keyboard.press('Enter')
    }
    await page.getByLabel('Token or API key').waitFor()
    await screenshot(page, 'gate')
    await give(await token(['read']))
    await page.getByText('This token has not the right admin').waitFor()
    await give(await token(['admin']))
    await page.getByText('that needs the right manage').waitFor()
    await page.getByRole('button', { name: 'Forget token' }).click()
    const whole = await token(['admin', 'read', 'write', 'manage'])
    await give(whole)
    await page.getByText('No sessions yet').waitFor()
    await post(`${url}/v1/sessions`, { sessionId: 'mine' }, { authorization: `Bearer ${whole}` })
    await page.locator('.sessions li', { hasText: 'mine' }).click()
    await page.getByText('Following the log').waitFor()
    t.notOk(requested.some(address => address.includes(whole)))
  })

  t.test('fits a phone and a laptop, light and dark; nothing to press is small', async t => {
    const client = createClient({ url, transport: 'sse' })
    t.teardown(() => client.close())
    const session = client.session('busy')
    const asking = session.run('asking', { query: 'send the report' })
    await asking.started
    for (const query of ['', '?lag=skip', `?run=${asking.runId}`]) {
      const stream = await openSse(t, `${url}/v1/sessions/busy/events${query}`)
      await stream.nextOf('caught-up')
    }
    for (const { width, height, dark } of screens) {
      const name = `${width}${dark ? '-dark' : ''}`
      const page = await open(t, `${url}/inspect/`, { width, height, dark })
      await page.locator('.sessions li').nth(10).waitFor()
      await screenshot(page, `list-${name}`)
      await page.locator('.sessions li button').first().click()
      await page.getByText('Following the log').waitFor()
      await page.locator('.runs li').first().waitFor()
      await screenshot(page, `session-${name}`)
      const faults = await page.evaluate(() => {
        const small = [...document.querySelectorAll('button, input, summary')]
          .filter(element => element.checkVisibility())
          .map(element => [element.textContent?.slice(0, 40), element.getBoundingClientRect()] as const)
          .filter(([, { width, height }]) => height < 43.9 || width < 43.9)
          .map(([text, { width, height }]) => `${text} ${width}×${height}`)
        const wide = document.documentElement.scrollWidth > innerWidth
        return [...small, ...(wide ? [`the page is ${document.documentElement.scrollWidth} px wide`] : [])]
      })
      t.same(faults, [], name)
      await page.getByRole('tab', { name: 'Subscribers' }).click()
      await page.locator('.subscribers li').first().waitFor()
      await screenshot(page, `subscribers-${name}`)
      if (width > 500) continue
      await page.getByRole('button', { name: 'Sessions' }).click()
      await page.locator('.sessions li').first().waitFor()
    }
  })
})
