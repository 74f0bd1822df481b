/** Connections that the server gives up: those that take nothing, and those that show no sign of life. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openSse, openWs, SseStream, type WsClient } from '../fixtures/wire-clients.ts'
import { createSession, eventually, metric, serve, type Wire } from '../fixtures/wire-server.ts'

/** Ticks of the server's clock are a quarter of a second; everything else here is shorter. */
const QUICK = { heartbeatMs: 50, stallMs: 100 }

/** More than a kernel hides for a stalled connection: 4–8 MB here. */
const EVENTS = 200
const EVENT_BYTES = 100_000

async function publish({ server: { journal } }: Wire): Promise<void> {
  for (let n = 0; n < EVENTS; n++) {
    await journal.append('s', [{ type: 'x.big', data: 'x'.repeat(EVENT_BYTES) }])
    await nextTurn()
  }
}

const lost = (wire: Wire, transport: string, reason: string) =>
  metric(wire, `twinrail_lost_connections_total{transport="${transport}",reason="${reason}"}`)

async function stalls(t: Test, wire: Wire, transport: 'sse' | 'websocket', slow: SseStream | WsClient) {
  if (slow instanceof SseStream) slow.pause()
  else slow.tcp.pause()
  t.equal(await lost(wire, transport, 'stalled'), 0)
  const published = publish(wire)
  await eventually(t, 'it is given up', async () => (await lost(wire, transport, 'stalled')) === 1)
  await eventually(t, 'nothing of it is left', () => [...wire.server.bus.subscriptions()].length === 0)
  await published
}

t.test('an SSE stream whose write waits for too long', async t => {
  const wire = await serve(t, QUICK)
  await createSession(wire.url, 's')
  const slow = await openSse(t, `${wire.url}/v1/sessions/s/events`)
  await slow.until('caught-up')
  await stalls(t, wire, 'sse', slow)
  slow.resume()
  await t.rejects(slow.ended, 'it was cut, not ended')
})

t.test('a WebSocket whose write waits for too long', async t => {
  // It must not be taken for silent first.
  const wire = await serve(t, { ...QUICK, heartbeatMs: 1000 })
  await createSession(wire.url, 's')
  const slow = await openWs(t, wire.url)
  slow.send({ type: 'subscribe', id: '1', sessionId: 's' })
  await slow.until('caught-up')
  await stalls(t, wire, 'websocket', slow)
  slow.tcp.resume()
  t.equal((await slow.closed).code, 1006, 'no farewell reaches it')
})

t.test("a run's own stream whose write waits for too long; the run goes on", async t => {
  const wire = await serve(t, QUICK)
  const input = { count: 2500, rate: 0, bytes: 8000 }
  const slow = await openSse(t, `${wire.url}/v1/sessions/s/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'run.start', id: '1', runId: 'r', agent: 'playback', input }),
  })
  await slow.until('ack')
  slow.pause()
  await eventually(t, 'it is given up', async () => (await lost(wire, 'sse', 'stalled')) === 1)
  const stream = await openSse(t, `${wire.url}/v1/sessions/s/events?run=r&last=1`)
  await stream.until('run.completed')
})

t.test('a WebSocket that shows no sign of life, after four pings', async t => {
  const wire = await serve(t, QUICK)
  const silent = await openWs(t, wire.url, { autoPong: false })
  const alive = await openWs(t, wire.url)
  t.equal((await silent.closed).code, 1006)
  t.equal(await lost(wire, 'websocket', 'silent'), 1)
  t.equal(await metric(wire, 'twinrail_missed_heartbeats_total'), 3)
  for (let pings = 0; pings < 6; pings++) await alive.until('ping')
  t.pass('one that answers stays')
  t.equal(await metric(wire, 'twinrail_missed_heartbeats_total'), 3)
})

t.test('a client that speaks needs no pongs', async t => {
  const wire = await serve(t, QUICK)
  const client = await openWs(t, wire.url, { autoPong: false })
  for (let pings = 0; pings < 8; pings++) {
    await client.until('ping')
    client.send({ type: 'ping', time: 0 })
  }
  await client.until('pong')
  t.equal(await lost(wire, 'websocket', 'silent'), 0)
})
