/** One fast run, twenty subscribers: everybody gets all of it, in order, once, and the server's memory stays bounded. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import { fetchPage, follow, isEvent, type Stream, seqOf, type Transport } from '../fixtures/wire-clients.ts'
import { createSession, startRun } from '../fixtures/wire-server.ts'

const COUNT = 100_000
const EACH = 10
const MB = 1024 * 1024

interface Weight {
  rss: number
  heapUsed: number
  external: number
  cpuMs: number
}

async function startServer(t: Test): Promise<{ url: string; weigh(): Promise<Weight> }> {
  const file = fileURLToPath(new URL('../fixtures/wire-fanout-server.ts', import.meta.url))
  // The test runner's own loader is not for the child.
  const { NODE_OPTIONS: _, ...env } = process.env
  // V8 releases differ in how large the young generation grows (16 or 32 MiB a half) before it is collected, and keep
  // its pages afterwards: 50 MB of resident memory that the server does not hold. One size makes releases comparable.
  const execArgv = ['--expose-gc', '--max-semi-space-size=16', ...TYPESCRIPT]
  const child: ChildProcess = fork(file, { execArgv, env })
  t.teardown(async () => {
    const gone = once(child, 'exit')
    child.disconnect()
    await gone
  })
  const answer = async <T>() => (await once(child, 'message'))[0] as T
  const { url } = await answer<{ url: string }>()
  return {
    url,
    weigh() {
      const weight = answer<Weight>()
      child.send('weigh')
      return weight
    },
  }
}

/** Takes everything up to the run's end and tells what was wrong with it. */
async function consume(
  stream: Stream,
): Promise<{ flaw?: string; text: string; events: number; head: number }> {
  let head = 0
  let text = ''
  let events = 0
  for (;;) {
    const got = await stream.next()
    if (!isEvent(got)) continue
    const { type, from, offset, data } = got.message
    const first = seqOf(from ?? offset)
    if (first !== head + 1) return { flaw: `${first} after ${head}`, text, events, head }
    head = seqOf(offset)
    events++
    if (type === 'text.delta') text += data?.['delta']
    if (type === 'run.completed') return { text, events, head }
  }
}

t.test(`${COUNT} events to ${2 * EACH} subscribers`, async t => {
  const { url, weigh } = await startServer(t)
  await createSession(url, 's')
  const subscribers: { transport: Transport; stream: Stream }[] = []
  for (let i = 0; i < EACH; i++) {
    for (const transport of ['sse', 'websocket'] as const) {
      // Most are folded for once they lag, as they do behind such a run; some want every event as it was.
      const stream = await follow(t, transport, url, 's', { replay: i % 5 === 0 ? 'full' : 'compact' })
      await stream.until('caught-up')
      subscribers.push({ transport, stream })
    }
  }
  const before = await weigh()
  const began = performance.now()
  const consuming = subscribers.map(({ stream }) => consume(stream))
  await startRun(url, 's', 'playback', { count: COUNT, rate: 0 })
  const results = await Promise.all(consuming)
  const seconds = (performance.now() - began) / 1000
  const after = await weigh()

  // run.started, text.start, the deltas, text.end, run.completed
  const total = COUNT + 4
  t.same(
    results.map(({ flaw, head }) => ({ flaw, head })),
    results.map(() => ({ flaw: undefined, head: total })),
    'all of it, in order, once',
  )
  let logged = ''
  for (let next: string | undefined; ; ) {
    const page = await fetchPage(url, 's', { after: next })
    for (const { type, data } of page.events) if (type === 'text.delta') logged += data?.['delta']
    next = page.next
    if (page.caughtUp) break
  }
  t.ok(logged.length > COUNT)
  t.ok(
    results.every(({ text }) => text === logged),
    'the text of each is what the log holds',
  )

  const grown = (after.rss - before.rss) / MB
  const mb = (bytes: number) => (bytes / MB).toFixed(1)
  const counts = results.map(({ events }) => events)
  t.comment(
    `rss ${mb(before.rss)} -> ${mb(after.rss)} MB, heap ${mb(before.heapUsed)} -> ${mb(after.heapUsed)} MB`,
  )
  t.comment(`${seconds.toFixed(1)} s, server CPU ${((after.cpuMs - before.cpuMs) / 1000).toFixed(1)} s`)
  t.comment(`events after folding: ${Math.min(...counts)} to ${Math.max(...counts)}`)
  t.equal(counts.filter(count => count === total).length >= 4, true, 'in full for those who want it so')
  const held = (after.heapUsed + after.external - before.heapUsed - before.external) / MB
  t.ok(held < 60, `the server holds ${held.toFixed(1)} MB more, the log of ${total} events included`)
  t.ok(grown < 100, `resident memory grew by ${grown.toFixed(1)} MB`)
})
