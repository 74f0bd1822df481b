/** The inspector on a log of 100,000 sessions on disk, and on fewer in memory and in Redis: every list is whole, in order, and its times are printed. */
import t, { type Test } from 'tap'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { createRedisLog } from '../../src/log/redis.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { each, serve } from '../fixtures/wire-server.ts'

const SESSIONS = 100_000

/** Memory and Redis: the same pages, in less time. */
const FEWER_SESSIONS = 20_000

/** Sessions that are made at a time. */
const WIDTH = 500

interface Page {
  sessions: { sessionId: string; activeAt: number }[]
  next?: string
}

async function inspected(t: Test, log: EventLog, sessions: number): Promise<void> {
  const { url, server } = await serve(t, { inspector: true, log })
  const name = (i: number) => `session-${String(i).padStart(6, '0')}`
  const began = performance.now()
  await each(
    sessions,
    async i => {
      const body = { type: 'x.note', data: { i } }
      await server.journal.append(name(i), [body], { create: true, by: `user-${i % 1000}` })
    },
    WIDTH,
  )
  t.comment(`${sessions} sessions were made in ${Math.round(performance.now() - began)} ms`)

  const get = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${url}${path}`)
    if (response.status !== 200) throw new Error(`${path}: ${response.status}`)
    return (await response.json()) as T
  }
  /** Prints the times of 20 requests. */
  const timed = async (what: string, path: string) => {
    const times: number[] = []
    for (let i = 0; i < 20; i++) {
      const start = performance.now()
      await get(path)
      times.push(performance.now() - start)
    }
    times.sort((a, b) => a - b)
    t.comment(`${what}: median ${times[10]!.toFixed(1)} ms, longest ${times[19]!.toFixed(1)} ms`)
  }

  const seen = new Set<string>()
  let last = Number.POSITIVE_INFINITY
  let rises = 0
  let deep = ''
  for (let after = ''; ; ) {
    const page = await get<Page>(`/v1/sessions?limit=1000${after}`)
    for (const { sessionId, activeAt } of page.sessions) {
      seen.add(sessionId)
      if (activeAt > last) rises++
      last = activeAt
    }
    if (!page.next) break
    after = `&after=${page.next}`
    if (seen.size === sessions * 0.9) deep = after
  }
  t.equal(seen.size, sessions, 'each session is on one page')
  t.equal(rises, 0, 'the last active ones come first')
  t.ok(deep, 'there is a page behind nine tenths')
  const page = await get<Page>(`/v1/sessions?limit=50${deep}`)
  t.equal(page.sessions.length, 50)

  const one = `/v1/inspect/sessions/${name(sessions / 2)}`
  await timed('first page of 50', '/v1/sessions?limit=50')
  await timed('page of 50 behind nine tenths', `/v1/sessions?limit=50${deep}`)
  await timed('page of 1000 behind nine tenths', `/v1/sessions?limit=1000${deep}`)
  await timed('figures', '/v1/inspect')
  await timed('state of a session', `/v1/sessions/${name(sessions / 2)}`)
  await timed('subscribers of a session', `${one}/subscribers`)
  await timed('search in a session', `${one}/search?text=note`)
}

t.test('memory', t => inspected(t, createMemoryLog(), FEWER_SESSIONS))

t.test('lmdb', async t => inspected(t, await openLmdbLog({ folder: t.testdir() }), SESSIONS))

t.test('redis', { skip: noRedis }, async t => {
  const { url } = await RedisServer.start(t)
  await inspected(t, await createRedisLog({ url, warn: () => {} }), FEWER_SESSIONS)
})
