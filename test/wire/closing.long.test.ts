/** A server that stops: everybody is told, nobody is left hanging, nothing is lost. */
import t from 'tap'
import { createMemoryLog } from '../../src/log/memory.ts'
import {
  connect,
  eventsUrl,
  fetchPage,
  follow,
  type Message,
  openSse,
  openWs,
  SseStream,
  WsClient,
} from '../fixtures/wire-clients.ts'
import { call, command, createSession, eventually, ingest, serve, startRun } from '../fixtures/wire-server.ts'

t.test('streams and sockets get different times to reconnect', async t => {
  const { server, url } = await serve(t, { spreadMs: 60_000 })
  await ingest(url, 's', { type: 'x.n', data: 1 })
  const runId = await startRun(url, 's', 'idle', null)
  const sse = await Promise.all(Array.from({ length: 5 }, () => openSse(t, eventsUrl(url, 's'))))
  const ws = await Promise.all(
    Array.from({ length: 5 }, () => follow(t, 'websocket', url, 's') as Promise<WsClient>),
  )
  const bare = await follow(t, 'eventsource', url, 's')
  const own = await openSse(t, `${url}/v1/sessions/s/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: '1', type: 'run.start', agent: 'idle', input: null }),
  })
  const unsubscribed = await openWs(t, url)
  await unsubscribed.nextOf('hello')
  for (const stream of [...sse, ...ws, bare]) await stream.until('caught-up')
  await own.until('caught-up')

  await server.close({ graceMs: 0 })
  const farewells: Message[] = []
  for (const stream of [...sse, ...ws]) {
    const got = await stream.until('closing')
    t.match(
      got.find(({ message }) => message.type === 'run.failed' && message.runId === runId)?.message,
      { data: { code: 'restart', retryable: true } },
      'how the run ended comes before',
    )
    const { message: closing } = got.at(-1) as { message: Message }
    t.match(closing, { code: 'restart', reason: /./ })
    const wait = closing.retryAfterMs as number
    t.ok(Number.isInteger(wait) && wait >= 0 && wait <= 60_000)
    farewells.push(closing)
    if (stream instanceof SseStream) {
      t.equal(stream.retry, wait, 'an EventSource waits as long')
      await stream.ended
    } else if (stream instanceof WsClient) t.equal((await stream.closed).code, 1012)
  }
  t.ok(new Set(farewells.map(({ retryAfterMs }) => retryAfterMs)).size > 5, 'not all at once')
  t.match(await bare.nextOf('closing'), { code: 'restart' })
  t.match(await own.nextOf('run.failed'), { data: { code: 'restart' } })
  t.match(await own.nextOf('end'), { reason: 'run-ended' })
  await own.ended
  t.match(await unsubscribed.nextOf('closing'), { code: 'restart' })
  t.equal((await unsubscribed.closed).code, 1012)
})

t.test('a waiting long-poll is answered', async t => {
  const { server, url } = await serve(t)
  await ingest(url, 's', { type: 'x.n', data: 1 })
  const { next } = await fetchPage(url, 's')
  const waiting = fetchPage(url, 's', { after: next, wait: 30_000 })
  await eventually(t, 'it waits', () => server.bus.topics === 1)
  const began = performance.now()
  await server.close({ graceMs: 0 })
  const page = await waiting
  t.ok(performance.now() - began < 30_000 / 2, 'it does not wait to the end of its time')
  t.match(page, { events: [], controls: [], next })
})

t.test('a stopping server refuses new requests as retryable and lets open runs end', async t => {
  const { server, url } = await serve(t)
  await createSession(url, 's')
  const runId = await startRun(url, 's', 'steered', {})
  const [sse, ws] = [await openSse(t, eventsUrl(url, 's')), await openWs(t, url)]
  ws.send({ id: 'a', type: 'subscribe', sessionId: 's' })
  for (const stream of [sse, ws]) await stream.until('caught-up')
  const stopping = server.close({ graceMs: 24 * 3600 * 1000 })
  await eventually(t, 'it is not ready any more', async () => (await call(`${url}/readyz`)).status === 503)

  t.equal((await call(`${url}/healthz`)).status, 200)
  const stream = await openSse(t, eventsUrl(url, 's'))
  const [closing] = await stream.until('closing')
  t.match(closing?.message, { type: 'closing', code: 'restart', retryAfterMs: Number })
  t.match(stream.head, /^retry: \d+\nevent: closing\ndata: /)
  t.equal(stream.retry, closing?.message.retryAfterMs)
  t.match(stream.headers, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': /no-cache/ })
  await stream.ended

  for (const body of [
    { type: 'publish', event: { type: 'x.n', data: 1 } },
    { type: 'run.start', agent: 'idle', input: null },
  ]) {
    const { status, headers, body: nack } = await command(url, 's', body)
    t.equal(status, 503)
    t.match(nack, { type: 'nack', id: 'h', code: 'restart', retryable: true, retryAfterMs: Number })
    t.match(headers.get('retry-after'), /^\d+$/)
  }
  t.match(await ingest(url, 's', { type: 'x.n', data: 1 }), {
    status: 503,
    body: { error: { code: 'restart' } },
  })
  await t.rejects(fetchPage(url, 's'), /503.*restart/)
  const late = (await connect('websocket', url, 's')) as WsClient
  t.teardown(() => late.close())
  t.match(await late.nextOf('closing'), { code: 'restart' })
  t.equal((await late.closed).code, 1012)
  const refused = await ws.command({ type: 'publish', sessionId: 's', event: { type: 'x.n', data: 1 } })
  t.match(refused, { type: 'nack', code: 'restart', retryable: true })

  // The run goes on in its grace, and who watches it sees its end.
  t.match((await command(url, 's', { type: 'input.steer', runId, text: 'x' })).body, { code: 'restart' })
  await server.sessions.execute(
    { id: '1', type: 'input.steer', sessionId: 's', runId, text: 'end' },
    { id: 'local' },
  )
  // It waits no longer than the run: the rest of its grace, a day, would go beyond any test's time.
  await stopping
  for (const open of [sse, ws]) {
    const types = (await open.until('closing')).map(({ message }) => message.type)
    t.same(types.slice(-2), ['run.completed', 'closing'])
  }
})

t.test('a client that does not read does not hold the server', async t => {
  // Nothing but the end of the server may cut the clients off.
  const { server, url } = await serve(t, { stallMs: 3_600_000, heartbeatMs: 3_600_000 })
  await createSession(url, 's')
  const sse = await openSse(t, eventsUrl(url, 's'))
  const ws = await openWs(t, url)
  ws.send({ id: 'a', type: 'subscribe', sessionId: 's' })
  for (const stream of [sse, ws]) await stream.until('caught-up')
  sse.pause()
  ws.socket.pause()
  const data = 'x'.repeat(500_000)
  for (let i = 0; i < 40; i++) await server.sessions.ingest('s', [{ type: 'x.n', data }], { id: 'local' })
  await server.close({ graceMs: 0 })
})

t.test('acknowledged events are in the log after the stop', async t => {
  const log = createMemoryLog()
  // The server closes its log; this one shall outlive it.
  const kept = { ...log, close: async () => {} }
  const first = await serve(t, { log: kept })
  const runId = await startRun(first.url, 's', 'endless', {})
  const stream = await openSse(t, eventsUrl(first.url, 's', { replay: 'full' }))
  const seen = await stream.events(50)
  const publishing = (async () => {
    const acked: string[] = []
    for (let i = 0; ; i++) {
      const answer = await command(first.url, 's', {
        type: 'publish',
        event: { type: 'x.n', data: i },
      }).catch(() => undefined)
      if (answer?.status !== 200) return acked
      acked.push(answer.body.offset as string)
    }
  })()
  await first.server.close({ graceMs: 0 })
  const acked = await publishing
  const rest = (await stream.until('closing')).slice(0, -1).map(({ json }) => json)
  const second = await serve(t, { log: kept })
  t.teardown(() => log.close())
  const again = await follow(t, 'sse', second.url, 's', { replay: 'full' })
  const all = (await again.until('caught-up')).filter(({ message }) => message.type.includes('.'))
  const offsets = new Set(all.map(({ message }) => message.offset))
  t.ok(
    acked.every(offset => offsets.has(offset)),
    `${acked.length} acknowledged`,
  )
  const before = [...seen.map(({ json }) => json), ...rest.filter(json => json.startsWith('{"offset"'))]
  const whole = all.map(({ json }) => json)
  t.same(before, whole.slice(0, before.length), 'what was seen is there')
  const ends = all
    .map(({ message }) => message)
    .filter(({ type }) => /^run\.(failed|completed|cancelled)$/.test(type))
  t.match(ends, [{ type: 'run.failed', runId, data: { code: 'restart', retryable: true } }])
  t.equal(ends.length, 1)
})
