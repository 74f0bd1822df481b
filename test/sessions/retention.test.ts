/** Retention: what goes is told by `gap`, and the session's state stays complete. */
import t, { type Test } from 'tap'
import { createMemoryLog } from '../../src/log/memory.ts'
import type { RetentionLimits } from '../../src/sessions/retention.ts'
import { fetchPage, follow, isEvent } from '../fixtures/wire-clients.ts'
import { eventually, ingest, serve, startRun, state } from '../fixtures/wire-server.ts'

const seqOf = (offset: string | undefined) => Number(offset?.split('-')[1])

async function fill(url: string, count: number, data: unknown = 'x'): Promise<void> {
  const events = Array.from({ length: count }, () => ({ type: 'x.n', data }))
  await ingest(url, 's', events)
}

function retaining(t: Test, retention: RetentionLimits, log = createMemoryLog()) {
  return serve(t, { log, retention, retentionEveryMs: 20 })
}

t.test('by count: the newest stay, readers from the beginning get a gap', async t => {
  const { url } = await retaining(t, { events: 10 })
  await fill(url, 25)
  await eventually(t, 'it is trimmed', async () => seqOf((await state(url, 's')).earliest) === 16)
  for (const transport of ['sse', 'websocket', 'long-poll'] as const) {
    const stream = await follow(t, transport, url, 's')
    const got = await stream.until('caught-up')
    const gap = got.find(({ message }) => message.type === 'gap')?.message
    t.match([seqOf(gap?.from), seqOf(gap?.to), gap?.reason], [1, 15, 'trimmed'], transport)
    t.same(
      got.filter(isEvent).map(({ message }) => seqOf(message.offset)),
      Array.from({ length: 10 }, (_, i) => i + 16),
    )
  }
  await fill(url, 3)
  await eventually(t, 'and again', async () => seqOf((await state(url, 's')).earliest) === 19)
})

t.test('by bytes: as much as is wanted stays, within 64 KiB', async t => {
  const { url } = await retaining(t, { bytes: 300_000 })
  for (let i = 0; i < 20; i++) await fill(url, 5, 'x'.repeat(10_000))
  await eventually(t, 'it is trimmed', async () => seqOf((await state(url, 's')).earliest) > 1)
  await eventually(t, 'as far as it may be', async () => {
    let bytes = 0
    for (let after: string | undefined; ; ) {
      const page = await fetchPage(url, 's', { after })
      bytes += page.texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
      if (page.caughtUp) break
      after = page.next
    }
    return bytes >= 300_000 && bytes <= 300_000 + 64 * 1024
  })
})

t.test('by age: the old go, also of sessions that nobody touches', async t => {
  const log = createMemoryLog()
  const old = await serve(t, { log: { ...log, close: async () => {} } })
  await fill(old.url, 1000)
  const { url } = await retaining(t, { ageMs: 200 }, log)
  const young = await fetchPage(url, 's', { limit: 1 })
  t.ok(young.events.length <= 1)
  await eventually(t, 'all are gone', async () => {
    const { earliest, head } = await state(url, 's')
    return seqOf(earliest) === seqOf(head) + 1 && seqOf(head) === 1000
  })
  await fill(url, 2)
  const page = await fetchPage(url, 's', {})
  t.equal(page.events.length, 2, 'the young stay')
})

t.test('runs and questions are known after their events are gone', async t => {
  const log = createMemoryLog()
  const { url } = await retaining(t, { events: 2 }, log)
  const other = await serve(t, { log: { ...log, close: async () => {} } })
  await fill(url, 1)
  t.match((await state(other.url, 's')).runs, [])
  const runId = await startRun(url, 's', 'asking', { questions: [{ requestId: 'q' }] })
  await fill(url, 20)
  await eventually(t, 'it is trimmed', async () => seqOf((await state(url, 's')).earliest) > 20)
  for (const node of [url, other.url]) {
    const { runs, pendingInputs } = await state(node, 's')
    t.match(runs, [{ runId, status: 'running' }], 'also by a process that had folded less')
    t.match(pendingInputs, [{ requestId: 'q' }])
  }
})
