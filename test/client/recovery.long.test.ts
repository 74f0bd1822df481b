/** What the client does when servers, proxies and networks misbehave: retries, resumption, the watchdog, what ends a stream. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { ClientError, type ClientOptions, type FollowStatus, type SessionEvent } from '../../client/index.ts'
import { deltas, type FakeOptions, fakeServer, offsetOf } from './fake.ts'
import { collect, connect, until } from './stage.ts'

const offsetsOf = (events: readonly SessionEvent[]) =>
  events.flatMap(event => (event.type.includes('.') && 'offset' in event ? [event.offset] : []))
const upTo = (count: number) => Array.from({ length: count }, (_, i) => offsetOf(i + 1))

/** A scripted server that takes run.start, and how often it was started. */
async function scripted(t: Test, options: Partial<FakeOptions> & { failures?: number }) {
  const starts: { runId: string; key: string }[] = []
  let failures = options.failures ?? 0
  const fake = await fakeServer(t, {
    events: [],
    ...options,
    handle: (request, response, body) => {
      if (request.method !== 'POST') return void response.writeHead(404).end()
      const command = JSON.parse(body)
      starts.push(command)
      if (failures-- > 0) return void response.writeHead(500).end()
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ type: 'ack', id: command.id, runId: command.runId, offset: offsetOf(1) }))
    },
  })
  return { fake, starts }
}

const sse = (t: Test, url: string, more: Partial<ClientOptions> = {}) =>
  connect(t, url, { transport: 'sse', backoff: { baseMs: 1, capMs: 4 }, ...more })

t.test('a server that fails gets the prompt again under the same runId, never as a second run', async t => {
  const { fake, starts } = await scripted(t, { events: deltas(3), failures: 3 })
  const run = sse(t, fake.url).session('s1').run('a', { query: 'q' })
  t.same(offsetsOf(await collect(run.events)), upTo(3))
  t.equal(starts.length, 4)
  t.equal(new Set(starts.map(({ runId }) => runId)).size, 1)
  t.equal(new Set(starts.map(({ key }) => key)).size, 1)
})

t.test('a reset in mid-run resumes the stream and posts nothing', async t => {
  const { fake, starts } = await scripted(t, {
    events: deltas(9),
    plans: [{ cutAfter: 2 }, { cutAfter: 3 }, { cutAfter: 1 }],
  })
  const run = sse(t, fake.url).session('s1').run('a', { query: 'q' })
  t.same(offsetsOf(await collect(run.events)), upTo(9))
  t.equal(starts.length, 1)
  t.same(fake.cursors, [undefined, offsetOf(2), offsetOf(5), offsetOf(6)])
})

t.test('is open only once the server has spoken: a 500 never shows as connected', async t => {
  const plans = [{ refuse: { status: 500 } }, { refuse: { status: 500 } }]
  const { fake } = await scripted(t, { events: deltas(1), plans })
  const states: FollowStatus['state'][] = []
  const client = sse(t, fake.url)
  await collect(client.session('s1').events({ onStatus: ({ state }) => states.push(state) }))
  const changes = states.filter((state, i) => state !== states[i - 1])
  t.same(changes, ['connecting', 'waiting', 'connecting', 'waiting', 'connecting', 'open', 'closed'])
})

/** Answers every request for events with what `speak` writes. */
async function raw(t: Test, speak: (response: ServerResponse, count: number) => void) {
  let count = 0
  const server = createServer((_, response) => speak(response, ++count))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => count }
}

const stream = { 'content-type': 'text/event-stream' }
const hello = `event: hello\ndata: ${JSON.stringify({ type: 'hello', protocol: 1, serverTime: 1, heartbeatMs: 60 })}\n\n`
const ending = `event: end\ndata: {"type":"end","sessionId":"s1","reason":"run-ended"}\n\n`

t.test('comments and empty data are no messages', async t => {
  const { url } = await raw(t, response => {
    response.writeHead(200, stream)
    response.end(
      `: ping\n\ndata:\n\n${hello}:\n\ndata: \n\ndata: ${JSON.stringify(deltas(1)[0])}\n\n: bye\n\n${ending}`,
    )
  })
  t.same(offsetsOf(await collect(sse(t, url).session('s1').events())), upTo(1))
})

t.test('the end of the bytes before the end of the run is not success', async t => {
  const { url, requests } = await raw(t, (response, count) => {
    response.writeHead(200, stream)
    response.end(count < 3 ? hello : `${hello}${ending}`)
  })
  t.same(
    (await collect(sse(t, url).session('s1').events())).map(({ type }) => type),
    ['end'],
  )
  t.equal(requests(), 3)
})

t.test('the watchdog finds a half-open stream, and any byte feeds it, comments too', async t => {
  const { url, requests } = await raw(t, (response, count) => {
    response.writeHead(200, stream)
    response.write(hello)
    if (count === 2) return void response.end(ending)
    let beats = 0
    const timer = setInterval(() => {
      response.write(': hb\n\n')
      if (++beats === 8) clearInterval(timer) // 4 s in all: longer than 2.5 × 600 ms
    }, 500)
    t.teardown(() => clearInterval(timer))
  })
  const errors: string[] = []
  const onStatus = (status: FollowStatus) =>
    status.state === 'waiting' && errors.push((status.error as ClientError).code)
  const began = Date.now()
  await collect(sse(t, url).session('s1').events({ onStatus, heartbeatMs: 600 }))
  t.same([...new Set(errors)], ['silent'])
  t.ok(Date.now() - began > 5000, 'the comments kept it alive')
  t.equal(requests(), 2)
})

t.test('leaving the loop closes the connection, reports closed, and delivers no more messages', async t => {
  const { fake } = await scripted(t, { events: deltas(50), ends: false })
  const client = sse(t, fake.url)
  const stop = new AbortController()
  const states: string[] = []
  const seen: string[] = []
  const reading = (async () => {
    const how = { signal: stop.signal, onStatus: ({ state }: FollowStatus) => void states.push(state) }
    for await (const event of client.session('s1').events(how)) {
      seen.push(event.type)
      if (seen.length === 3) stop.abort(new Error('left'))
    }
  })()
  await t.rejects(reading, /left/)
  t.equal(seen.length, 3)
  t.equal(states.at(-1), 'closed')
  await until(() => fake.requests[0]!.socket.destroyed || fake.requests[0]!.closed)
})

t.test('a 4xx ends it, Retry-After of a 5xx is kept, an event beyond all bounds is refused', async t => {
  const refused = await scripted(t, { plans: [{ refuse: { status: 403 } }] })
  await t.rejects(collect(sse(t, refused.fake.url).session('s1').events()), { code: 'forbidden' })
  t.equal(refused.fake.cursors.length, 1)

  const busy = await scripted(t, {
    events: deltas(1),
    plans: [{ refuse: { status: 503, headers: { 'retry-after': '1' } } }],
  })
  const began = Date.now()
  await collect(sse(t, busy.fake.url).session('s1').events())
  t.ok(Date.now() - began >= 1000)

  const { url } = await raw(t, response => {
    response.writeHead(200, stream)
    response.end(`${hello}data: ${'x'.repeat(3 * 1024 * 1024)}`)
  })
  await t.rejects(collect(sse(t, url).session('s1').events()), { code: 'protocol-error' })
})

t.test('text/event-stream is compared as a media type', async t => {
  const { url } = await raw(t, response => {
    response.writeHead(200, { 'content-type': 'text/plain; note=text/event-stream' })
    response.end('hi')
  })
  await t.rejects(collect(sse(t, url).session('s1').events()), { code: 'protocol-error' })
})

t.test('run ids do not collide', async t => {
  const client = sse(t, 'http://127.0.0.1:9', { backoff: { attempts: 0 } })
  const session = client.session()
  const ids = Array.from({ length: 1000 }, () => session.run('a', {}).runId)
  t.equal(new Set(ids).size, 1000)
  client.close()
})

t.test('the consumer is called for each event, itself, once', async t => {
  const { fake } = await scripted(t, { events: deltas(50) })
  t.same(offsetsOf(await collect(sse(t, fake.url).session('s1').events())), upTo(50))
})

t.test('5,000 events arrive without a fixed delay for each', async t => {
  const { fake } = await scripted(t, { events: deltas(5000) })
  const began = Date.now()
  t.equal(offsetsOf(await collect(sse(t, fake.url).session('s1').events())).length, 5000)
  t.ok(Date.now() - began < 25_000)
})

t.test('an error of the consumer reaches the consumer and ends the stream', async t => {
  const { fake } = await scripted(t, { events: deltas(5), ends: false })
  const client = sse(t, fake.url)
  const reading = (async () => {
    for await (const event of client.session('s1').events())
      if (event.type === 'text.delta') throw new Error('mine')
  })()
  await t.rejects(reading, /mine/)
  t.equal(client.quality.current.state, 'idle')
})

t.test('waits grow with each failure, and after the last attempt the error is thrown once', async t => {
  const plans = Array.from({ length: 20 }, () => ({ refuse: { status: 500 } }))
  const { fake } = await scripted(t, { plans })
  const waits: number[] = []
  const client = sse(t, fake.url, { backoff: { baseMs: 4, capMs: 30, attempts: 5, random: () => 1 } })
  const onStatus = (status: FollowStatus) => status.state === 'waiting' && waits.push(status.retryInMs)
  await t.rejects(collect(client.session('s1').events({ onStatus })), { code: 'internal' })
  t.same(waits, [4, 8, 16, 30, 30])
  t.equal(fake.cursors.length, 6)
})

t.test('a connection that opens and dies is a failure, too, until one has been stable', async t => {
  const plans = Array.from({ length: 12 }, () => ({ cutAfter: 1 }))
  const { fake } = await scripted(t, { events: deltas(20), plans: [...plans] })
  const waits: number[] = []
  const onStatus = (status: FollowStatus) => status.state === 'waiting' && waits.push(status.retryInMs)
  const client = sse(t, fake.url, { backoff: { baseMs: 1, capMs: 8, random: () => 1 } })
  await collect(client.session('s1').events({ onStatus }))
  t.same(waits.slice(0, 5), [1, 2, 4, 8, 8])

  const again = await scripted(t, { events: deltas(20), plans: [...plans] })
  const stable = sse(t, again.fake.url, { backoff: { baseMs: 1, capMs: 8, random: () => 1, stableMs: 0 } })
  waits.length = 0
  await collect(stable.session('s1').events({ onStatus }))
  t.same([...new Set(waits)], [1])
})

t.test('one owner: never two connections for one stream', async t => {
  let open = 0
  let most = 0
  const { url } = await raw(t, (response, count) => {
    most = Math.max(most, ++open)
    response.on('close', () => {
      open -= 1
    })
    response.writeHead(200, stream)
    if (count > 30) return void response.end(`${hello}${ending}`)
    response.write(hello)
    setTimeout(() => response.destroy(), 1)
  })
  await collect(sse(t, url).session('s1').events())
  t.equal(most, 1)
})

t.test('close clears the timer: nothing is sent after it', async t => {
  const plans = Array.from({ length: 20 }, () => ({ refuse: { status: 500 } }))
  const { fake } = await scripted(t, { plans })
  const client = sse(t, fake.url, { backoff: { baseMs: 20, capMs: 20, random: () => 1 } })
  const onStatus = ({ state }: FollowStatus) => state === 'waiting' && client.close()
  t.same(await collect(client.session('s1').events({ onStatus })), [])
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal(fake.requests.length, 1)
})

t.test('a violation of the protocol is fatal, not retried', async t => {
  const { url, requests } = await raw(t, response => {
    response.writeHead(200, stream)
    response.end(`${hello}data: {"half\n\n`)
  })
  await t.rejects(collect(sse(t, url).session('s1').events()), { code: 'protocol-error' })
  t.equal(requests(), 1)
})

t.test('network, 408, 425, 429 and 5xx come back; other 4xx do not; 204 is the end', async t => {
  for (const status of [408, 425, 429, 500, 502, 503, 504]) {
    const { fake } = await scripted(t, { events: deltas(1), plans: [{ refuse: { status } }] })
    t.same(offsetsOf(await collect(sse(t, fake.url).session('s1').events())), upTo(1), `${status}`)
  }
  for (const status of [400, 401, 403, 404, 409, 410, 415, 422]) {
    const { fake } = await scripted(t, { plans: [{ refuse: { status } }] })
    await t.rejects(collect(sse(t, fake.url).session('s1').events()), ClientError, `${status}`)
    t.equal(fake.cursors.length, 1)
  }
  const { fake } = await scripted(t, { plans: [{ refuse: { status: 204 } }] })
  t.same(
    (await collect(sse(t, fake.url).session('s1').events({ run: 'r1' }))).map(({ type }) => type),
    ['end'],
  )
})

t.test('online, pageshow and coming into view end the wait at once', async t => {
  for (const type of ['online', 'pageshow', 'visibilitychange']) {
    const page = new EventTarget()
    const { addEventListener, removeEventListener, document } = globalThis
    Object.assign(globalThis, {
      addEventListener: page.addEventListener.bind(page),
      removeEventListener: page.removeEventListener.bind(page),
      document: Object.assign(new EventTarget(), { visibilityState: 'visible' }),
    })
    try {
      const { fake } = await scripted(t, { events: deltas(2), plans: [{ refuse: { status: 503 } }] })
      const client = sse(t, fake.url, { backoff: { baseMs: 60_000, capMs: 60_000, random: () => 1 } })
      const onStatus = ({ state }: FollowStatus) => {
        const target = type === 'visibilitychange' ? globalThis.document : page
        if (state === 'waiting') setImmediate(() => target.dispatchEvent(new Event(type)))
      }
      t.same(offsetsOf(await collect(client.session('s1').events({ onStatus }))), upTo(2), type)
    } finally {
      Object.assign(globalThis, { addEventListener, removeEventListener, document })
    }
  }
})

t.test('a log that starts over says so: reset, then from its start', async t => {
  const reset = { reason: 'epoch', head: offsetOf(3, 9) }
  const { fake } = await scripted(t, { events: deltas(3, 1, 9), plans: [{ reset }] })
  const events = await collect(
    sse(t, fake.url)
      .session('s1')
      .events({ after: offsetOf(40) }),
  )
  t.match(events[0], { type: 'reset', reason: 'epoch' })
  t.same(offsetsOf(events), ['9-1', '9-2', '9-3'])
})

t.test('events that share a message id, or have none, are all delivered', async t => {
  const events = deltas(5).map(event => ({ ...event, data: { partId: 'p', messageId: 'same', delta: 'x' } }))
  const { fake } = await scripted(t, { events })
  t.same(offsetsOf(await collect(sse(t, fake.url).session('s1').events())), upTo(5))
})

t.test('duplicates are dropped, in constant memory', async t => {
  const plans = [{ cutAfter: 90 }, { back: 90, cutAfter: 150 }, { back: 100 }]
  const { fake } = await scripted(t, { events: deltas(200), plans })
  t.same(offsetsOf(await collect(sse(t, fake.url).session('s1').events())), upTo(200))
  t.equal(fake.cursors.length, 3, 'and is no reason to come back')
})

t.test('a lost event is fetched again, not waited for', async t => {
  const { fake } = await scripted(t, { events: deltas(50), plans: [{ hole: true }] })
  const client = sse(t, fake.url)
  t.same(offsetsOf(await collect(client.session('s1').events({ after: offsetOf(0) }))), upTo(50))
  t.equal(client.quality.current.reconnects, 1)
})

t.test('begins where the server says, at any offset, and again for another run', async t => {
  const { fake } = await scripted(t, { events: deltas(9) })
  const session = sse(t, fake.url).session('s1')
  t.same(offsetsOf(await collect(session.events({ after: offsetOf(5) }))), upTo(9).slice(5))
  t.same(offsetsOf(await collect(session.events({ run: 'r1' }))), upTo(9))
  t.same(offsetsOf(await collect(session.events({ run: 'r2' }))), upTo(9), 'no state of the run before')
})

t.test('ten is after nine: offsets are numbers', async t => {
  const { fake } = await scripted(t, {
    events: deltas(12),
    plans: [{ cutAfter: 9 }, { cutAfter: 1, back: 3 }],
  })
  t.same(offsetsOf(await collect(sse(t, fake.url).session('s1').events())), upTo(12))
})

t.test('a gap event covers the events that will not be delivered', async t => {
  const gap = { type: 'gap', sessionId: 's1', from: offsetOf(1), to: offsetOf(6), reason: 'trimmed' }
  const { url } = await raw(t, response => {
    response.writeHead(200, stream)
    const events = deltas(2, 7).map(event => `data: ${JSON.stringify(event)}\n\n`)
    response.end(`${hello}event: gap\ndata: ${JSON.stringify(gap)}\n\n${events.join('')}${ending}`)
  })
  const client = sse(t, url)
  const events = await collect(client.session('s1').events({ after: offsetOf(0) }))
  t.match(events[0], { type: 'gap', from: offsetOf(1), to: offsetOf(6) })
  t.same(offsetsOf(events), [offsetOf(7), offsetOf(8)])
  t.equal(client.quality.current.dropped, 6)
})
