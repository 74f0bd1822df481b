/** Control messages and framing, to the letter of the contract. */
import t from 'tap'
import { random as seeded, seedOf } from '../../src/log/contract/random.ts'
import {
  EventSourceStream,
  epochOf,
  eventsUrl,
  fetchPage,
  follow,
  type Got,
  isEvent,
  type Message,
  openSse,
  openWs,
  seqOf,
} from '../fixtures/wire-clients.ts'
import { command, ingest, logged, serve, type Wire } from '../fixtures/wire-server.ts'

const streams = ['sse', 'eventsource', 'websocket'] as const

const types = (got: readonly Got[]) => got.map(({ message }) => message.type)

/** All but pings, which come when they come. */
const withoutPings = (got: readonly Got[]) => got.filter(({ message }) => message.type !== 'ping')

async function numbers(url: string, sessionId: string, count: number, first = 0): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => ({ type: 'x.n', data: first + i }))
  await ingest(url, sessionId, events)
}

/** Forgets the events up to and including `through`. */
async function trim({ server }: Wire, sessionId: string, through: number): Promise<void> {
  const log = server.journal
  const session = await log.session(sessionId)
  const { seq, ...state } = { seq: through, runs: [], pendingInputs: [] }
  await log.trim(sessionId, session?.epoch as number, through, { seq, state: { seq, ...state } })
}

t.test('the first messages of a stream, in their order', async t => {
  const wire = await serve(t)
  const { url } = wire
  await numbers(url, 's', 5)
  const head = JSON.parse((await logged(wire, 's')).at(-1) as string).offset as string
  const epoch = epochOf(head)
  for (const transport of streams) {
    const ack = transport === 'websocket' ? ['ack'] : []
    const stream = await follow(t, transport, url, 's', { after: `${epoch}-2` })
    const got = withoutPings(await stream.until('caught-up'))
    t.same(types(got), ['hello', ...ack, 'subscribed', 'x.n', 'x.n', 'x.n', 'caught-up'], transport)

    const hello = got[0]?.message as Message
    t.same(Object.keys(hello), ['type', 'protocol', 'connectionId', 'serverTime', 'heartbeatMs', 'limits'])
    t.match(hello, { protocol: 1, connectionId: /./, heartbeatMs: 15_000 })
    t.ok(Math.abs((hello.serverTime as number) - Date.now()) < 60_000)
    t.same(hello.limits, { eventBytes: 1_048_576, messageBytes: 1_048_576, subscriptions: 100 })
    const told = got.find(({ message }) => message.type === 'subscribed')?.message
    t.same(told, {
      type: 'subscribed',
      sessionId: 's',
      head,
      earliest: `${epoch}-1`,
      after: `${epoch}-2`,
      replay: 'compact',
    })
    t.same(got.at(-1)?.message, { type: 'caught-up', sessionId: 's', offset: head })
    if (transport === 'websocket') t.same(got[1]?.message, { type: 'ack', id: 'subscribe' })

    // Two time-stamped messages let a client tell buffering from slowness.
    const ping = await stream.nextOf('ping')
    t.same(Object.keys(ping), ['type', 'time'])
    const between = (ping.time as number) - (hello.serverTime as number)
    t.ok(between > 0 && between < (hello.heartbeatMs as number), `ping ${between} ms after hello`)
    stream.close()
  }
})

t.test('retry is another time for each connection, from half to one and a half times retryMs', async t => {
  const { url } = await serve(t, { retryMs: 2000 })
  await numbers(url, 's', 1)
  const retries: number[] = []
  for (let i = 0; i < 40; i++) {
    const stream = await openSse(t, eventsUrl(url, 's'))
    await stream.until('hello')
    retries.push(stream.retry ?? Number.NaN)
    stream.close()
  }
  t.ok(Math.min(...retries) >= 1000 && Math.max(...retries) <= 3000, String(retries))
  // 40 values of 2001 that are all within 500 ms of each other: once in 10^21 runs.
  t.ok(Math.max(...retries) - Math.min(...retries) > 500, 'they are spread')
})

t.test('SSE framing: ids, names and headers', async t => {
  const wire = await serve(t)
  const { url } = wire
  await numbers(url, 's', 2)
  const stream = await openSse(t, eventsUrl(url, 's', { heartbeatMs: 1000 }))
  const got = [...(await stream.until('caught-up')), ...(await stream.until('ping'))]
  t.match(stream.head, /^retry: \d+\nevent: hello\ndata: \{"type":"hello",/)
  for (const { message, id, event } of got) {
    t.equal(
      event,
      isEvent({ message } as Got) ? undefined : message.type,
      'events have no name, controls theirs',
    )
    t.equal(id, isEvent({ message } as Got) || message.type === 'caught-up' ? message.offset : undefined)
  }
  const wanted = {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
    vary: 'Accept',
  }
  t.match(stream.headers, wanted)
  const run = await openSse(t, `${url}/v1/sessions/s/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: '1', type: 'run.start', agent: 'script', input: { events: [] } }),
  })
  t.match(run.headers, wanted)
  await run.until('end')
  t.match(run.head, /^retry: \d+\nevent: hello\n/)
  for (const accept of ['*/*', 'text/event-stream;q=0.9, application/json;q=0.1', 'text/*', undefined]) {
    const other = await openSse(t, eventsUrl(url, 's'), { headers: accept ? { accept } : {} })
    t.match(other.headers, wanted, `Accept: ${accept}`)
    other.close()
  }
  const { response } = await fetchPage(url, 's')
  t.match(response.headers.get('content-type'), 'application/json')
  t.equal(response.headers.get('cache-control'), 'no-store')
})

t.test('a WebSocket message holds lines of JSON, and at most 32 KiB unless one event is larger', async t => {
  const wire = await serve(t)
  const { url } = wire
  const data = (length: number) => ({ type: 'x.n', data: 'ü'.repeat(length) })
  await ingest(
    url,
    's',
    Array.from({ length: 100 }, (_, i) => data(i === 50 ? 30_000 : 1000)),
  )
  const client = await openWs(t, url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's' })
  await client.until('caught-up')
  await ingest(
    url,
    's',
    Array.from({ length: 60 }, () => data(1000)),
  )
  await client.events(60)
  const sizes = client.messages.map(text => ({
    bytes: Buffer.byteLength(text),
    lines: text.split('\n').length,
  }))
  t.ok(sizes.every(({ bytes, lines }) => bytes <= 32 * 1024 || lines === 1))
  t.ok(
    sizes.some(({ lines }) => lines > 10),
    'what one turn makes is one message',
  )
  t.notMatch(client.messages.join(''), /\n$/)
})

t.test('reset and gap come right after subscribed', async t => {
  const wire = await serve(t)
  const { url } = wire
  await numbers(url, 's', 10)
  await trim(wire, 's', 4)
  const log = await wire.server.journal.findSession('s')
  const epoch = String(log?.epoch)
  const gap = (from: number) => ({
    type: 'gap',
    from: `${epoch}-${from}`,
    to: `${epoch}-4`,
    reason: 'trimmed',
  })
  const reset = (reason: string) => ({ type: 'reset', reason, head: `${epoch}-10` })
  const cases: [string | undefined, object[], number][] = [
    [undefined, [gap(1)], 4],
    [`${epoch}-0`, [gap(1)], 4],
    [`${epoch}-2`, [gap(3)], 4],
    [`${epoch}-3`, [gap(4)], 4],
    [`${epoch}-4`, [], 4],
    [`${epoch}-7`, [], 7],
    [`${epoch}-10`, [], 10],
    [`${epoch}-11`, [reset('ahead'), gap(1)], 4],
    ['1-3', [reset('epoch'), gap(1)], 4],
  ]
  for (const transport of streams) {
    for (const [after, controls, start] of cases) {
      const stream = await follow(t, transport, url, 's', { after })
      const got = withoutPings(await stream.until('caught-up')).map(({ message }) => message)
      const at = got.findIndex(({ type }) => type === 'subscribed')
      t.match(got[at], { earliest: `${epoch}-5`, after: `${epoch}-${start}`, head: `${epoch}-10` })
      t.match(got.slice(at + 1, at + 1 + controls.length), controls, `${transport} after ${after}`)
      const events = got.slice(at + 1 + controls.length, -1)
      t.same(
        events.map(({ data }) => data),
        [4, 5, 6, 7, 8, 9].slice(start - 4),
      )
      stream.close()
    }
  }
  for (const [after, controls, start] of cases) {
    const page = await fetchPage(url, 's', { after })
    t.match(page.controls, controls, `page after ${after}`)
    t.equal(page.controls.length, controls.length)
    t.equal(page.events.length, 10 - start)
    t.match(page, { head: `${epoch}-10`, earliest: `${epoch}-5`, next: `${epoch}-10`, caughtUp: true })
  }
  await trim(wire, 's', 10)
  const stream = await follow(t, 'sse', url, 's')
  const got = withoutPings(await stream.until('caught-up')).map(({ message }) => message)
  t.match(got.slice(1), [
    { type: 'subscribed', earliest: `${epoch}-11`, after: `${epoch}-10`, head: `${epoch}-10` },
    { type: 'gap', from: `${epoch}-1`, to: `${epoch}-10` },
    { type: 'caught-up', offset: `${epoch}-10` },
  ])
})

t.test('pings are sent on silent streams only', async t => {
  const wire = await serve(t)
  const { url } = wire
  await numbers(url, 's', 1)
  await Promise.all(
    streams.map(async transport => {
      const stream = await follow(t, transport, url, 's', { heartbeatMs: 1000 })
      const hello = (await stream.until('caught-up'))[0]?.message as Message
      if (transport !== 'websocket') t.equal(hello.heartbeatMs, 1000)
      // The one that follows the greeting.
      let last = (await stream.nextOf('ping')).time as number
      for (let i = 0; i < 2; i++) {
        const got = await stream.next()
        t.same(Object.keys(got.message), ['type', 'time'], 'nothing else in between')
        t.notOk(transport === 'sse' && got.id)
        const silence = (got.message.time as number) - last
        // Its time is taken when it is made, some way into a turn of a busy server: it says little about the pause.
        t.ok(silence < 15_000, `${transport}: after ${silence} ms, not the server’s own 15 s`)
        last = got.message.time as number
      }
      stream.close()
    }),
  )

  const busy = await Promise.all(streams.map(s => follow(t, s, url, 's', { heartbeatMs: 1000 })))
  for (const stream of busy) {
    await stream.until('caught-up')
    await stream.nextOf('ping')
  }
  const count = 25
  for (let i = 0; i < count; i++) {
    await new Promise(resolve => setTimeout(resolve, 100))
    await numbers(url, 's', 1, i)
  }
  for (const stream of busy) {
    const got: Got[] = []
    while (got.filter(isEvent).length < count) got.push(await stream.next())
    t.same([...new Set(types(got))], ['x.n'], 'no ping while events come')
  }
})

t.test("without a wish of the client's, the server's heartbeat holds", async t => {
  const { url } = await serve(t, { heartbeatMs: 1000 })
  await numbers(url, 's', 1)
  await Promise.all(
    streams.map(async transport => {
      const stream = await follow(t, transport, url, 's')
      const got = await stream.until('ping')
      t.match(got[0]?.message, { type: 'hello', heartbeatMs: 1000 })
      const silence = ((await stream.nextOf('ping')).time as number) - (got.at(-1)?.message.time as number)
      t.ok(silence < 15_000, `${transport}: ${silence} ms, not the 15 s that are the default`)
    }),
  )
})

t.test('a second subscribe replaces the first, at once', async t => {
  const random = seeded(seedOf(t))
  const wire = await serve(t)
  const { url } = wire
  for (let i = 0; i < 5; i++) await numbers(url, 's', 1000, 1000 * i)
  const epoch = String((await wire.server.journal.findSession('s'))?.epoch)
  const client = await openWs(t, url)
  const got: Got[] = []
  const rounds = 60
  for (let i = 0; i < rounds; i++) {
    const after = `${epoch}-${Math.floor(random() * 5000)}`
    client.send({ id: `${i}`, type: 'subscribe', sessionId: 's', after, replay: 'full' })
    // Some are replaced before they begin, some in the middle of their replay.
    if (i % 3 === 0) got.push(...(await client.until('subscribed')))
    if (i % 7 === 0) {
      let left = 1 + Math.floor(random() * 100)
      got.push(...(await client.until(({ message }) => message.type === 'caught-up' || --left === 0)))
    }
  }
  got.push(...(await client.until(({ message }) => message.id === `${rounds - 1}`)))
  got.push(...(await client.until('caught-up')))
  let last = Number.NaN
  let begun = 0
  let flaw: string | undefined
  for (const { message } of got) {
    if (message.type === 'subscribed') {
      last = seqOf(message.after)
      begun++
    } else if (message.type === 'x.n') {
      if (seqOf(message.offset) !== last + 1) flaw ??= `${message.offset} after ${last}`
      last++
    }
  }
  t.equal(flaw, undefined)
  t.equal(begun, rounds)
  t.equal(last, 5000)
})

t.test('no message of a session is sent after the ack of unsubscribe', async t => {
  const wire = await serve(t)
  const { url } = wire
  await numbers(url, 'other', 1)
  await command(url, 's', { type: 'run.start', agent: 'endless', input: {} })
  const client = await openWs(t, url)
  for (let i = 0; i < 20; i++) {
    client.send({ id: `s${i}`, type: 'subscribe', sessionId: 's', coalesceMs: i % 2 })
    await client.until(({ message }) => message.type === 'text.delta')
    client.send({ id: `u${i}`, type: 'unsubscribe', sessionId: 's' })
    await client.until(({ message }) => message.id === `u${i}`)
    client.send({ type: 'ping', time: i })
    const after = withoutPings(await client.until('pong'))
    t.same(types(after), ['pong'])
  }
  t.match(await client.command({ type: 'unsubscribe', sessionId: 's' }), { type: 'ack' }, 'twice is fine')
})

t.test('commands of one connection on one session take effect in the order sent', async t => {
  const wire = await serve(t)
  const client = await openWs(t, wire.url)
  await client.nextOf('hello')
  const say = (n: number) =>
    client.send({ id: `p${n}`, type: 'publish', sessionId: 's', event: { type: 'x.n', data: n } })
  for (let round = 0; round < 30; round++) {
    say(1)
    client.send({ id: 'sub', type: 'subscribe', sessionId: 's', replay: 'none' })
    say(2)
    client.send({ id: 'unsub', type: 'unsubscribe', sessionId: 's' })
    say(3)
    const got = withoutPings(await client.until(({ message }) => message.id === 'p3'))
    const seen = got.filter(isEvent).map(({ message }) => message.data as unknown)
    // The second may still be on its way when the subscription is given up.
    t.ok(JSON.stringify(seen) === '[2]' || seen.length === 0, JSON.stringify(types(got)))
    const acks = got.filter(({ message }) => message.type === 'ack').map(({ message }) => message.id)
    t.same(acks, ['p1', 'sub', 'p2', 'unsub', 'p3'])
  }
  t.equal((await logged(wire, 's')).length, 90)
})

t.test('several sessions on one socket keep apart', async t => {
  const wire = await serve(t)
  const { url } = wire
  const ids = ['a', 'b', 'c', 'd']
  for (const id of ids) await numbers(url, id, 50)
  const client = await openWs(t, url)
  for (const id of ids) client.send({ id, type: 'subscribe', sessionId: id, replay: 'full' })
  const got: Got[] = []
  const caughtUp = new Set<string>()
  while (caughtUp.size < ids.length) {
    const one = await client.next()
    got.push(one)
    if (one.message.type === 'caught-up') caughtUp.add(one.message.sessionId as string)
  }
  await Promise.all(ids.map(id => numbers(url, id, 50, 50)))
  got.push(...(await client.events(200)))
  for (const id of ids) {
    const mine = got.filter(({ message }) => message.sessionId === id && isEvent({ message } as Got))
    t.same(
      mine.map(({ json }) => json),
      await logged(wire, id),
    )
  }
})

t.test('last, and replay=none', async t => {
  const wire = await serve(t)
  const { url } = wire
  await numbers(url, 's', 10)
  const log = await logged(wire, 's')
  const head = JSON.parse(log.at(-1) as string).offset as string
  const epoch = epochOf(head)
  const cases: [object, number, string][] = [
    [{ last: 3 }, 7, 'compact'],
    [{ last: 0 }, 10, 'compact'],
    [{ last: 100 }, 0, 'compact'],
    [{ last: 3, after: `${epoch}-2` }, 2, 'compact'],
    [{ replay: 'none' }, 10, 'none'],
    [{ replay: 'none', last: 3 }, 10, 'none'],
    [{ replay: 'none', after: `${epoch}-4` }, 4, 'none'],
    [{ replay: 'full', last: 1 }, 9, 'full'],
    [{ replay: 'none', after: '1-1' }, 10, 'none'],
  ]
  for (const transport of streams) {
    for (const [params, start, replay] of cases) {
      const stream = await follow(t, transport, url, 's', params)
      const got = await stream.until('caught-up')
      const subscribed = got.find(({ message }) => message.type === 'subscribed')?.message
      t.match(subscribed, { after: `${epoch}-${start}`, replay }, `${transport} ${JSON.stringify(params)}`)
      t.same(
        got.filter(isEvent).map(({ json }) => json),
        log.slice(start),
      )
      stream.close()
    }
  }
  for (const [params, start] of cases) {
    t.same((await fetchPage(url, 's', params)).texts, log.slice(start), `page ${JSON.stringify(params)}`)
  }
})

t.test('coalesceMs collects events into one write', async t => {
  const wire = await serve(t)
  const { url } = wire
  await numbers(url, 's', 1)
  const client = await openWs(t, url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', coalesceMs: 300, replay: 'none' })
  await client.until('caught-up')
  await client.nextOf('ping')
  client.messages.length = 0
  for (let i = 0; i < 20; i++) await wire.server.sessions.ingest('s', [{ type: 'x.n', data: i }], { id: 'l' })
  await client.events(20)
  t.equal(client.messages.length, 1)
})

t.test('pong repeats the time and the id of its ping', async t => {
  const { url } = await serve(t)
  const client = await openWs(t, url)
  for (const time of [0, 1.5, Date.now(), -1]) {
    client.send({ type: 'ping', time })
    const pong = await client.nextOf('pong')
    t.same(Object.keys(pong), ['type', 'time', 'serverTime'])
    t.equal(pong.time, time)
  }
  client.send({ type: 'ping', id: 'p1', time: 1 })
  t.match(await client.nextOf('pong'), { time: 1, id: 'p1' })
})

t.test('a stream that ends says so to a bare EventSource, which then stays away', async t => {
  const wire = await serve(t)
  const { url } = wire
  const { body } = await command(url, 's', { type: 'run.start', agent: 'script', input: { events: [] } })
  const stream = new EventSourceStream(eventsUrl(url, 's', { run: body.runId }))
  t.teardown(() => stream.close())
  await stream.until('end')
  // It comes back with its last id, is told 204, and gives up.
  await t.rejects(stream.next(), /204/)
  t.equal(stream.source.readyState, stream.source.CLOSED)
})
