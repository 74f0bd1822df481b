/** Retention on every driver: subscribers get `gap`, the session's state stays complete, deletion leaves nothing. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { createRedisLog } from '../../src/log/redis.ts'
import type { RetentionLimits } from '../../src/sessions/retention.ts'
import { rows } from '../fixtures/lmdb-rows.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { fetchPage, follow, isEvent, transports } from '../fixtures/wire-clients.ts'
import {
  call,
  command,
  eventually,
  ingest,
  ingestLines,
  serve,
  startRun,
  state,
} from '../fixtures/wire-server.ts'

interface Store {
  log: EventLog
  /** The names of keys or tables in the store, without the log's own counters. */
  held(): Promise<unknown>
}

const seqOf = (offset: string | undefined) => Number(offset?.split('-')[1])

async function fill(url: string, count: number, data: unknown = 'x'): Promise<void> {
  const events = Array.from({ length: count }, () => ({ type: 'x.n', data }))
  await ingest(url, 's', events)
}

/** A server on a shared log. */
function on(t: Test, log: EventLog, more: object = {}) {
  return serve(t, { log: { ...log, close: async () => {} }, ...more })
}

function retaining(t: Test, log: EventLog, retention: RetentionLimits) {
  // Redis keeps the index entry of a lease until the lease would have expired.
  return on(t, log, { retention, retentionEveryMs: 20, leaseMs: 300, producerLeaseMs: 300 })
}

function retention(t: Test, open: (t: Test) => Promise<Store>): void {
  t.test('by count: the newest events stay, and older cursors get a gap', async t => {
    const { log } = await open(t)
    const { url } = await retaining(t, log, { events: 10 })
    await fill(url, 5)
    const { head: cursor } = await state(url, 's')
    await fill(url, 20)
    await eventually(t, 'it is trimmed', async () => seqOf((await state(url, 's')).earliest) === 16)
    for (const transport of transports) {
      for (const after of [undefined, cursor]) {
        const stream = await follow(t, transport, url, 's', { after })
        const got = await stream.until(({ message }) => seqOf(message.offset) === 25)
        const gaps = got.map(({ message }) => message).filter(({ type }) => type === 'gap')
        t.match(
          gaps.map(({ from, to, reason }) => [seqOf(from), seqOf(to), reason]),
          [[after ? 6 : 1, 15, 'trimmed']],
          `${transport} after ${after ?? 'nothing'}`,
        )
        t.equal(gaps.length, 1)
        t.same(
          got.filter(isEvent).map(({ message }) => seqOf(message.offset)),
          Array.from({ length: 10 }, (_, i) => i + 16),
        )
      }
    }
    await fill(url, 3)
    await eventually(t, 'and again', async () => seqOf((await state(url, 's')).earliest) === 19)
  })

  t.test('by bytes: the limit is kept within 64 KiB', async t => {
    const { log } = await open(t)
    const { url } = await retaining(t, log, { bytes: 300_000 })
    for (let i = 0; i < 20; i++) await fill(url, 5, 'x'.repeat(10_000))
    await eventually(t, 'it is trimmed', async () => seqOf((await state(url, 's')).earliest) > 1)
    await eventually(t, 'trimmed to the limit', async () => {
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

  t.test('by age: old events are trimmed, also in sessions that do not change', async t => {
    const { log } = await open(t)
    const old = await on(t, log)
    await fill(old.url, 1000)
    const { url } = await retaining(t, log, { ageMs: 200 })
    await eventually(t, 'all old events are trimmed', async () => {
      const { earliest, head } = await state(url, 's')
      return seqOf(earliest) === seqOf(head) + 1 && seqOf(head) === 1000
    })
    await fill(url, 2)
    const page = await fetchPage(url, 's', {})
    t.equal(page.events.length, 2, 'the young events stay')
  })

  t.test('runs and questions are known after their events are trimmed', async t => {
    const { log } = await open(t)
    const { url } = await retaining(t, log, { events: 2 })
    const other = await on(t, log)
    await fill(url, 1)
    t.match((await state(other.url, 's')).runs, [])
    const runId = await startRun(url, 's', 'asking', { questions: [{ requestId: 'q' }] })
    await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
    await fill(url, 20)
    await eventually(t, 'it is trimmed', async () => seqOf((await state(url, 's')).earliest) > 20)
    for (const node of [url, other.url]) {
      const { runs, pendingInputs } = await state(node, 's')
      t.match(runs, [{ runId, status: 'running' }], 'also in a process that had read fewer events')
      t.match(pendingInputs, [{ requestId: 'q' }])
    }
  })

  t.test('a deleted session leaves nothing in the store', async t => {
    const { log, held } = await open(t)
    await log.create('first', {})
    await log.delete('first')
    const before = await held()
    const { url } = await retaining(t, log, { events: 1500 })
    const lines = Array.from({ length: 2500 }, (_, i) => JSON.stringify({ type: 'x.n', data: i })).join('\n')
    await ingestLines(url, 's', lines, '?producer=p&seq=0')
    await startRun(url, 's', 'idle', null, { key: 'k1' })
    await startRun(url, 's', 'asking', { questions: [{ requestId: 'q', expiresAt: Date.now() + 60_000 }] })
    await command(url, 's', { type: 'run.cancel', runId: 'unknown' })
    await ingest(url, 's', { type: 'run.started', runId: 'external', data: { agent: 'a', input: null } })
    const stream = await follow(t, 'websocket', url, 's')
    await stream.until('caught-up')
    await eventually(t, 'it is trimmed', async () => seqOf((await state(url, 's')).earliest) > 1000)
    t.notSame(await held(), before)
    t.equal((await call(`${url}/v1/sessions/s`, { method: 'DELETE' })).status, 204)
    t.match((await stream.until('end')).at(-1)?.message, { reason: 'deleted' })
    const text = JSON.stringify(before)
    let after = ''
    const isEmpty = async () => {
      after = JSON.stringify(await held())
      return after === text
    }
    await eventually(t, 'nothing is left in the store', isEmpty).catch(() => t.equal(after, text))
  })
}

t.test('retention in memory', async t => {
  retention(t, async t => {
    const log = createMemoryLog()
    t.teardown(() => log.close())
    return {
      log,
      held: async () => [await log.list(undefined, 10), await log.expired(10), await log.marks('s')],
    }
  })
})

t.test('retention in LMDB', async t => {
  let stores = 0
  retention(t, async t => {
    const folder = join(t.testdir(), `log${stores++}`)
    const log = await openLmdbLog({ folder })
    t.teardown(() => log.close())
    return {
      log,
      async held() {
        await log.settled()
        return rows(folder)
      },
    }
  })
})

t.test('retention in Redis', { skip: noRedis }, async t => {
  const { url } = await RedisServer.start(t)
  const admin = new Redis(url)
  t.teardown(() => admin.disconnect())
  retention(t, async t => {
    const prefix = `${randomUUID()}:`
    const log = await createRedisLog({ url, prefix, warn() {} })
    t.teardown(() => log.close())
    return {
      log,
      /** All keys except those that mark a session as deleted, which expire. */
      async held() {
        const keys = (await admin.keys(`${prefix}*`)).sort()
        const ends = await Promise.all(keys.map(key => admin.ttl(key)))
        return keys.filter((key, i) => !(key.endsWith(':d') && (ends[i] as number) > 0))
      },
    }
  })
})
