/** `/metrics`: what it counts is what happened, named as Prometheus has it. */
import t from 'tap'
import { openSse, openWs } from '../fixtures/wire-clients.ts'
import { createSession, eventually, metric, serve, startRun, type Wire } from '../fixtures/wire-server.ts'

const SESSION = 'a-session-that-no-metric-names'

const append = (
  { server: { journal } }: Wire,
  ...bodies: { type: string; runId?: string; data: unknown }[]
) => journal.append(SESSION, bodies)

const counted = (n: number) => ({ type: 'x.n', data: n })

t.test(
  'every series has its help and type, counters and units end as they should, no label names a session',
  async t => {
    const wire = await serve(t)
    await createSession(wire.url, SESSION)
    const stream = await openSse(t, `${wire.url}/v1/sessions/${SESSION}/events`)
    await startRun(
      wire.url,
      SESSION,
      'playback',
      { count: 3, rate: 0 },
      { runId: 'run-that-no-metric-names' },
    )
    await stream.until('run.completed')
    const response = await fetch(`${wire.url}/metrics`)
    t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
    const text = await response.text()
    t.notMatch(text, /no-metric-names/)
    const typeOf = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]))
    const helped = new Set([...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name))
    const ours = [...typeOf].filter(([name]) => name?.startsWith('twinrail_'))
    t.ok(ours.length >= 18, `${ours.length} metrics of its own`)
    for (const [name = '', type] of ours) {
      t.ok(helped.has(name), `${name} has its help`)
      t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
      t.notMatch(name, /_(ms|millis|kb)(_|$)/, 'base units')
    }
    for (const [, name = '', labels = ''] of text.matchAll(/^(twinrail_\w+)\{([^}]*)\}/gm)) {
      for (const [, label] of labels.matchAll(/(\w+)="/g))
        t.match(label, /^(transport|reason|le|kind|what|code|limit|of|agent|outcome|how|state)$/, name)
    }
    t.ok(typeOf.has('nodejs_eventloop_lag_p99_seconds'), 'the delay of the event loop')
  },
)

t.test('connections, subscriptions and what live subscribers are sent', async t => {
  const wire = await serve(t)
  for (const id of [SESSION, 'other']) await createSession(wire.url, id)
  const sse = await openSse(t, `${wire.url}/v1/sessions/${SESSION}/events`)
  const websocket = await openWs(t, wire.url)
  for (const sessionId of [SESSION, 'other']) await websocket.command({ type: 'subscribe', sessionId })
  await Promise.all([sse.until('caught-up'), websocket.until('caught-up'), websocket.until('caught-up')])
  t.equal(await metric(wire, 'twinrail_connections{transport="sse"}'), 1)
  t.equal(await metric(wire, 'twinrail_connections{transport="websocket"}'), 1)
  t.equal(await metric(wire, 'twinrail_subscriptions{transport="sse"}'), 1)
  t.equal(await metric(wire, 'twinrail_subscriptions{transport="websocket"}'), 2)
  t.equal(await metric(wire, 'twinrail_followed_sessions'), 2)

  await append(wire, counted(1), counted(2), counted(3))
  await sse.until(({ message }) => message.data === (3 as unknown))
  t.equal(await metric(wire, 'twinrail_delivered_events_total'), 6, 'three events, two subscribers')
  const batches = (await metric(wire, 'twinrail_batch_events_count')) ?? 0
  t.equal(
    await metric(wire, 'twinrail_batch_events_sum'),
    3 * batches,
    'a batch for each transport, of three each',
  )
  t.equal(await metric(wire, 'twinrail_append_to_write_seconds_count'), batches)
  const seconds = (await metric(wire, 'twinrail_append_to_write_seconds_sum')) ?? -1
  t.ok(seconds >= 0 && seconds < 10, `${seconds} s`)

  sse.close()
  websocket.close()
  await eventually(t, 'they are gone', async () => (await metric(wire, 'twinrail_followed_sessions')) === 0)
  t.equal(await metric(wire, 'twinrail_connections{transport="sse"}'), 0)
  t.equal(await metric(wire, 'twinrail_subscriptions{transport="websocket"}'), 0)
})

t.test('lag, folded and skipped events, and closed connections', async t => {
  const wire = await serve(t)
  await createSession(wire.url, SESSION)
  const policies = ['conflate', 'skip', 'disconnect'] as const
  const streams = policies.map(lag => openSse(t, `${wire.url}/v1/sessions/${SESSION}/events?lag=${lag}`))
  const [conflate, skip, disconnect] = (await Promise.all(streams)) as [
    Awaited<(typeof streams)[0]>,
    Awaited<(typeof streams)[0]>,
    Awaited<(typeof streams)[0]>,
  ]
  for (const stream of [conflate, skip, disconnect]) {
    await stream.until('caught-up')
    stream.pause()
  }
  // More than a kernel hides for a stalled connection.
  const delta = 'x'.repeat(8000)
  for (let n = 0; n < 2500; n++) {
    await append(wire, { type: 'text.delta', runId: 'r', data: { partId: 'p', delta } })
    if (n % 10 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  t.equal(await metric(wire, 'twinrail_lagging_subscriptions'), 2, 'the third was given up')
  t.equal(await metric(wire, 'twinrail_lost_connections_total{transport="sse",reason="too-slow"}'), 1)
  t.ok(((await metric(wire, 'twinrail_lag_events')) ?? 0) > 1000)
  t.ok(((await metric(wire, 'twinrail_lag_bytes')) ?? 0) > 1000 * delta.length)
  t.ok(((await metric(wire, 'twinrail_buffered_bytes{transport="sse"}')) ?? 0) > 0)
  t.equal(await metric(wire, 'twinrail_folded_events_total'), 0)
  t.equal(await metric(wire, 'twinrail_skipped_events_total'), 0)

  await append(wire, { type: 'x.last', data: null })
  let [received, from] = [0, 0]
  conflate.resume()
  for (const { message } of await conflate.until('x.last')) {
    if (message.type !== 'text.delta') continue
    received++
    if (message.from !== undefined) from++
  }
  t.ok(from > 0)
  t.equal(
    await metric(wire, 'twinrail_folded_events_total'),
    2500 - received,
    'what went out as part of another',
  )
  const gap = skip.until('gap')
  skip.resume()
  const [{ message: skipped } = { message: undefined }] = (await gap).slice(-1)
  const seqOf = (offset = '') => Number(offset.split('-')[1])
  const count = seqOf(skipped?.to) - seqOf(skipped?.from) + 1
  t.equal(await metric(wire, 'twinrail_skipped_events_total'), count)
  await eventually(t, 'nobody lags any more', async () => (await metric(wire, 'twinrail_lag_events')) === 0)
})

t.test('producers that are held, and runs', async t => {
  const wire = await serve(t)
  await createSession(wire.url, SESSION)
  const slow = await openSse(t, `${wire.url}/v1/sessions/${SESSION}/events?lag=wait`)
  await slow.until('caught-up')
  slow.pause()
  await startRun(wire.url, SESSION, 'playback', { count: 2500, rate: 0, bytes: 8000 })
  t.equal(await metric(wire, 'twinrail_active_runs'), 1)
  await eventually(t, 'held', async () => (await metric(wire, 'twinrail_producer_holds_total')) === 1)
  slow.resume()
  await slow.until('run.completed')
  await eventually(t, 'it is over', async () => (await metric(wire, 'twinrail_active_runs')) === 0)
})
