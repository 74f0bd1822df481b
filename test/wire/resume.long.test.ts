/** Resuming: every offset, from any transport, is a safe cursor on every transport. */
import t, { type Test } from 'tap'
import { random as seeded, seedOf } from '../../src/log/contract/random.ts'
import {
  connect,
  type EventSourceStream,
  eventsUrl,
  fetchPage,
  follow,
  type Got,
  isEvent,
  openSse,
  openWs,
  type Stream,
  type Transport,
  transports,
} from '../fixtures/wire-clients.ts'
import { each, ingest, ingestLines, logged, serve, type Wire } from '../fixtures/wire-server.ts'

const awkward: unknown[] = [
  '',
  '\n',
  '\r\n',
  'a\r\nb\n\nc\rd',
  'data: not a field\n\nid: 1-1\n\n',
  '\u2028\u2029\u0085\ufeff',
  '👩‍👩‍👧 über naïve 漢字 \u0000\u0007\\"',
  '\ud83d\ude00 and \udbff\udfff',
  null,
  0,
  -0.5e-9,
  [],
  {},
  [[], [{}], ''],
  { '': '', 'a b': null, ключ: '\n' },
]

/** Some sixty events; the large ones come early, so that few resumes carry them. */
async function fill(t: Test, wire: Wire, sessionId: string, random: () => number): Promise<string[]> {
  const bodies = Array.from({ length: 60 }, (_, i) => {
    if (i === 1) return { type: 'x.large', data: '漢\n'.repeat(50_000) }
    if (i === 9) return { type: 'x.large', data: { text: 'ü'.repeat(100_000), end: '' } }
    if (i === 10) return { type: 'text.delta', data: { partId: 'p', delta: '\u2028'.repeat(66_000) } }
    const value = awkward[Math.floor(random() * awkward.length)]
    if (typeof value !== 'string' || random() < 0.4) return { type: 'x.any', data: value }
    return { type: 'text.delta', data: { partId: random() < 0.8 ? 'p' : 'q', delta: value } }
  })
  const { status, body } = await ingestLines(
    wire.url,
    sessionId,
    bodies.map(b => JSON.stringify(b)).join('\n'),
  )
  t.equal(status, 200, JSON.stringify(body).slice(0, 200))
  const all = await logged(wire, sessionId)
  t.same(
    all.map(json => JSON.parse(json).data),
    bodies.map(body => body.data),
    'the log holds what was sent',
  )
  return all
}

t.test('an offset read on one transport is a safe cursor on every other', async t => {
  const random = seeded(seedOf(t))
  const wire = await serve(t)
  const { url } = wire
  const log = await fill(t, wire, 's', random)

  // The cursor after k events, as each transport tells it.
  const cursors = new Map<Transport, (string | undefined)[]>()
  for (const transport of transports) {
    const stream = await follow(t, transport, url, 's', { replay: 'full' })
    const events = await stream.backlog()
    t.ok(
      events.map(got => got.json).join('\n') === log.join('\n'),
      `${transport}: the whole log, byte for byte`,
    )
    cursors.set(transport, [undefined, ...events.map(got => got.id)])
    stream.close()
  }
  const [first, ...others] = cursors.values()
  for (const other of others) t.same(other, first, 'the same cursors on every transport')

  for (const transport of transports) {
    const wrong: number[] = []
    const check = async (k: number, stream: Stream) => {
      const got = await stream.backlog()
      const same = got.length === log.length - k && got.every(({ json }, i) => json === log[k + i])
      if (!same) wrong.push(k)
    }
    if (transport === 'websocket') {
      const client = await openWs(t, url)
      for (let k = 0; k <= log.length; k++) {
        client.send({ id: `${k}`, type: 'subscribe', sessionId: 's', replay: 'full', after: first?.[k] })
        await check(k, client)
      }
      client.send({ type: 'ping', time: 1 })
      t.equal((await client.until(({ message }) => message.type !== 'ping')).at(-1)?.message.type, 'pong')
    } else {
      await each(log.length + 1, async k => {
        const stream = await connect(transport, url, 's', { replay: 'full', after: first?.[k] })
        await check(k, stream)
        stream.close()
      })
    }
    t.same(wrong, [], `${transport}: resumed at each of ${log.length + 1} offsets`)
  }
})

t.test('Last-Event-ID wins over after', async t => {
  const wire = await serve(t)
  const { url } = wire
  await ingest(
    url,
    's',
    [1, 2, 3].map(n => ({ type: 'x.n', data: n })),
  )
  const log = await logged(wire, 's')
  const [one, two] = log.map(json => JSON.parse(json).offset as string)
  const headers = { 'last-event-id': two as string }
  const stream = await openSse(t, eventsUrl(url, 's', { after: one }), { headers })
  t.same(
    (await stream.backlog()).map(({ json }) => json),
    [log[2]],
  )
  const page = await fetchPage(url, 's', { after: one }, { headers })
  t.same(page.texts, [log[2]])
  const empty = await fetchPage(url, 's', { after: one }, { headers: { 'last-event-id': '' } })
  t.same(empty.texts, log.slice(1), 'an empty header counts as none')
})

t.test('a client that hops between transports while events come gets each once', async t => {
  const seed = seedOf(t)
  const wire = await serve(t)
  const { url } = wire
  await ingest(url, 's', { type: 'x.first', data: 0 })
  const total = 1500
  let sent = 1
  const producer = (async () => {
    const random = seeded(seed)
    while (sent < total) {
      const count = Math.min(total - sent, 1 + Math.floor(random() * 10))
      await ingest(
        url,
        's',
        Array.from({ length: count }, (_, i) => ({
          type: 'text.delta',
          data: { partId: 'p', delta: `${sent + i} ` },
        })),
      )
      sent += count
    }
  })()

  const hop = async (number: number) => {
    const random = seeded(seed + number)
    const got: string[] = []
    const hops = new Set<string>()
    let transport: Transport | undefined
    let cursor: string | undefined
    while (got.length < total) {
      const next: Transport = transports[Math.floor(random() * transports.length)] as Transport
      if (transport) hops.add(`${transport}>${next}`)
      transport = next
      const stream = await connect(transport, url, 's', { replay: 'full', after: cursor })
      const count = Math.min(total - got.length, 1 + Math.floor(random() * 40))
      for (const { json, id } of await stream.events(count)) {
        got.push(json)
        cursor = id
      }
      stream.close()
    }
    return { got, hops }
  }
  const hopped = await Promise.all([1, 2, 3, 4].map(hop))
  await producer
  const log = await logged(wire, 's')
  const pairs = new Set(hopped.flatMap(({ hops }) => [...hops]))
  t.comment(`${pairs.size} of 16 ways to hop, ${hopped.map(({ hops }) => hops.size)}`)
  for (const { got } of hopped) t.ok(got.join('\n') === log.join('\n'), 'the whole log, each event once')
})

t.test('a bare EventSource reconnects by itself and misses nothing', async t => {
  const wire = await serve(t)
  const { server, url } = wire
  await ingest(url, 's', { type: 'x.n', data: 0 })
  const stream = (await follow(t, 'eventsource', url, 's', { replay: 'full' })) as EventSourceStream
  const got: string[] = []
  const cuts = 8
  for (let cut = 0; cut < cuts; cut++) {
    got.push(...(await stream.events(10 * cut + 1 - got.length)).map(({ json }) => json))
    server.app.server.closeAllConnections()
    const more = Array.from({ length: 10 }, (_, i) => ({ type: 'x.n', data: 10 * cut + i + 1 }))
    await server.sessions.ingest('s', more, { id: 'local' })
  }
  got.push(...(await stream.events(10 * cuts + 1 - got.length)).map(({ json }) => json))
  t.same(got, await logged(wire, 's'))
  t.ok(stream.opened >= cuts, `connected ${stream.opened} times`)
})

t.test('a session without events resumes at its cursor', async t => {
  const wire = await serve(t)
  const { url } = wire
  await wire.server.sessions.create('s')
  for (const transport of transports) {
    const stream = await follow(t, transport, url, 's')
    const caughtUp = (await stream.until('caught-up')).at(-1) as Got
    t.match(caughtUp.id ?? caughtUp.message.offset, /^[1-9]\d*-0$/, transport)
    stream.close()
  }
  const stream = (await follow(t, 'eventsource', url, 's')) as EventSourceStream
  await stream.until('caught-up')
  wire.server.app.server.closeAllConnections()
  await wire.server.sessions.ingest('s', [{ type: 'x.n', data: 1 }], { id: 'local' })
  const again = await stream.until('caught-up')
  t.same(
    again.filter(isEvent).map(({ json }) => json),
    await logged(wire, 's'),
  )
  t.match(
    again.map(({ message }) => message),
    [{ type: 'hello' }, { type: 'subscribed', after: /-0$/ }, { type: 'x.n' }, { type: 'caught-up' }],
    'no reset',
  )
})

t.test('backward pages together contain the whole log', async t => {
  const random = seeded(seedOf(t))
  const wire = await serve(t)
  const log = await fill(t, wire, 's', random)
  for (const limit of [1, 7, 1000]) {
    const pages: string[][] = []
    const controls: unknown[] = []
    let before = JSON.parse(log.at(-1) as string).offset as string
    for (let done = false; !done; ) {
      const page = await fetchPage(wire.url, 's', { before, limit, replay: 'full' })
      controls.push(...page.controls)
      pages.unshift(page.texts)
      done = page.caughtUp
      if (!done && page.next === before) throw new Error('stands still')
      before = page.next
    }
    t.same(controls, [])
    t.ok(pages.every(page => page.length <= limit))
    t.ok(pages.flat().join('\n') === log.slice(0, -1).join('\n'), `${limit} at a time`)
  }
})
