/** Producers append each event once and in order, whatever happens to their connections and to the server. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ClientError } from '../../client/index.ts'
import { createProducer, type Producer, type ProducerOptions } from '../../client/producer/index.ts'
import { createServer, type ServerOptions, TwinrailError, type TwinrailServer } from '../../src/index.ts'
import { between, random, seedOf } from '../../src/log/contract/random.ts'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import { cutter } from '../fixtures/cutter.ts'
import { connect, until } from './stage.ts'

async function serve(t: Test, options: ServerOptions = {}): Promise<{ server: TwinrailServer; url: string }> {
  const server = await createServer({ schemaMs: 60_000, ...options })
  t.teardown(() => server.close({ graceMs: 0 }))
  return { server, url: await server.listen({ port: 0 }) }
}

function produce(t: Test, url: string, options: Partial<ProducerOptions> = {}): Producer {
  const producer = createProducer({ url, session: 's', backoff: { baseMs: 5, capMs: 20 }, ...options })
  t.teardown(() => producer.close())
  return producer
}

async function logged(t: Test, url: string, session = 's') {
  const handle = connect(t, url).session(session)
  const events = []
  for (let after: string | undefined; ; ) {
    const page = await handle.page({ after, replay: 'full' })
    events.push(...page.events)
    if (page.caughtUp) return events
    after = page.next
  }
}

const x = (data: unknown) => ({ type: 'x.n' as const, data })

/** `fetch` that counts the requests, and holds each back while `gate` is set. */
function watchedFetch() {
  const seen: { query: URLSearchParams; events: unknown[] }[] = []
  const watched = {
    seen,
    gate: undefined as Promise<void> | undefined,
    fetch: (async (input, init) => {
      seen.push({
        query: new URL(String(input)).searchParams,
        events: JSON.parse(String(init?.body)) as unknown[],
      })
      await watched.gate
      return fetch(input, init)
    }) as typeof fetch,
  }
  return watched
}

t.test('events of one turn go in one request; append tells where they are', async t => {
  const { url } = await serve(t)
  const { fetch, seen } = watchedFetch()
  const producer = produce(t, url, { fetch })
  const appended = await Promise.all([
    producer.append(x(1)),
    producer.append([x(2), x(3)]),
    producer.append([]),
    producer.append(x('é😀')),
  ])
  const log = await logged(t, url)
  t.same(
    log.map(({ data }) => data),
    [1, 2, 3, 'é😀'],
  )
  t.same(
    appended.map(({ offset }) => offset),
    [log[0]!.offset, log[1]!.offset, undefined, log[3]!.offset],
  )
  t.equal(seen.length, 1)
  await producer.append(x(5))
  t.same(
    seen.map(({ query }) => query.get('seq')),
    ['1', '5'],
  )
})

t.test('a batch has its limits, and waits for more as long as it may', async t => {
  const { url } = await serve(t)
  const { fetch, seen } = watchedFetch()
  const producer = produce(t, url, { fetch, batchEvents: 10, batchBytes: 2000, lingerMs: 60_000 })
  await Promise.all(Array.from({ length: 30 }, (_, i) => producer.append(x(i))))
  t.same(
    seen.map(({ events }) => events.length),
    [10, 10, 10],
    'by events',
  )
  const large = Array.from({ length: 6 }, (_, i) => producer.append(x(String(i).repeat(1000))))
  await Promise.all(large.slice(0, -1))
  await producer.flush()
  t.same(
    seen.slice(3).map(({ events }) => events.length),
    [1, 1, 1, 1, 1, 1],
    'by bytes',
  )
  const last = producer.append(x('last'))
  await producer.flush()
  t.ok((await last).offset, 'flush does not wait')
  t.equal((await logged(t, url)).length, 37)
})

t.test('nothing is lost, doubled or moved when connections are cut at random', async t => {
  const EVENTS = 150
  const next = random(seedOf(t))
  const { url } = await serve(t)
  const proxy = await cutter(t, url)
  const cuts = { made: 0, over: false }
  const cutting = (async () => {
    while (!cuts.over) {
      await new Promise(resolve => setTimeout(resolve, between(next, 0, 20)))
      proxy.cutAfter = [0, 40, 150, 400, Infinity][between(next, 0, 4)]!
      proxy.cutAll()
      cuts.made += 1
    }
  })()
  const producers = ['a', 'b', 'c'].map(() => produce(t, proxy.url, { batchEvents: 20 }))
  const offsets = new Map<string, string>()
  await Promise.all(
    producers.map(async (producer, p) => {
      const run = producer.run('theirs', null)
      for (let i = 0; i < EVENTS; ) {
        const at = i
        const count = between(next, 1, 5)
        const events = Array.from({ length: count }, (_, j) => x([p, i + j]))
        await producer.ready
        const appended = run.append(events).then(({ offset }) => offsets.set(`${p} ${at}`, offset as string))
        if (next() < 0.3) await appended
        i += count
      }
      await run.end()
      await producer.end()
    }),
  )
  cuts.over = true
  await cutting
  t.ok(cuts.made > 20, `${cuts.made} times`)
  const log = await logged(t, url)
  for (const p of producers.keys()) {
    const own = log.filter(({ type, data }) => type === 'x.n' && (data as number[])[0] === p)
    t.same(
      own.map(({ data }) => (data as number[])[1]),
      own.map((_, i) => i),
    )
    t.ok(own.length >= EVENTS)
    for (const { offset, data } of own) {
      const [, i] = data as number[]
      const told = offsets.get(`${p} ${i}`)
      if (told !== undefined && told !== offset) t.equal(told, offset, `${p} ${i}`)
    }
  }
  t.equal(log.filter(({ type }) => type === 'run.completed').length, 3)
})

t.test('a server over LMDB is restarted again and again meanwhile', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-producer-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  let port = 0
  let server: TwinrailServer
  const start = async () => {
    server = await createServer({ log: await openLmdbLog({ folder }), retryMs: 10, spreadMs: 10 })
    return server.listen({ port })
  }
  const url = await start()
  port = Number(new URL(url).port)
  t.teardown(() => server.close({ graceMs: 0 }))
  const producer = produce(t, url, { writer: 'job', bufferBytes: 4096 })
  let appended = 0
  const run = producer.run('theirs', null)
  const appending = (async () => {
    for (; appended < 2000; appended++) {
      await producer.ready
      run.append(x(appended)).catch(error => t.fail(error))
    }
    await run.end({ type: 'run.completed', data: { result: 'all' } })
  })()
  for (let i = 1; i <= 4; i++) {
    await until(() => appended > i * 350)
    await server!.close({ graceMs: 0 })
    await start()
  }
  await appending
  const log = await logged(t, url)
  t.same(
    log.slice(1, -1).map(({ data }) => data),
    Array.from({ length: 2000 }, (_, i) => i),
  )
  t.match(log.at(-1), { type: 'run.completed', data: { result: 'all', finishReason: 'stop' } })
})

t.test('what is unacknowledged is bounded', async t => {
  const { url } = await serve(t)
  const watched = watchedFetch()
  let open = () => {}
  watched.gate = new Promise(resolve => {
    open = resolve
  })
  const producer = produce(t, url, { fetch: watched.fetch, bufferBytes: 10_000 })
  const pending: Promise<unknown>[] = []
  const text = 'x'.repeat(1000)
  let refused: unknown
  while (!refused && pending.length < 100) {
    const one = producer.append(x(text))
    pending.push(
      one.catch(error => {
        refused = error
      }),
    )
    await Promise.resolve()
    await Promise.resolve()
    await Promise.resolve()
  }
  t.match(refused, { code: 'buffer-full', retryable: true })
  t.equal(pending.length, 11, 'ten events of a thousand bytes, and the one that was refused')
  let isReady = false
  const ready = producer.ready.then(() => {
    isReady = true
  })
  await until(() => watched.seen.length === 1)
  t.notOk(isReady)
  open()
  await ready
  await Promise.all(pending)
  await producer.append(x('more'))
  t.equal((await logged(t, url)).length, 11)
})

t.test('a subscriber that holds producers slows them', async t => {
  const { url } = await serve(t)
  const producer = produce(t, url, { bufferBytes: 100_000, batchBytes: 50_000 })
  await producer.append(x('first'))
  const reader = connect(t, url, { transport: 'sse' }).session('s').events({ lag: 'wait' })
  t.equal((await reader.next()).value?.type, 'x.n')
  t.equal((await reader.next()).value?.type, 'caught-up')
  const text = 'x'.repeat(50_000)
  let acknowledged = 0
  const flooding = (async () => {
    for (let i = 0; i < 400; i++) {
      await producer.append(x(text))
      acknowledged += 1
    }
  })()
  let before = -1
  while (before !== acknowledged) {
    before = acknowledged
    await new Promise(resolve => setTimeout(resolve, 1500))
  }
  t.ok(acknowledged < 400, `held after ${acknowledged} events`)
  let seen = 0
  for await (const event of reader) if ((event.type as string) === 'x.n' && ++seen === 400) break
  await flooding
})

t.test('a pause longer than the lease ends no run, unless the producer is gone', async t => {
  const { url } = await serve(t, { producerLeaseMs: 600 })
  const producer = produce(t, url, { renewMs: 150 })
  const gone = produce(t, url, { renewMs: 150 })
  const run = producer.run('theirs', { q: 1 })
  const other = gone.run('theirs', { q: 2 })
  await Promise.all([run.append(x(1)), other.append(x(1))])
  gone.close()
  const events = connect(t, url).session('s').events({ run: other.runId })
  for await (const event of events) {
    if (event.type === 'run.failed') t.match(event.data, { code: 'producer-lost' })
  }
  // The other run's lease would have run out at the same time, and once more meanwhile.
  await new Promise(resolve => setTimeout(resolve, 1200))
  await run.append(x(2))
  await run.end()
  const { runs } = await connect(t, url).session('s').state()
  t.same(
    runs.map(({ status }) => status),
    ['completed', 'failed'],
  )
})

t.test('a newer producer of the same writer takes over, and the older one is told', async t => {
  const { url } = await serve(t)
  const older = produce(t, url, { writer: 'job' })
  await older.append(x('older'))
  const newer = produce(t, url, { writer: 'job' })
  const stranger = produce(t, url, { writer: 'another' })
  await newer.append(x('newer'))
  const pending = [older.append(x('lost')), older.append(x('lost as well'))]
  for (const one of pending) {
    await t.rejects(one, { code: 'fenced', retryable: false, details: { writer: 'job', epoch: 2 } })
  }
  await t.rejects(older.append(x('later')), { code: 'fenced' })
  await t.rejects(older.ready, { code: 'fenced' })
  await t.rejects(older.end(), { code: 'fenced' })
  await stranger.append(x('stranger'))
  await newer.append(x('newer'))
  t.same(
    (await logged(t, url)).map(({ data }) => data),
    ['older', 'newer', 'stranger', 'newer'],
  )
})

t.test('of many producers that begin at once, the last one to begin stays', async t => {
  const { url } = await serve(t)
  const producers = Array.from({ length: 10 }, () => produce(t, url, { writer: 'job' }))
  const begun = await Promise.allSettled(producers.map((producer, i) => producer.append(x(i))))
  t.ok(begun.every(({ status }) => status === 'fulfilled'))
  const later = await Promise.allSettled(producers.map((producer, i) => producer.append(x(i + 10))))
  const fenced = later.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  t.equal(fenced.length, 9)
  for (const { reason } of fenced) t.match(reason, { code: 'fenced', details: { epoch: 10 } })
  const log = (await logged(t, url)).map(({ data }) => data as number)
  t.same(log.slice(0, 10).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  t.equal(log[10], log[9]! + 10)
})

t.test('a refusal is told to the call whose events are refused; others go on', async t => {
  const { url } = await serve(t)
  const producer = produce(t, url, { bufferBytes: 4_000_000 })
  const run = producer.run('theirs', null)
  const results = await Promise.allSettled([
    producer.append(x(1)),
    producer.append({ type: 'text.delta', data: { delta: 'no part' } }),
    producer.append([x(2), { type: 'run.completed', runId: 'unknown', data: { finishReason: 'stop' } }]),
    producer.append(x('x'.repeat(1_100_000))),
    run.append(x(3)),
    producer.append({ type: 'session.updated', data: { metadata: {} } }),
    producer.append(x(4)),
  ])
  t.same(
    results.map(result => (result.status === 'fulfilled' ? 'ok' : (result.reason as ClientError).code)),
    ['ok', 'bad-request', 'run-not-found', 'too-large', 'ok', 'bad-request', 'ok'],
  )
  await run.end({ type: 'run.failed', data: { code: 'theirs', message: 'm' } })
  await t.rejects(run.append(x(5)), { code: 'run-ended' })
  await t.rejects(producer.run('theirs', null, { runId: run.runId }).append(x(6)), { code: 'conflict' })
  await producer.append(x(7))
  t.same(
    (await logged(t, url)).filter(({ type }) => type === 'x.n').map(({ data }) => data),
    [1, 3, 4, 7],
  )
  const loop: Record<string, unknown> = {}
  loop['self'] = loop
  await t.rejects(producer.append(x(loop)), TypeError)
})

t.test('end appends what is buffered, and ends the runs that are open', async t => {
  const { url } = await serve(t)
  const producer = produce(t, url, { lingerMs: 60_000 })
  const run = producer.run('theirs', null)
  const open = producer.run('theirs', null, { messageId: 'm' })
  const appended = run.end()
  await producer.end()
  await appended
  await t.rejects(producer.append(x(1)), { code: 'ended' })
  const log = await logged(t, url)
  t.match(log.at(-1), { type: 'run.failed', runId: open.runId, data: { code: 'producer-ended' } })
  t.match(log[1], { type: 'run.started', data: { agent: 'theirs', input: null, messageId: 'm' } })
  t.equal(log.length, 4)
})

t.test(
  'a session that was deleted, a server that is not there, a closed producer, wrong options',
  async t => {
    const { url } = await serve(t)
    const producer = produce(t, url)
    await producer.append([x(1), x(2)])
    await connect(t, url).session('s').delete()
    await t.rejects(producer.append(x(3)), { code: 'out-of-step', retryable: false })
    await t.rejects(producer.append(x(4)), { code: 'out-of-step' })

    const lost = produce(t, 'http://127.0.0.1:9', { backoff: { baseMs: 1, attempts: 2 } })
    await t.rejects(lost.append(x(1)), { code: 'connection-lost' })

    const waiting = produce(t, 'http://127.0.0.1:9')
    const pending = waiting.append(x(1))
    waiting.close()
    await t.rejects(pending, { code: 'closed' })

    t.throws(() => produce(t, 'nowhere'), TypeError)
    for (const wrong of [{ batchBytes: 0 }, { bufferBytes: -1 }, { batchEvents: Number.NaN }]) {
      t.throws(() => produce(t, url, wrong), RangeError)
    }
  },
)

t.test('auth is that of the client: it is asked once more after a refusal', async t => {
  const { url } = await serve(t, {
    authorize: request => {
      if (request.headers.authorization !== 'Bearer second')
        throw new TwinrailError('unauthorized', 'another token')
      return { id: 'ann' }
    },
  })
  let asked = 0
  const producer = produce(t, url, { auth: () => (++asked === 1 ? 'first' : 'second') })
  await Promise.all([producer.append(x(1)), producer.append(x(2))])
  t.equal(asked, 2)
  await t.rejects(produce(t, url, { auth: () => 'none' }).append(x(3)), { code: 'unauthorized' })
})

t.test('README’s program does what it says', async t => {
  const { url } = await serve(t)
  const readme = readFileSync(new URL('../../client/README.md', import.meta.url), 'utf8')
  const [, code = ''] =
    /^```ts\nimport \{ createProducer \} from 'twinrail-client\/producer'\n(.*?)^```/ms.exec(readme) ?? []
  t.ok(code.includes('http://127.0.0.1:8787'))
  const program = code.replace('http://127.0.0.1:8787', url)
  await new Function('createProducer', `return (async () => {${program}})()`)(createProducer)
  t.same(
    (await logged(t, url, 'demo')).map(({ type }) => type),
    ['x.progress', 'run.started', 'text.start', 'text.delta', 'text.end', 'run.completed'],
  )
})
