/** Lag policies on real sockets that really stop reading: what is kept in memory, and what the client gets. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  type Got,
  isEvent,
  openSse,
  openWs,
  SseStream,
  type Stream,
  seqOf,
  WsClient,
} from '../fixtures/wire-clients.ts'
import { command, createSession, eventually, serve, startRun, type Wire } from '../fixtures/wire-server.ts'

/** More than a kernel hides for a stalled connection: 4–8 MB here. */
const DELTAS = 2000
const DELTA_BYTES = 8000

const transports = ['sse', 'websocket'] as const
type Transport = (typeof transports)[number]

/** Follows the session with a policy; resolves once it is live. */
async function followed(t: Test, { url }: Wire, transport: Transport, lag: string): Promise<Stream> {
  let stream: SseStream | WsClient
  if (transport === 'sse') stream = await openSse(t, `${url}/v1/sessions/s/events?lag=${lag}`)
  else {
    stream = await openWs(t, url)
    stream.send({ type: 'subscribe', id: '1', sessionId: 's', lag })
  }
  await stream.until('caught-up')
  return stream
}

function pause(stream: Stream): void {
  if (stream instanceof SseStream) stream.pause()
  else if (stream instanceof WsClient) stream.tcp.pause()
}

function resume(stream: Stream): void {
  if (stream instanceof SseStream) stream.resume()
  else if (stream instanceof WsClient) stream.tcp.resume()
}

const deltaOf = (n: number) => `${n} `.padEnd(DELTA_BYTES, String.fromCharCode(97 + (n % 26)))

/** Appends deltas with what must not be lost among them; gives how many events there are then. */
async function publish({ server: { journal } }: Wire): Promise<number> {
  let head = 0
  const append = async (type: string, data: unknown, conditions = {}) => {
    const appended = await journal.append('s', [{ type, runId: 'r', data }], conditions)
    if (appended.accepted) head = appended.head
  }
  await append('run.started', { agent: 'a' }, { once: [{ key: 'run:r' }] })
  for (let n = 0; n < DELTAS; n++) {
    await append('text.delta', { partId: 'p', delta: deltaOf(n) })
    if (n === DELTAS / 2) await append('input.requested', { requestId: 'q', kind: 'question', message: '?' })
    if (n % 10 === 0) await nextTurn()
  }
  await append('run.completed', { finishReason: 'stop' }, { once: [{ key: 'end:r' }] })
  await append('x.last', 1)
  return head
}

const isLast = ({ message }: Got) => message.type === 'x.last'

const textOf = (got: readonly Got[]) =>
  got.map(({ message }) => (message.type === 'text.delta' ? message.data?.['delta'] : '')).join('')

const wholeText = () => Array.from({ length: DELTAS }, (_, n) => deltaOf(n)).join('')

/** Bytes that wait in this process for all sockets of a transport, by the metrics. */
async function buffered({ url }: Wire, transport: Transport): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return Number(
    new RegExp(`^twinrail_buffered_bytes\\{transport="${transport}"\\} (\\d+)$`, 'm').exec(metrics)?.[1],
  )
}

for (const transport of transports) {
  t.test(`${transport}: conflate keeps nothing for a stalled client and gives it the exact text`, async t => {
    const wire = await serve(t)
    await createSession(wire.url, 's')
    const slow = await followed(t, wire, transport, 'conflate')
    const healthy = await followed(t, wire, transport, 'conflate')
    pause(slow)
    const healthyGot = healthy.until(isLast)
    await publish(wire)
    t.equal(textOf(await healthyGot), wholeText(), 'the healthy one has it all meanwhile')
    t.ok(
      [...wire.server.bus.subscriptions()].some(({ lag }) => lag.bytes > 1024 * 1024),
      'the other lags',
    )
    const waiting = await buffered(wire, transport)
    t.ok(waiting < 1024 * 1024, `${waiting} bytes wait`)
    resume(slow)
    const got = await slow.until(isLast)
    t.equal(textOf(got), wholeText(), 'the text is exact')
    const offsets = got.filter(isEvent).map(({ message }) => message)
    for (const [i, event] of offsets.entries()) {
      const before = offsets[i - 1]
      if (before && seqOf(event.from ?? event.offset) !== seqOf(before.offset) + 1)
        t.fail(`a hole at ${event.offset}`)
    }
  })

  t.test(`${transport}: skip reports its gaps, and sends the newest and what clients wait for`, async t => {
    const wire = await serve(t)
    await createSession(wire.url, 's')
    const slow = await followed(t, wire, transport, 'skip')
    pause(slow)
    const published = await publish(wire)
    resume(slow)
    const got = await slow.until(
      ({ message }) => seqOf(message.type === 'gap' ? message.to : message.offset) === published,
    )
    t.equal(got.at(-1)?.message.type, 'x.last', 'the newest event is sent, not left out')
    let [received, skipped, last] = [0, 0, 0]
    for (const { message } of got) {
      const [from, to] =
        message.type === 'gap' ? [message.from, message.to] : [message.from ?? message.offset, message.offset]
      if (message.type !== 'gap' && !message.type.includes('.')) continue
      t.ok(seqOf(from) > last, 'offsets only rise') || t.bailout()
      const count = seqOf(to) - seqOf(from) + 1
      if (message.type === 'gap') skipped += count
      else received += count
      last = seqOf(to)
    }
    t.equal(
      received + skipped,
      published,
      `${received} received and ${skipped} skipped are ${published} published`,
    )
    t.ok(skipped > 0)
    const types = got.map(({ message }) => message.type)
    for (const type of ['input.requested', 'run.completed'])
      t.equal(types.filter(it => it === type).length, 1, type)
    t.ok(
      got
        .filter(({ message }) => message.type === 'gap')
        .every(({ message }) => message.reason === 'skipped'),
    )
  })

  t.test(
    `${transport}: disconnect ends the connection of a client that lags, and gives the reason`,
    async t => {
      const wire = await serve(t)
      await createSession(wire.url, 's')
      const slow = await followed(t, wire, transport, 'disconnect')
      pause(slow)
      const published = publish(wire)
      await eventually(t, 'its subscription is over', () => [...wire.server.bus.subscriptions()].length === 0)
      resume(slow)
      const closing = (await slow.until('closing')).at(-1)?.message
      t.equal(closing?.code, 'too-slow')
      if (slow instanceof WsClient) t.equal((await slow.closed).code, 4431)
      else if (slow instanceof SseStream) await slow.ended
      await published
    },
  )

  t.test(
    `${transport}: a last message that nobody reads waits as long as any write, and no longer`,
    async t => {
      // No heartbeat finds the stalled write first.
      const wire = await serve(t, { stallMs: 100, heartbeatMs: 60_000 })
      await createSession(wire.url, 's')
      const slow = await followed(t, wire, transport, 'disconnect')
      pause(slow)
      const connections = () =>
        new Promise<number>((resolve, reject) =>
          wire.server.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
        )
      const before = await connections()
      const published = publish(wire)
      await eventually(t, 'its connection is gone', async () => (await connections()) < before)
      await published
    },
  )

  t.test(`${transport}: wait holds the agent, never a command, and loses nothing`, async t => {
    const wire = await serve(t, { delivery: { hold: { holdMs: 120_000, windowMs: 240_000 } } })
    await createSession(wire.url, 's')
    const slow = await followed(t, wire, transport, 'wait')
    pause(slow)
    const input = { count: DELTAS, rate: 0, bytes: DELTA_BYTES }
    await startRun(wire.url, 's', 'playback', input, { runId: 'r' })
    const { bus, journal } = wire.server
    const headNow = async () => (await journal.session('s')).head
    // The system's buffers may take in more after a first wait.
    await eventually(t, 'the agent waits, and nothing is appended', async () => {
      const before = await headNow()
      for (let turn = 0; turn < 50; turn++) await nextTurn()
      return bus.admitted('s') !== undefined && (await headNow()) === before
    })
    const head = await headNow()
    t.ok(head < DELTAS, `held at ${head}`)
    const { body } = await command(wire.url, 's', { type: 'publish', event: { type: 'x.now', data: 1 } })
    t.equal(body.type, 'ack', 'a command is taken at once')
    resume(slow)
    const got = await slow.until('run.completed')
    const full = await journal.read('s', 0, { events: 1e6, bytes: 1e9 })
    t.equal(
      textOf(got),
      textOf((full?.events ?? []).map(({ json }) => ({ json, message: JSON.parse(json) }))),
    )
    t.equal(bus.admitted('s'), undefined, 'producers may go on')
  })
}

t.test('wait holds ingest: it answers late', async t => {
  const wire = await serve(t, { delivery: { hold: { holdMs: 120_000, windowMs: 240_000 } } })
  await createSession(wire.url, 's')
  const slow = await followed(t, wire, 'sse', 'wait')
  pause(slow)
  const event = { type: 'x.big', data: 'x'.repeat(200_000) }
  let answered = 0
  let isOver = false
  const producer = (async () => {
    for (; !isOver; answered++) await wire.server.sessions.ingest('s', [event], { id: 'p' })
  })()
  // The system's buffers may take in more after a first wait.
  await eventually(t, 'an ingest waits and is not answered', async () => {
    const before = answered
    for (let turn = 0; turn < 50; turn++) await nextTurn()
    return wire.server.bus.admitted('s') !== undefined && answered === before
  })
  isOver = true
  resume(slow)
  await producer
  t.equal((await wire.server.journal.session('s')).head, answered)
})

t.test('a subscriber that holds producers for too long is dropped as a holder', async t => {
  const wire = await serve(t, { delivery: { hold: { holdMs: 200, windowMs: 60_000 } } })
  await createSession(wire.url, 's')
  const slow = await followed(t, wire, 'websocket', 'wait')
  pause(slow)
  await startRun(wire.url, 's', 'playback', { count: DELTAS, rate: 0, bytes: DELTA_BYTES }, { runId: 'r' })
  const healthy = await followed(t, wire, 'sse', 'conflate')
  await healthy.until('run.completed')
  t.pass('the run goes on to its end although one never reads')
  resume(slow)
  await slow.until('run.completed')
  t.pass('the slow one gets there, too')
})
