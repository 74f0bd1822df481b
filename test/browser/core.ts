/** What the page must do in every browser engine: the same tests in Firefox and in WebKit. */
import type { Test } from 'tap'
import { buildPage, serve } from './stage.ts'

/** A tab of a browser. Selectors are CSS and mean the first element that matches. */
export interface Tab {
  /** Opens an address. Resolves once the page has loaded. */
  goto(url: string): Promise<unknown>
  /** Clicks on an element with the mouse. */
  click(selector: string): Promise<unknown>
  /** Chooses the option with this value. */
  select(selector: string, value: string): Promise<unknown>
  /** Resolves once an element matches. Rejects after two minutes, only against hanging. */
  waitFor(selector: string): Promise<unknown>
  /** The element's text. */
  text(selector: string): Promise<string>
  /** The messages of errors that nobody caught in the page. */
  thrown(): Promise<readonly string[]>
  close(): Promise<unknown>
}

/** Runs the tests in a browser whose tabs share connections and storage. */
export async function testCore(t: Test, newTab: () => Promise<Tab>): Promise<void> {
  await buildPage()
  const url = await serve(t)

  const open = async (t: Test, address: string) => {
    const tab = await newTab()
    t.teardown(() => tab.close())
    await tab.goto(address)
    await tab.waitFor('.example')
    return tab
  }
  const sameOnBoth = async (t: Test, tab: Tab) => {
    await tab.waitFor('#says.counted')
    t.match(await tab.text('#says'), /^(\d+) of \1 events on both rails: 0 lost, 0 twice$/)
    // Drawn in the next frame, which may be late.
    for (const rail of ['A', 'B']) await tab.waitFor(`[data-rail="${rail}"] .turn:last-of-type .outcome`)
    const answer = await tab.text('[data-rail="A"] .turn:last-of-type')
    t.equal(answer, await tab.text('[data-rail="B"] .turn:last-of-type'))
    t.match(answer, /Complete/)
    t.strictSame(await tab.thrown(), [])
    return answer
  }

  await t.test('a cited answer on both rails', async t => {
    const tab = await open(t, url)
    await tab.click('.example')
    t.match(await sameOnBoth(t, tab), /\[1\]/)
  })

  await t.test('the demo: cut and resume, slow reader, switch', async t => {
    const tab = await open(t, url)
    await tab.click('#play')
    await tab.waitFor('[data-rail="A"][data-cut="true"]')
    await tab.waitFor('[data-rail="A"][data-cut="false"]')
    await tab.waitFor('.steps li:last-child[aria-current]')
    await sameOnBoth(t, tab)
  })

  await t.test('every transport in the middle of an answer', async t => {
    const tab = await open(t, url)
    await tab.select('#agent', 'playback')
    await tab.click('#ask [type="submit"]')
    await tab.waitFor('[data-rail="A"] .part')
    for (const transport of ['websocket', 'long-poll', 'sse']) {
      await tab.select('[data-rail="A"] select', transport)
      await tab.waitFor('[data-rail="A"] [data-state="open"]')
    }
    await sameOnBoth(t, tab)
  })

  await t.test('eight tabs over HTTP/1.1 share their connections, and all get the answer', async t => {
    const tabs: Tab[] = []
    for (let number = 1; number <= 8; number++) {
      const tab = await open(t, `${url}/#shared`)
      // The seventh would not even load if each had streams of its own.
      await tab.waitFor('[data-rail="A"] [data-state="open"]')
      await tab.waitFor('[data-rail="B"] [data-state="open"]')
      tabs.push(tab)
    }
    await tabs[7]!.click('.example')
    const answers: string[] = []
    for (const tab of tabs) {
      for (const rail of ['A', 'B']) {
        await tab.waitFor(`[data-rail="${rail}"] .outcome.completed`)
        answers.push(await tab.text(`[data-rail="${rail}"] .turn:last-of-type`))
      }
      t.strictSame(await tab.thrown(), [])
    }
    t.equal(answers.length, 16)
    t.equal(new Set(answers).size, 1, 'the same on both rails of every tab')
    t.match(answers[0], /\[1\].*Complete/s)
  })
}
