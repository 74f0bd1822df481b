/** A WebSocket client that asks faster than it is answered, or that reads no answers: the server stops reading it. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openWs, type WsClient } from '../fixtures/wire-clients.ts'
import { createSession, eventually, serve, type Wire } from '../fixtures/wire-server.ts'

/** Time in which the server would read all that is offered: round trips of another client. */
async function roundTrips(client: WsClient): Promise<void> {
  for (let time = 0; time < 100; time++) {
    client.send({ type: 'ping', time })
    await client.until(({ message }) => message.type === 'pong' && message.time === time)
  }
}

async function stage(
  t: Test,
  options: object = {},
): Promise<{ wire: Wire; flooding: WsClient; other: WsClient }> {
  const wire = await serve(t, options)
  const [flooding, other] = [await openWs(t, wire.url), await openWs(t, wire.url)]
  await flooding.nextOf('hello')
  await other.nextOf('hello')
  return { wire, flooding, other }
}

t.test('a hundred commands wait on a connection, the rest stays in its socket', async t => {
  const COUNT = 300
  let asked = 0
  let allow = () => {}
  const allowed = new Promise<void>(resolve => {
    allow = resolve
  })
  const { flooding, other } = await stage(t, {
    async authorize(_request: unknown, { action }: { action: string }) {
      if (action !== 'publish') return { id: 'ann' }
      asked++
      await allowed
      return { id: 'ann' }
    },
  })
  t.teardown(() => allow())
  // Each is larger than what ws reads at once, so that the pause acts between any two.
  const data = 'x'.repeat(70_000)
  const answers = Array.from({ length: COUNT }, (_, n) =>
    flooding.command({ type: 'publish', sessionId: `s${n}`, event: { type: 'x.n', data } }),
  )
  await eventually(t, 'a hundred wait', () => asked >= 100)
  await roundTrips(other)
  t.ok(asked <= 101, `${asked} commands were taken`)
  allow()
  const types = (await Promise.all(answers)).map(({ type }) => type)
  t.same(types, Array(COUNT).fill('ack'), 'all are answered in the end')
})

t.test('a connection whose answers are not read is not read either', async t => {
  const COUNT = 40_000
  const { wire, flooding, other } = await stage(t)
  const waiting = async () => {
    const metrics = await (await fetch(`${wire.url}/metrics`)).text()
    return Number(/^twinrail_buffered_bytes\{transport="websocket"\} (\d+)$/m.exec(metrics)?.[1])
  }
  // Events fill what the kernel holds, so that answers wait in the process.
  await createSession(wire.url, 's')
  flooding.send({ type: 'subscribe', id: 'a', sessionId: 's' })
  await flooding.until('caught-up')
  flooding.tcp.pause()
  const event = { type: 'x.large', data: 'x'.repeat(50_000) }
  for (let n = 0; n < 400; n++) {
    await wire.server.journal.append('s', [event])
    // In a turn of its own, or many would be one batch.
    await nextTurn()
  }
  await eventually(t, 'the socket is full', async () => (await waiting()) > 0)
  const id = 'i'.repeat(64)
  for (let time = 0; time < COUNT; time++) flooding.send({ type: 'ping', time, id })
  await eventually(t, 'answers wait', async () => (await waiting()) > 256 * 1024)
  await roundTrips(other)
  const bytes = await waiting()
  t.ok(bytes < 512 * 1024, `${bytes} bytes wait`)
  flooding.tcp.resume()
  await flooding.until(({ message }) => message.type === 'pong' && message.time === COUNT - 1)
  t.pass('all are answered in the end')
})
