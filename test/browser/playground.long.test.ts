/** The page in a real browser: what an application's user does. */
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { answerOn, ask, buildPage, closeBrowser, open, screens, serve, skip, wire } from './stage.ts'

const question = 'When should I use SSE and when WebSocket?'
const paced = (seed: number) => ({ count: 300, rate: 100, seed })
const countLine = /^(\d+) of \1 events on both rails: 0 lost, 0 twice$/

/** The line that compares both rails with the log, once the newest run has ended on both. */
async function counted(page: Page): Promise<string> {
  const line = page.locator('#says.counted')
  await line.waitFor()
  return (await line.textContent()) ?? ''
}

async function sameOnBoth(t: Test, page: Page): Promise<string> {
  const [left, right] = await Promise.all([answerOn(page, 'A'), answerOn(page, 'B')])
  t.equal(left, right)
  t.match(await counted(page), countLine)
  return left
}

/** Tabs through the page until what is focused has this text or id. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 80; i += 1) {
    await page.keyboard.press('Tab')
    const [id, text] = await page.evaluate(() => [
      document.activeElement?.id,
      document.activeElement?.textContent?.trim(),
    ])
    if (id === name || text === name) return
  }
  throw new Error(`the keyboard does not reach ${name}`)
}

t.test('the page', { skip }, async t => {
  await buildPage()
  const licenses = readFileSync(new URL('../../client/page/licenses.md', import.meta.url), 'utf8')
  t.match(licenses, /react-dom/, 'the licences of what is in it come along')
  t.teardown(closeBrowser)
  const url = await serve(t)
  const shots = process.env['SCREENSHOTS']
  const screenshot = async (page: Page, name: string, fullPage = false) => {
    if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage })
  }

  t.test('the demo plays its steps by keyboard alone, and counts', async t => {
    const page = await open(t, url)
    // Every step that the page names, as it comes.
    await page.evaluate(() => {
      const seen: string[] = []
      Object.assign(globalThis, { seen })
      const look = () => {
        const step = document.querySelector('.steps [aria-current]')?.textContent
        const cut = document.querySelector<HTMLElement>('[data-rail="A"]')?.dataset['cut']
        const slow = document.querySelector('[data-rail="B"] .slow')?.getAttribute('aria-pressed')
        const transport = document.querySelector('[data-rail="A"] select') as HTMLSelectElement
        const now = `${step} cut=${cut} slow=${slow} ${transport.value}`
        if (step && seen.at(-1) !== now) seen.push(now)
      }
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true })
    })
    await tabTo(page, 'play')
    await page.keyboard.press('Enter')
    await page.locator('.steps [aria-current]', { hasText: 'Count' }).waitFor()
    const line = await counted(page)
    t.match(line, countLine)
    t.ok(Number(/\d+/.exec(line)?.[0]) > 300, line)
    const seen = await page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen)
    for (const step of [
      'Stream cut=false slow=false sse',
      'Cut cut=true slow=false sse',
      'Mend cut=false slow=false sse',
      'Slow cut=false slow=true sse',
      'Fast cut=false slow=false sse',
      'Switch cut=false slow=false websocket',
      'Count cut=false slow=false sse',
    ])
      t.ok(seen.includes(step), step)
    t.equal(await answerOn(page, 'A'), await answerOn(page, 'B'))
    const folded = page.locator('[data-figure="Folded"]')
    t.not(await folded.nth(0).textContent(), '0', 'rail A caught up by folded events')
    t.match(await page.locator('[data-figure="Reconnects"]').nth(0).textContent(), /^[1-9]/)
    await screenshot(page, 'demo')
  })

  t.test('nothing moves while an answer streams in, and nobody is flooded with announcements', async t => {
    for (const [width, height] of [
      [1280, 800],
      [390, 844],
    ] as const) {
      const page = await open(t, url, { width, height })
      await page.locator('.example').first().waitFor()
      await page.evaluate(() => {
        const shifts: string[] = []
        const announced: string[] = []
        Object.assign(globalThis, { shifts, announced })
        new PerformanceObserver(list => {
          for (const entry of list.getEntries()) {
            const { value, sources } = entry as unknown as { value: number; sources: { node?: Node }[] }
            const nodes = sources.map(({ node }) =>
              (node as HTMLElement | undefined)?.outerHTML?.slice(0, 120),
            )
            shifts.push(`${value} ${nodes.join(' ')}`)
          }
        }).observe({ type: 'layout-shift', buffered: false })
        new MutationObserver(changes => {
          for (const { target } of changes) {
            const live = (target instanceof Element ? target : target.parentElement)?.closest(
              '[aria-live], [role="status"], [role="alert"], [role="log"]',
            )
            if (live) announced.push(live.textContent ?? '')
          }
        }).observe(document.body, { subtree: true, childList: true, characterData: true })
      })
      await page.locator('#play').click()
      await counted(page)
      const { shifts, announced } = await page.evaluate(() => {
        const { shifts, announced } = globalThis as unknown as { shifts: string[]; announced: string[] }
        return { shifts, announced }
      })
      // A line of an answer that moves is 0.02 and more.
      const moved = shifts.reduce((sum, shift) => sum + Number.parseFloat(shift), 0)
      t.ok(moved < 0.01, `${width} px: layout shift ${moved}`, { shifts })
      t.ok(announced.length > 0 && announced.length < 20, `${announced.length} announcements`)
    }
  })

  t.test('an example answers with citations; its sources are links', async t => {
    const page = await open(t, url)
    await page.getByRole('button', { name: question }).click()
    const answer = await sameOnBoth(t, page)
    t.match(answer, /Complete/)
    t.match(answer, /\[1\]/)
    const link = page.locator('[data-rail="A"] .sources a').first()
    const address = await link.getAttribute('href')
    t.match(address, /^about\/.+\.md#/)
    const document = await open(t, `${url}/${address}`)
    const [, fragment] = address!.split('#')
    t.equal(await document.locator(`[id="${fragment}"]`).count(), 1, 'the document has the cited section')
    t.match(await page.locator('[data-rail="A"] a.cite').first().getAttribute('href'), /^about\//)
  })

  t.test('a reload in mid-answer shows it whole', async t => {
    const page = await open(t, url)
    await ask(page, 'playback', paced(1))
    await page.locator('[data-rail="A"] .part').first().waitFor()
    await page.reload()
    const left = await sameOnBoth(t, page)
    const fresh = await open(t, page.url())
    t.equal(await answerOn(fresh, 'A'), left)
  })

  t.test('the network is cut in mid-answer: both rails come back and miss nothing', async t => {
    const line = await wire(t, url)
    const page = await open(t, line.url)
    await ask(page, 'playback', paced(2))
    await page.locator('[data-rail="B"] .part').first().waitFor()
    line.cut()
    await page.locator('[data-rail="A"] [data-state="waiting"]').waitFor()
    await page.locator('[data-rail="B"] [data-state="waiting"]').waitFor()
    await screenshot(page, 'cut')
    line.mend()
    const left = await sameOnBoth(t, page)
    const direct = await open(t, `${url}/${new URL(page.url()).hash}`)
    t.equal(await answerOn(direct, 'A'), left, 'and what the log says is the same')
  })

  t.test('a rail is cut and mended by its button', async t => {
    const page = await open(t, url)
    await ask(page, 'playback', paced(3))
    const rail = page.locator('[data-rail="B"]')
    await rail.locator('.part').first().waitFor()
    await rail.getByRole('button', { name: 'Cut' }).click()
    await rail.locator('[data-state="waiting"]').waitFor()
    await rail.getByRole('button', { name: 'Mend' }).click()
    await sameOnBoth(t, page)
  })

  t.test('the transport is switched in the middle of an answer', async t => {
    const page = await open(t, url)
    await ask(page, 'playback', paced(4))
    const rail = page.locator('[data-rail="A"]')
    await rail.locator('.part').first().waitFor()
    for (const [transport, name] of [
      ['websocket', 'WebSocket'],
      ['long-poll', 'Long-poll'],
      ['sse', 'SSE'],
    ] as const) {
      await rail.getByLabel('Transport').selectOption(transport)
      await rail.locator('h2', { hasText: name }).waitFor()
      await rail.locator('[data-state="open"]').waitFor()
    }
    await sameOnBoth(t, page)
    t.equal(await page.locator('[data-figure="Reconnects"]').nth(0).textContent(), '0')
  })

  t.test('an approval waits for you; answered in one tab, seen in the other', async t => {
    const page = await open(t, url)
    await ask(page, 'asking', { query: 'the thing' })
    const other = await open(t, page.url())
    await other.getByText('Do the thing?').first().waitFor()
    t.match(await page.locator('[data-rail="A"] .question').textContent(), /^waits for you/)
    t.match(await page.locator('#says').textContent(), /asking waits for you/)
    t.match(await page.title(), /Waits for you/)
    await page.locator('[data-rail="B"]').getByRole('button', { name: 'Approve' }).click()
    t.match(await answerOn(other, 'B'), /Done\./)
    t.match(await other.locator('[data-rail="A"] .question').textContent(), /^answered: approved/)
  })

  t.test('steering shows where it went; stop', async t => {
    const page = await open(t, url)
    await ask(page, 'echoing', { query: 'hello' })
    await page.locator('#steer:enabled').fill('there')
    await page.keyboard.press('Enter')
    const said = page.locator('[data-rail="A"] .said', { hasText: 'there' })
    await said.locator('[data-state="applied"]').waitFor()
    t.match(await said.textContent(), /to the running agent: read by the agent/)
    await page.locator('[data-rail="A"] .part', { hasText: 'there' }).waitFor()
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    t.match(await answerOn(page, 'A'), /Stopped/)
    t.ok(await page.locator('#steer').isDisabled())
  })

  t.test('a slow reader falls behind alone, and gets folded text', async t => {
    const page = await open(t, url)
    const rail = page.locator('[data-rail="A"]')
    await rail.getByRole('button', { name: 'Slow' }).click()
    await ask(page, 'playback', { count: 4000, rate: 2000, bytes: 400 })
    t.match(await answerOn(page, 'B'), /Complete/)
    t.equal(await rail.locator('.outcome').count(), 0, 'the slow one is behind')
    await screenshot(page, 'slow')
    await rail.getByRole('button', { name: 'Slow' }).click()
    await sameOnBoth(t, page)
  })

  t.test('a form follows the schema of the agent’s input', async t => {
    const page = await open(t, url)
    await page.locator('#agent').selectOption('deepsearch')
    t.equal(await page.locator('#ask textarea[name="query"]').count(), 1)
    t.equal(await page.locator('#ask input[type="checkbox"][name="confirm"]').count(), 1)
    const number = page.locator('#ask input[type="number"][name="maxSources"]')
    t.strictSame(
      [await number.getAttribute('min'), await number.getAttribute('max'), await number.inputValue()],
      ['1', '50', '8'],
    )
    await page.locator('#agent').selectOption('playback')
    t.equal(await page.locator('#ask input[type="number"][name="count"]').inputValue(), '300')
    await page.locator('#shape').selectOption({ index: 1 })
    await page.locator('#ask textarea[name="events"]').fill('[not json')
    await page.getByRole('button', { name: 'Start playback' }).click()
    t.match(await page.locator('#ask .problem').textContent(), /expected JSON/)
  })

  t.test('code for exactly this session is copied, and works', async t => {
    const page = await open(t, url)
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.getByRole('button', { name: question }).click()
    await counted(page)
    await page.getByRole('tab', { name: 'curl' }).focus()
    await page.keyboard.press('ArrowRight')
    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByText('Copied', { exact: true }).waitFor()
    const code = await page.evaluate(() => navigator.clipboard.readText())
    t.match(code, new URL(page.url()).hash.slice(1))
    const address = /new EventSource\('(.+)'\)/.exec(code)![1]!
    const type = await page.evaluate(
      address =>
        new Promise(resolve => {
          const events = new EventSource(address)
          events.onmessage = ({ data }) => {
            events.close()
            resolve(JSON.parse(data).type)
          }
        }),
      address,
    )
    t.equal(type, 'run.started')
  })

  t.test('the words of the figures are explained on hover, focus and tap', async t => {
    const page = await open(t, url)
    const word = page.getByRole('button', { name: 'Folded' })
    const tip = page.getByRole('tooltip', { name: /joined with their neighbours/ })
    await word.hover()
    await tip.waitFor()
    await page.mouse.move(0, 0)
    await tip.waitFor({ state: 'hidden' })
    await word.focus()
    await tip.waitFor()
    await page.keyboard.press('Escape')
    await tip.waitFor({ state: 'hidden' })
    await word.click()
    await tip.waitFor()
  })

  for (const { width, height, dark } of screens) {
    const name = `${width}x${height} ${dark ? 'dark' : 'light'}`
    t.test(`${name}: nothing sticks out, and every target is large enough to tap`, async t => {
      const page = await open(t, url, { width, height, dark })
      await page.locator('.tries button').last().waitFor()
      await screenshot(page, `${name} start`)
      const last = await page.evaluate(
        () => [...document.querySelectorAll('.tries button')].at(-1)!.getBoundingClientRect().bottom,
      )
      t.ok(last < height, 'the demo and the examples are above the fold')
      await ask(page, 'asking', { query: 'the thing' })
      await page.getByText('Do the thing?').first().waitFor()
      await page.getByRole('button', { name: 'Approve' }).first().click()
      await page.getByRole('button', { name: question }).click()
      await counted(page)
      t.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0)
      const small = await page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>('a, button, input, select, textarea, summary')]
          // A citation stands within a line of text.
          .filter(one => one.offsetParent && !one.matches('.cite'))
          .map(one => [one.closest('label') ?? one, one] as const)
          .map(([box, one]) => ({ box: box.getBoundingClientRect(), text: one.outerHTML.slice(0, 80) }))
          .filter(({ box }) => box.width < 44 || box.height < 43.9)
          .map(({ box, text }) => `${box.width} × ${box.height} ${text}`),
      )
      t.strictSame(small, [])
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
      t.equal(ground, dark ? 'rgb(13, 17, 23)' : 'rgb(238, 241, 245)')
      await screenshot(page, name, true)
    })
  }
})
