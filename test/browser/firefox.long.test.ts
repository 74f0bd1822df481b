/** The core of the page in Firefox, over WebDriver BiDi; skipped, visibly, without Firefox or puppeteer-core. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { buildPage, serve } from './stage.ts'

/** The part of puppeteer-core that these tests use. */
interface Page {
  goto(url: string): Promise<unknown>
  click(selector: string): Promise<void>
  select(selector: string, value: string): Promise<unknown>
  waitForSelector(selector: string): Promise<unknown>
  $eval<T>(selector: string, read: (element: HTMLElement) => T): Promise<T>
  on(event: 'pageerror', listener: (error: Error) => void): void
  setDefaultTimeout(ms: number): void
}
interface Puppeteer {
  launch(options: object): Promise<{ newPage(): Promise<Page>; close(): Promise<void> }>
}

const executablePath = process.env['FIREFOX'] ?? '/usr/bin/firefox-esr'

/** The path of puppeteer-core, where it is installed. */
function findPuppeteer(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve('puppeteer-core')
  } catch {
    return undefined
  }
}

const puppeteerPath = findPuppeteer()
const skip = !existsSync(executablePath)
  ? `no Firefox at ${executablePath}: apt-get install firefox-esr`
  : puppeteerPath === undefined && 'no puppeteer-core'

t.test('the page in Firefox', { skip }, async t => {
  await buildPage()
  const url = await serve(t)
  const loaded = await import(pathToFileURL(puppeteerPath!).href)
  const puppeteer: Puppeteer = loaded.default
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true })
  t.teardown(() => browser.close())

  const open = async () => {
    const page = await browser.newPage()
    // Only against hanging.
    page.setDefaultTimeout(120_000)
    page.on('pageerror', error => t.fail(`the page threw: ${error.message}`))
    await page.goto(url)
    await page.waitForSelector('.example')
    return page
  }
  const textOf = (page: Page, selector: string) =>
    page.$eval(selector, element => element.textContent?.trim() ?? '')
  const sameOnBoth = async (page: Page) => {
    await page.waitForSelector('#says.counted')
    t.match(await textOf(page, '#says'), /^(\d+) of \1 events on both rails: 0 lost, 0 twice$/)
    const answer = await textOf(page, '[data-rail="A"] .turn:last-of-type')
    t.equal(answer, await textOf(page, '[data-rail="B"] .turn:last-of-type'))
    t.match(answer, /Complete/)
    return answer
  }

  t.test('a cited answer on both rails', async t => {
    const page = await open()
    await page.click('.example')
    t.match(await sameOnBoth(page), /\[1\]/)
  })

  t.test('the demo: cut and resume, slow reader, switch', async () => {
    const page = await open()
    await page.click('#play')
    await page.waitForSelector('[data-rail="A"][data-cut="true"]')
    await page.waitForSelector('[data-rail="A"][data-cut="false"]')
    await page.waitForSelector('.steps li:last-child[aria-current]')
    await sameOnBoth(page)
  })

  t.test('every transport in the middle of an answer', async () => {
    const page = await open()
    await page.select('#agent', 'playback')
    await page.click('#ask [type="submit"]')
    await page.waitForSelector('[data-rail="A"] .part')
    for (const transport of ['websocket', 'long-poll', 'sse']) {
      await page.select('[data-rail="A"] select', transport)
      await page.waitForSelector('[data-rail="A"] [data-state="open"]')
    }
    await sameOnBoth(page)
  })

  t.test('eight tabs over HTTP/1.1 share their connections, and all get the answer', async t => {
    const address = `${url}/#shared-in-firefox`
    const pages: Page[] = []
    for (let tab = 0; tab < 8; tab++) {
      const page = await browser.newPage()
      page.setDefaultTimeout(120_000)
      await page.goto(address)
      // The seventh would not even load if each had streams of its own.
      await page.waitForSelector('[data-rail="A"] [data-state="open"]')
      await page.waitForSelector('[data-rail="B"] [data-state="open"]')
      pages.push(page)
    }
    await pages[7]!.click('.example')
    const answers: string[] = []
    for (const page of pages) {
      for (const rail of ['A', 'B']) {
        await page.waitForSelector(`[data-rail="${rail}"] .outcome.completed`)
        answers.push(await textOf(page, `[data-rail="${rail}"] .turn:last-of-type`))
      }
    }
    t.equal(answers.length, 16)
    t.equal(new Set(answers).size, 1, 'the same on both rails of every tab')
    t.match(answers[0], /\[1\].*Complete/s)
  })
})
