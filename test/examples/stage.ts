/** An example's page in a real browser, in front of its own server. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { buildPage } from '../../examples/build.ts'

/** Builds the page of an example into a folder of its own. */
export async function pageOf(t: Test, name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `twinrail-${name}-`))
  t.teardown(() => rm(folder, { recursive: true }))
  return buildPage(name, folder)
}

/** Where screenshots go, if anywhere. */
const shots = process.env['SCREENSHOTS']

export async function screenshot(page: Page, name: string): Promise<void> {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png` })
}

/** What is smaller than a finger, 44 px, of all that can be pressed at the moment. */
export function smallTargets(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('button, select, input, textarea, summary, a[href], [tabindex="0"]')]
      .filter(element => element.checkVisibility() && !element.closest('.markdown'))
      .map(element => ({ element, box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.width < 44 || box.height < 44)
      .map(({ element, box }) => `${element.outerHTML.slice(0, 100)} ${box.width}×${box.height}`),
  )
}

/** How far the page can be scrolled sideways, in px. A page that fits has 0. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement
    return scrollWidth - clientWidth
  })
}

/** Notes each layout shift from now on; the result returns those so far. */
export async function layoutShifts(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const shifts: string[] = []
    Object.assign(globalThis, { shifts })
    new PerformanceObserver(list => {
      for (const entry of list.getEntries()) {
        const { value, hadRecentInput, sources } = entry as unknown as {
          value: number
          hadRecentInput: boolean
          sources: { node?: Element; previousRect: DOMRectReadOnly; currentRect: DOMRectReadOnly }[]
        }
        const moved = sources.map(
          ({ node, previousRect: from, currentRect: to }) =>
            `${from.x},${from.y} ${from.width}×${from.height} → ${to.x},${to.y} ${to.width}×${to.height} ${node?.outerHTML?.slice(0, 100) ?? ''}`,
        )
        if (!hadRecentInput) shifts.push(`${value} ${moved.join(' ')}`)
      }
    }).observe({ type: 'layout-shift' })
  })
  return () => page.evaluate(() => (globalThis as unknown as { shifts: string[] }).shifts)
}
