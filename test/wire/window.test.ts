/** `windowBytes`: a client that cannot stop reading is never sent more than it asked for. */
import t from 'tap'
import { random as seeded, seedOf } from '../../src/log/contract/random.ts'
import { epochOf, isEvent, openWs, type Params, seqOf, type WsClient } from '../fixtures/wire-clients.ts'
import { call, command, ingest, logged, serve, type Wire } from '../fixtures/wire-server.ts'

interface Sent {
  seq: number
  bytes: number
}

/** A subscriber that counts what is outstanding and what was wrong with it. */
class Consumer {
  readonly client: WsClient
  readonly #windowBytes: number
  outstanding: Sent[] = []
  last: number
  texts: string[] = []
  flaws: string[] = []
  caughtUp = false

  constructor(client: WsClient, windowBytes: number, after: number) {
    this.client = client
    this.#windowBytes = windowBytes
    this.last = after
  }

  get bytes(): number {
    return this.outstanding.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Takes everything until nothing more comes: until a few round trips brought nothing. */
  async drain(): Promise<void> {
    for (let quiet = 0; quiet < 4; quiet++) {
      this.client.send({ type: 'ping', time: 0 })
      for (const { json, message } of await this.client.until('pong')) {
        if (message.type === 'caught-up') this.caughtUp = true
        if (!json.startsWith('{"offset"')) continue
        quiet = -1
        const { offset, from, data } = message
        if (seqOf(from ?? offset) !== this.last + 1) this.flaws.push(`${from ?? offset} after ${this.last}`)
        this.last = seqOf(offset)
        this.texts.push(String(data?.['delta'] ?? data?.['text']))
        this.outstanding.push({ seq: this.last, bytes: Buffer.byteLength(json) })
        if (this.bytes > this.#windowBytes && this.outstanding.length > 1) {
          this.flaws.push(`${this.bytes} bytes outstanding at ${offset}`)
        }
      }
    }
  }

  /** Says that the first `count` outstanding events are consumed. */
  consume(sessionId: string, epoch: string, count: number): void {
    const consumed = this.outstanding.splice(0, count).at(-1)
    if (consumed) this.client.send({ type: 'window', sessionId, offset: `${epoch}-${consumed.seq}` })
  }
}

/** Texts of all sizes, some larger than any window here. */
async function fill({ url }: Wire, random: () => number, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => {
    const text = `${i} ${'ü'.repeat(random() < 0.05 ? 3000 : Math.floor(random() * 300))}`
    return random() < 0.7
      ? { type: 'text.delta', data: { partId: 'p', delta: text } }
      : { type: 'x.text', data: { text } }
  })
  await ingest(url, 's', events)
}

for (const replay of ['full', 'compact'] as const) {
  t.test(`a ${replay} replay stays within the window, uses all of it, and goes on with it`, async t => {
    const random = seeded(seedOf(t))
    const wire = await serve(t)
    await fill(wire, random, 200)
    const log = await logged(wire, 's')
    const epoch = epochOf(JSON.parse(log[0] as string).offset)
    const client = await openWs(t, wire.url)
    const windowBytes = 2000
    const params: Params = { replay, windowBytes }
    client.send({ id: 'a', type: 'subscribe', sessionId: 's', ...params })
    await client.until('subscribed')
    const consumer = new Consumer(client, windowBytes, 0)
    for (let stalls = 0; consumer.last < log.length; stalls++) {
      await consumer.drain()
      if (consumer.outstanding.length === 0) t.fail('stands still with nothing outstanding')
      if (consumer.last === log.length) break
      t.notOk(consumer.caughtUp, 'not before everything is out')
      const next = Buffer.byteLength(log[consumer.last] as string)
      if (replay === 'full' && consumer.bytes + next <= windowBytes) {
        t.fail(`${consumer.bytes} outstanding, and ${next} were not sent`)
      }
      if (stalls % 3 === 0) {
        // Some of it, the same again, and what was never sent.
        consumer.consume('s', epoch, 1 + Math.floor(random() * consumer.outstanding.length))
        client.send({ type: 'window', sessionId: 's', offset: `${epoch}-0` })
      } else consumer.consume('s', epoch, consumer.outstanding.length)
    }
    await consumer.drain()
    t.same(consumer.flaws, [])
    t.ok(consumer.caughtUp, 'controls do not count')
    const text = log.map(json => JSON.parse(json).data).map(data => data.delta ?? data.text)
    t.equal(consumer.texts.join(''), text.join(''))
  })
}

t.test('live events wait for the credit window', async t => {
  const random = seeded(seedOf(t))
  const wire = await serve(t)
  await fill(wire, random, 1)
  const epoch = epochOf(JSON.parse((await logged(wire, 's'))[0] as string).offset)
  const client = await openWs(t, wire.url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', replay: 'none', windowBytes: 3000 })
  await client.until('caught-up')
  const consumer = new Consumer(client, 3000, 1)
  for (let i = 0; i < 15; i++) {
    await fill(wire, random, 10)
    await consumer.drain()
    consumer.consume('s', epoch, Math.ceil(random() * consumer.outstanding.length))
  }
  while (consumer.last < 151) {
    consumer.consume('s', epoch, consumer.outstanding.length)
    await consumer.drain()
  }
  t.same(consumer.flaws, [])
})

t.test('with nothing outstanding one event is always sent', async t => {
  const wire = await serve(t)
  await fill(wire, () => 0.01, 5)
  const log = await logged(wire, 's')
  const client = await openWs(t, wire.url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', windowBytes: 1, replay: 'full' })
  await client.until('subscribed')
  const consumer = new Consumer(client, 1, 0)
  for (let n = 1; n <= 5; n++) {
    await consumer.drain()
    t.equal(consumer.outstanding.length, 1)
    t.equal(consumer.last, n)
    t.equal(consumer.caughtUp, n === 5)
    const { offset } = JSON.parse(log[n - 1] as string)
    t.match(await client.command({ type: 'window', sessionId: 's', offset }), { type: 'ack' }, 'with an id')
    consumer.outstanding = []
  }
})

t.test('a window for another epoch or session frees nothing', async t => {
  const wire = await serve(t)
  const { url } = wire
  await fill(wire, () => 0.01, 5)
  await ingest(url, 'other', { type: 'x.n', data: 1 })
  const client = await openWs(t, url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', windowBytes: 1, replay: 'full' })
  await client.until('subscribed')
  const consumer = new Consumer(client, 1, 0)
  await consumer.drain()
  t.equal(consumer.last, 1)
  const epoch = epochOf(JSON.parse((await logged(wire, 's'))[0] as string).offset)
  client.send({ type: 'window', sessionId: 's', offset: '1-1' })
  client.send({ type: 'window', sessionId: 'other', offset: `${epoch}-1` })
  await consumer.drain()
  t.equal(consumer.last, 1)
  client.send({ type: 'window', sessionId: 's', offset: `${epoch}-1` })
  await consumer.drain()
  t.equal(consumer.last, 2)

  // A new subscription begins with an empty window.
  client.send({
    id: 'b',
    type: 'subscribe',
    sessionId: 's',
    windowBytes: 1,
    replay: 'full',
    after: `${epoch}-3`,
  })
  await client.until('subscribed')
  const next = await client.until(isEvent)
  t.equal(seqOf(next.at(-1)?.message.offset), 4)
})

t.test('a full window ends with its session', async t => {
  const wire = await serve(t)
  await fill(wire, () => 0.01, 5)
  const client = await openWs(t, wire.url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', windowBytes: 1 })
  await client.until(isEvent)
  await call(`${wire.url}/v1/sessions/s`, { method: 'DELETE' })
  t.match(await client.nextOf('end'), { reason: 'deleted' })
  await command(wire.url, 's', { type: 'publish', event: { type: 'x.n', data: 1 } })
  client.send({ type: 'ping', time: 0 })
  t.equal((await client.until('pong')).filter(isEvent).length, 0)
})
