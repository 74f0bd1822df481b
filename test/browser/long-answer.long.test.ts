/** A very long answer on both rails: what it costs the page. The figures are printed, not judged by time. */
import type { CDPSession } from 'playwright-core'
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
  const firstHalf = await traceTasks(devtools)
  await ask(page, 'playback', { count: TOKENS, rate: RATE })
  const half = await page.waitForFunction(
    half => Number(document.querySelector('[data-rail="B"] .progress b')?.textContent) >= half,
    TOKENS / 2,
  )
  await half.dispose()
  t.comment(`first half: ${await firstHalf()}`)
  // Neither collecting garbage nor reading the whole answer is a task of the page.
  const atHalf = await heap()
  const secondHalf = await traceTasks(devtools)
  for (const rail of ['A', 'B']) await page.locator(`[data-rail="${rail}"] .outcome`).waitFor()
  t.comment(`second half: ${await secondHalf()}`)
  t.equal(await answerOn(page, 'A'), await answerOn(page, 'B'))
  t.comment(`heap ${atHalf.toFixed(1)} MB at half, ${(await heap()).toFixed(1)} MB at the end`)
})

/** What the page's thread does until the function that is returned is called, which tells its longest tasks. */
async function traceTasks(devtools: CDPSession): Promise<() => Promise<string>> {
  const events: TraceEvent[] = []
  const take = ({ value }: { value: object[] }) => events.push(...(value as TraceEvent[]))
  devtools.on('Tracing.dataCollected', take)
  await devtools.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel'], excludedCategories: ['*'] },
  })
  return async () => {
    const complete = new Promise(resolve => devtools.once('Tracing.tracingComplete', resolve))
    await devtools.send('Tracing.end')
    await complete
    devtools.off('Tracing.dataCollected', take)
    const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`
    const main = new Set(events.filter(({ args }) => args?.name === 'CrRendererMain').map(threadOf))
    const tasks = events.filter(event => event.name.endsWith('RunTask') && main.has(threadOf(event)))
    const longest = (times: readonly number[]) => (Math.max(0, ...times) / 1000).toFixed(1)
    // Beside other work a task waits for the processor, so time and work differ.
    return (
      `the longest of ${tasks.length} tasks needed ${longest(tasks.map(({ tdur = 0 }) => tdur))} ms of the processor ` +
      `and took ${longest(tasks.map(({ dur = 0 }) => dur))} ms`
    )
  }
}

/** An event of Chromium's trace; times are in µs. */
interface TraceEvent {
  name: string
  pid: number
  tid: number
  args?: { name?: string }
  /** How long it took. */
  dur?: number
  /** How long its thread had the processor meanwhile. */
  tdur?: number
}
