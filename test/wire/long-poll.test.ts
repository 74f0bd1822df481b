/** Pages and long-poll: the last resort where streams are blocked, with the same cursor. */
import t from 'tap'
import { epochOf, fetchPage, type Message, type Page, seqOf } from '../fixtures/wire-clients.ts'
import { call, command, createSession, ingest, logged, serve, startRun } from '../fixtures/wire-server.ts'

const numbers = (count: number, first = 0) =>
  Array.from({ length: count }, (_, i) => ({ type: 'x.n', data: first + i }))

const dataOf = ({ events }: Page) => events.map(({ data }) => data as unknown)

/**
 * What a page answers, with how long it took in ms. Fails unless that is before a page has ended which waits 20 s for
 * events that never come: an order of events, as how long anything takes is the machine's.
 */
async function beforePatience(url: string, work: () => Promise<Page>): Promise<{ ms: number; value: Page }> {
  await createSession(url, 'nobody')
  const stop = new AbortController()
  const patient = fetchPage(url, 'nobody', { wait: 20_000 }, { signal: stop.signal })
  const ended = patient.then(() => {
    throw new Error('it waited for as long as it may')
  })
  ended.catch(() => {})
  try {
    return await Promise.race([timed(work()), ended])
  } finally {
    stop.abort()
  }
}

/** How long it took, in ms, and what came of it. */
async function timed<T>(work: Promise<T>): Promise<{ ms: number; value: T }> {
  const began = performance.now()
  const value = await work
  return { ms: performance.now() - began, value }
}

t.test('a page: its fields, its cursor, its end', async t => {
  const wire = await serve(t)
  const { url } = wire
  await createSession(url, 's')
  const empty = await fetchPage(url, 's')
  const { texts: _, response, ...fields } = empty
  t.same(Object.keys(fields), ['events', 'controls', 'head', 'earliest', 'next', 'caughtUp'])
  const epoch = epochOf(empty.head)
  t.same(fields, {
    events: [],
    controls: [],
    head: `${epoch}-0`,
    earliest: `${epoch}-1`,
    next: `${epoch}-0`,
    caughtUp: true,
  })
  t.equal(response.headers.get('cache-control'), 'no-store')
  t.match(response.headers.get('vary'), 'Accept')

  await ingest(url, 's', numbers(10))
  const first = await fetchPage(url, 's', { limit: 4 })
  t.same(dataOf(first), [0, 1, 2, 3])
  t.match(first, { head: `${epoch}-10`, earliest: `${epoch}-1`, next: `${epoch}-4`, caughtUp: false })
  const second = await fetchPage(url, 's', { limit: 6, after: first.next })
  t.same(dataOf(second), [4, 5, 6, 7, 8, 9])
  t.match(second, { next: `${epoch}-10`, caughtUp: true })
  const last = await fetchPage(url, 's', { after: second.next })
  t.same(dataOf(last), [])
  t.match(last, { next: `${epoch}-10`, caughtUp: true, controls: [] })
})

t.test('a page holds at most 1000 events or 1 MiB, and at least one event', async t => {
  const wire = await serve(t)
  const { url } = wire
  await ingest(url, 'many', numbers(1500))
  for (const limit of [undefined, 1000]) {
    t.equal((await fetchPage(url, 'many', { limit })).events.length, 1000, `limit=${limit}`)
  }
  const data = 'ü'.repeat(100_000)
  for (let i = 0; i < 12; i++) await ingest(url, 'large', { type: 'x.large', data })
  await ingest(url, 'large', { type: 'x.large', data: 'ü'.repeat(520_000) })
  const sizes: number[] = []
  for (let after: string | undefined; ; ) {
    const page = await fetchPage(url, 'large', { after })
    const bytes = page.texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    t.ok(bytes <= 1024 * 1024 || page.texts.length === 1)
    sizes.push(page.texts.length)
    after = page.next
    if (page.caughtUp) break
  }
  t.same(sizes, [5, 5, 2, 1])
})

t.test('wait: answers at once with events, otherwise when one arrives, otherwise empty', async t => {
  const wire = await serve(t)
  const { url } = wire
  await ingest(url, 's', numbers(3))
  const { next, head } = await fetchPage(url, 's')
  const there = await beforePatience(url, () => fetchPage(url, 's', { wait: 20_000 }))
  t.same(dataOf(there.value), [0, 1, 2])

  const reset = await beforePatience(url, () => fetchPage(url, 's', { wait: 20_000, after: '1-1' }))
  t.match(reset.value.controls, [{ type: 'reset', reason: 'epoch' }])

  const over = await beforePatience(url, () => fetchPage(url, 's', { wait: 250, after: next }))
  t.match(over.value, { events: [], controls: [], next, head, caughtUp: true })
  t.ok(over.ms >= 245, `${over.ms} ms`)

  const waiting = Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      beforePatience(url, () => fetchPage(url, 's', { wait: i % 2 === 0 ? 20_000 : 30_000, after: next })),
    ),
  )
  // One round trip after theirs, so that most of them wait.
  await call(`${url}/healthz`)
  await ingest(url, 's', numbers(10, 3))
  const came = await waiting
  for (const { value } of came) {
    t.same(dataOf(value), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 'what came together comes together')
    t.equal(value.caughtUp, true)
  }
})

t.test("a wait for a run's events is not woken by others, and ends with the run", async t => {
  const wire = await serve(t)
  const { url } = wire
  const mine = await startRun(url, 's', 'steered', {})
  const other = await startRun(url, 's', 'steered', {})
  const steer = (runId: string, text: string) => command(url, 's', { type: 'input.steer', runId, text })
  let { next } = await fetchPage(url, 's', { run: mine })
  const waiting = timed(fetchPage(url, 's', { run: mine, after: next, wait: 20_000 }))
  for (let i = 0; i < 5; i++) await steer(other, `${i}`)
  const short = await timed(fetchPage(url, 's', { run: mine, after: next, wait: 200 }))
  t.same(short.value.events, [])
  t.ok(short.ms >= 195, 'it waits to the end')
  t.ok(seqOf(short.value.next) > seqOf(next), 'its cursor has passed what the others said')
  await steer(mine, 'hello')
  const { value: page } = await waiting
  t.ok(page.events.length > 0)
  t.ok(page.events.every(({ runId }) => runId === mine))

  next = short.value.next
  const types: string[] = []
  await steer(mine, 'end')
  let end: Message | undefined
  while (!end) {
    const { events, controls, ...page } = await fetchPage(url, 's', { run: mine, after: next, wait: 20_000 })
    types.push(...events.map(({ type }) => type))
    end = controls[0]
    next = page.next
    t.equal(page.caughtUp || !end, true)
  }
  t.same(types.slice(-1), ['run.completed'])
  t.match(end, { type: 'end', sessionId: 's', runId: mine, reason: 'run-ended' })
  const after = await beforePatience(url, () => fetchPage(url, 's', { run: mine, after: next, wait: 20_000 }))
  t.match(after.value, { events: [], controls: [{ type: 'end' }], caughtUp: true })
})

t.test('before pages backwards', async t => {
  const wire = await serve(t)
  const { url } = wire
  const run = (type: string, data: object) => ({ type, runId: 'r', data })
  await ingest(url, 's', [
    { type: 'x.n', data: 1 },
    run('run.started', { agent: 'a', input: 1 }),
    ...['a', 'b', 'c'].map(delta => run('text.delta', { partId: 'p', delta })),
    { type: 'x.n', data: 6 },
    run('run.completed', { finishReason: 'stop' }),
    { type: 'x.n', data: 8 },
  ])
  const log = await logged(wire, 's')
  const epoch = epochOf(JSON.parse(log[0] as string).offset)
  const at = (seq: number) => `${epoch}-${seq}`
  const page = (before: string, params: object = {}) =>
    fetchPage(url, 's', { before, replay: 'full', ...params })
  t.same((await page(at(8))).texts, log.slice(0, 7))
  const two = await page(at(7), { limit: 2 })
  t.same(two.texts, log.slice(4, 6))
  t.match(two, { next: at(5), caughtUp: false, head: at(8), earliest: at(1) })
  const first = await page(at(1))
  t.match(first, { events: [], next: at(1), caughtUp: true })
  t.match(await page(at(0)), { events: [], caughtUp: true })
  t.match(await page('1-5', { limit: 1 }), {
    controls: [{ type: 'reset', reason: 'epoch' }],
    events: [{ data: 8 }],
  })
  t.match(await page(at(99), { limit: 1 }), { controls: [{ type: 'reset', reason: 'ahead' }] })
  const mine = log.filter(json => JSON.parse(json).runId === 'r')
  t.same((await page(at(8), { run: 'r' })).texts, mine)
  t.same((await page(at(7), { run: 'r', limit: 2 })).texts, mine.slice(2, 4))
  const folded = await page(at(8), { run: 'r', replay: 'compact' })
  t.match(folded.events, [
    { type: 'run.started' },
    { data: { delta: 'abc' }, from: at(3), offset: at(5) },
    {},
  ])
})
