/** A very long answer on both rails: what it costs the page. The figures are printed, not judged by time. */
import t from 'tap'
import { answerOn, ask, buildPage, closeBrowser, open, serve, skip } from './stage.ts'

const TOKENS = Number(process.env['TOKENS'] ?? 20_000)
const RATE = 1_000

t.test(`${TOKENS} tokens at ${RATE} a second`, { skip, timeout: 600_000 }, async t => {
  await buildPage()
  t.teardown(closeBrowser)
  const page = await open(t, await serve(t))
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Performance.enable')
  /** The page's memory after garbage collection, in MB, without the answer's own text. */
  const heap = async () => {
    await devtools.send('HeapProfiler.collectGarbage')
    const { metrics } = await devtools.send('Performance.getMetrics')
    return metrics.find(({ name }) => name === 'JSHeapUsedSize')!.value / 1e6
  }
  await page.locator('.example').first().waitFor()
  await page.evaluate(() => {
    const tasks: number[] = []
    Object.assign(globalThis, { tasks })
    new PerformanceObserver(list => {
      for (const { duration } of list.getEntries()) tasks.push(duration)
    }).observe({ type: 'longtask', buffered: false })
  })
  await ask(page, 'playback', { count: TOKENS, rate: RATE })
  const half = await page.waitForFunction(
    half => Number(document.querySelector('[data-rail="B"] .progress b')?.textContent) >= half,
    TOKENS / 2,
  )
  await half.dispose()
  const atHalf = await heap()
  // Collecting garbage for the measurement is a long task itself.
  const collected = await page.evaluate(
    () => (globalThis as unknown as { tasks: number[] }).tasks.splice(0).length,
  )
  t.equal(await answerOn(page, 'A'), await answerOn(page, 'B'))
  const tasks = await page.evaluate(() => (globalThis as unknown as { tasks: number[] }).tasks)
  const atEnd = await heap()
  const longest = Math.max(0, ...tasks)
  t.comment(
    `longest task ${longest} ms in the second half; ${collected} and ${tasks.length} tasks over 50 ms in the first ` +
      `and second half; heap ${atHalf.toFixed(1)} MB at half, ${atEnd.toFixed(1)} MB at the end`,
  )
})
