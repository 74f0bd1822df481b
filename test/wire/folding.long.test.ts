/** Folding: neighbouring deltas may come as one event; what they say together is always whole. */
import t, { type Test } from 'tap'
import { random as seeded, seedOf } from '../../src/log/contract/random.ts'
import {
  connect,
  fetchPage,
  follow,
  type Got,
  isEvent,
  type Message,
  openWs,
  type Params,
  type SseStream,
  type Stream,
  seqOf,
  transports,
  type WsClient,
} from '../fixtures/wire-clients.ts'
import { each, ingest, logged, serve, type Wire } from '../fixtures/wire-server.ts'

const FOLD_BYTES = 64 * 1024

const parse = (json: string) => JSON.parse(json) as Message & { offset: string; data: Record<string, string> }

/** Each part's text, by what it is called. */
function texts(events: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (const json of events) {
    const { type, runId, data } = parse(json)
    if (!type.endsWith('.delta')) continue
    const part = `${runId} ${type} ${data['partId'] ?? data['toolCallId']}`
    found[part] = (found[part] ?? '') + data['delta']
  }
  return found
}

/** What is wrong with a reading of everything after number `after`; nothing when it is right. */
function flaw(log: readonly string[], after: number, got: readonly Got[]): string | undefined {
  let last = after
  for (const { json, message } of got) {
    const { offset, from, ...rest } = message
    const first = seqOf(from ?? offset)
    if (first !== last + 1) return `${first} after ${last}`
    last = seqOf(offset)
    const original = log[last - 1] as string
    if (from === undefined) {
      if (json !== original) return `${last} is not as logged`
      continue
    }
    const { offset: _, data, ...envelope } = parse(original)
    if (!envelope.type.endsWith('.delta')) return `${last} was folded`
    const delta = log
      .slice(first - 1, last)
      .map(one => parse(one).data['delta'])
      .join('')
    const { sessionId, runId, type, time, by } = envelope
    const expected = { offset, sessionId, runId, type, time, by, from, data: { ...data, delta } }
    if (json !== JSON.stringify(expected)) return `${first}-${last} is folded wrongly: ${Object.keys(rest)}`
    if (Buffer.byteLength(json) > FOLD_BYTES) return `${first}-${last} is too large`
    const kinds = log.slice(first - 1, last).map(one => {
      const event = parse(one)
      return `${event.runId} ${event.type} ${event.data['partId']}`
    })
    if (new Set(kinds).size > 1) return `${first}-${last} joins what is not one part`
  }
  return last === log.length ? undefined : `ended at ${last} of ${log.length}`
}

/** Reads the session from every offset on every transport. */
async function fromEverywhere(
  t: Test,
  { url }: Wire,
  sessionId: string,
  count: number,
  offsetAt: (k: number) => string,
  params: Params,
  check: (k: number, got: Got[]) => string | undefined,
): Promise<void> {
  for (const transport of transports) {
    const flaws: string[] = []
    const read = async (k: number, stream: Stream) => {
      const found = check(k, await stream.backlog())
      if (found) flaws.push(`from ${k}: ${found}`)
    }
    if (transport === 'websocket') {
      const client = await openWs(t, url)
      for (let k = 0; k <= count; k++) {
        client.send({ id: `${k}`, type: 'subscribe', sessionId, ...params, after: offsetAt(k) })
        await read(k, client)
      }
      client.close()
    } else {
      await each(count + 1, async k => {
        const stream = await connect(transport, url, sessionId, { ...params, after: offsetAt(k) })
        await read(k, stream)
        stream.close()
      })
    }
    t.same(flaws, [], `${transport}: whole from each of ${count + 1} offsets`)
  }
}

t.test('two texts that interleave come out whole from every offset on every transport', async t => {
  const random = seeded(seedOf(t))
  const wire = await serve(t)
  // More than one fold may hold, and early, so that few readings carry it.
  const bodies: object[] = Array.from({ length: 8 }, () => ({
    type: 'text.delta',
    data: { partId: 'p', delta: 'ü"'.repeat(5000) },
  }))
  while (bodies.length < 60) {
    const partId = random() < 0.5 ? 'p' : 'q'
    const type = random() < 0.9 ? 'text.delta' : 'reasoning.delta'
    const length = Math.floor(random() * 9)
    for (let i = 0; i < length; i++) {
      bodies.push({ type, data: { partId, delta: `${bodies.length} `, extra: i, also: [i] } })
    }
    // What a reader sees as one character, in two pieces. Half a code point is refused.
    if (random() < 0.3) {
      bodies.push({ type, data: { partId, delta: 'a👩\u200d' } }, { type, data: { partId, delta: '💻' } })
    }
    if (random() < 0.1) bodies.push({ type, data: { partId, delta: '' } })
    if (random() < 0.5) bodies.push({ type: 'x.between', data: { partId, delta: 'not a text' } })
  }
  await ingest(wire.url, 's', bodies.slice(0, 30))
  await ingest(wire.url, 's', bodies.slice(30))
  const log = await logged(wire, 's')
  const epoch = parse(log[0] as string).offset.split('-')[0]

  let folded = 0
  await fromEverywhere(
    t,
    wire,
    's',
    log.length,
    k => `${epoch}-${k}`,
    { replay: 'compact' },
    (k, got) => {
      folded += got.filter(({ message }) => message.from !== undefined).length
      const found = flaw(log, k, got)
      if (found) return found
      const told = texts(got.map(({ json }) => json))
      const wanted = texts(log.slice(k))
      return JSON.stringify(told) === JSON.stringify(wanted) ? undefined : 'other texts'
    },
  )
  t.ok(folded > 4 * log.length, `${folded} folds were seen`)

  // The default is compact, and a page's limit counts what it holds.
  for (const limit of [1, 5]) {
    const got: Got[] = []
    for (let after: string | undefined; ; ) {
      const page = await fetchPage(wire.url, 's', { after, limit })
      if (page.texts.length > limit || page.texts.length === 0) t.fail(`${page.texts.length} on a page`)
      got.push(...page.texts.map(json => ({ json, message: parse(json) })))
      after = page.next
      if (page.caughtUp) break
    }
    t.equal(flaw(log, 0, got), undefined, `pages of ${limit}`)
    t.ok(got.length < log.length)
  }
})

t.test("a run's stream folds over what others say meanwhile, and any offset is a cursor in it", async t => {
  const random = seeded(seedOf(t))
  const wire = await serve(t)
  const { url } = wire
  const bodies: { type: string; runId?: string; data: unknown }[] = [
    { type: 'x.before', data: null },
    { type: 'run.started', runId: 'r1', data: { agent: 'a', input: null } },
    { type: 'run.started', runId: 'r2', data: { agent: 'a', input: null } },
  ]
  for (let i = 0; i < 60; i++) {
    const pick = random()
    const runId = random() < 0.5 ? 'r1' : 'r2'
    if (pick > 0.9) bodies.push({ type: 'x.any', data: i })
    else if (pick > 0.85) bodies.push({ type: 'x.own', runId, data: i })
    else bodies.push({ type: 'text.delta', runId, data: { partId: 'p', delta: `${i} ` } })
  }
  bodies.push({ type: 'run.completed', runId: 'r1', data: { finishReason: 'stop' } })
  bodies.push({ type: 'x.after', data: null })
  await ingest(url, 's', bodies)
  const log = await logged(wire, 's')
  const epoch = parse(log[0] as string).offset.split('-')[0]
  const mine = log.filter(json => parse(json).runId === 'r1')
  const end = seqOf(parse(mine.at(-1) as string).offset)

  await fromEverywhere(
    t,
    wire,
    's',
    end - 1,
    k => `${epoch}-${k}`,
    { run: 'r1' },
    (k, got) => {
      const wanted = mine.filter(json => seqOf(parse(json).offset) > k)
      if (got.some(({ message }) => message.runId !== 'r1')) return 'an event of somebody else'
      if (JSON.stringify(texts(got.map(({ json }) => json))) !== JSON.stringify(texts(wanted))) {
        return 'another text'
      }
      const whole = got.filter(({ message }) => !message.type.endsWith('.delta')).map(({ json }) => json)
      const exact = wanted.filter(json => !parse(json).type.endsWith('.delta'))
      if (JSON.stringify(whole) !== JSON.stringify(exact)) return 'other events'
      let last = k
      for (const { message } of got) {
        if (seqOf(message.from ?? message.offset) <= last) return `goes back to before ${last}`
        last = seqOf(message.offset)
      }
      return undefined
    },
  )
  const page = await fetchPage(url, 's', { run: 'r1' })
  t.ok(page.texts.length < mine.length, `${mine.length} events came as ${page.texts.length}`)
})

t.test('replay=full never folds, compact only within coalesceMs once live', async t => {
  const wire = await serve(t)
  const { url } = wire
  await ingest(url, 's', { type: 'x.first', data: 0 })
  const kinds: Record<string, Params> = {
    plain: {},
    coalesced: { coalesceMs: 200 },
    full: { replay: 'full', coalesceMs: 200 },
    none: { replay: 'none', coalesceMs: 200 },
  }
  for (const transport of ['sse', 'eventsource', 'websocket'] as const) {
    const { head } = await fetchPage(url, 's')
    const streams = new Map<string, Stream>()
    for (const [kind, params] of Object.entries(kinds)) {
      const stream = await follow(t, transport, url, 's', { ...params, after: head })
      await stream.until('caught-up')
      streams.set(kind, stream)
    }
    for (let i = 0; i < 20; i++) {
      const deltas = ['a', 'b', 'c'].map(delta => ({ type: 'text.delta', data: { partId: 'p', delta } }))
      await wire.server.sessions.ingest('s', deltas, { id: 'local' })
    }
    await wire.server.sessions.ingest('s', [{ type: 'x.last', data: transport }], { id: 'local' })
    const log = await logged(wire, 's')
    const counts: Record<string, number> = {}
    for (const [kind, stream] of streams) {
      const got = (await stream.until('x.last')).filter(isEvent)
      counts[kind] = got.length
      t.equal(flaw(log, seqOf(head), got), undefined, `${transport} ${kind}`)
      stream.close()
    }
    t.match(counts, { plain: 61, full: 61 }, 'neither folds')
    t.ok((counts['coalesced'] as number) < 10 && (counts['none'] as number) < 10, JSON.stringify(counts))
  }
})

t.test('a client that falls behind gets the rest folded, unless it wants it in full', async t => {
  const wire = await serve(t)
  const { url, server } = wire
  await ingest(url, 's', { type: 'x.first', data: 0 })
  const { head } = await fetchPage(url, 's')
  const slow = new Map<string, { stream: SseStream | WsClient; replay: string }>()
  for (const replay of ['compact', 'full']) {
    const sse = (await follow(t, 'sse', url, 's', { after: head, replay })) as SseStream
    const ws = (await follow(t, 'websocket', url, 's', { after: head, replay })) as WsClient
    for (const stream of [sse, ws]) await stream.until('caught-up')
    sse.pause()
    ws.socket.pause()
    slow.set(`sse ${replay}`, { stream: sse, replay })
    slow.set(`websocket ${replay}`, { stream: ws, replay })
  }
  // More than what kernels hold for a client that does not read.
  const pad = 'x'.repeat(1000)
  const total = 15_000
  for (let i = 0; i < total; i += 50) {
    const deltas = Array.from({ length: 50 }, (_, j) => ({
      type: 'text.delta',
      data: { partId: i % 5000 < 4900 ? 'p' : 'q', delta: `${i + j} ${pad}` },
    }))
    await server.sessions.ingest('s', deltas, { id: 'local' })
    await new Promise(resolve => setImmediate(resolve))
  }
  await server.sessions.ingest('s', [{ type: 'x.last', data: 0 }], { id: 'local' })
  const log = await logged(wire, 's')
  for (const [name, { stream, replay }] of slow) {
    if ('resume' in stream) stream.resume()
    else stream.socket.resume()
    const got = (await stream.until('x.last')).filter(isEvent)
    t.equal(flaw(log, seqOf(head), got), undefined, name)
    const folds = got.filter(({ message }) => message.from !== undefined).length
    t.comment(`${name}: ${got.length} events, ${folds} of them folds`)
    if (replay === 'full') t.equal(got.length, total + 1)
    else t.ok(folds > 10)
    stream.close()
  }
})
