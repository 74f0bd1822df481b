/** The core of the page in Firefox, over WebDriver BiDi; skipped, visibly, without Firefox or puppeteer-core. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { type Tab, testCore } from './core.ts'

/** The part of puppeteer-core that these tests use. */
interface Page extends Pick<Tab, 'goto' | 'click' | 'select' | 'close'> {
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
  const loaded = await import(pathToFileURL(puppeteerPath!).href)
  const puppeteer: Puppeteer = loaded.default
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true })
  t.teardown(() => browser.close())

  await testCore(t, async () => {
    const page = await browser.newPage()
    const thrown: string[] = []
    page.setDefaultTimeout(120_000)
    page.on('pageerror', ({ message }) => thrown.push(message))
    return {
      goto: url => page.goto(url),
      click: selector => page.click(selector),
      select: (selector, value) => page.select(selector, value),
      waitFor: selector => page.waitForSelector(selector),
      text: selector => page.$eval(selector, element => element.textContent?.trim() ?? ''),
      thrown: async () => thrown,
      close: () => page.close(),
    }
  })
})
