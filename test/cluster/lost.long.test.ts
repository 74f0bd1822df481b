/** Three nodes on a Redis that forgets: one new epoch, one reset for everybody, nothing under an old offset again. */
import t from 'tap'
import { startNodes } from '../fixtures/cluster.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { follow, type Stream } from '../fixtures/wire-clients.ts'
import { call, command, eventually, ingest, startRun, terminalOf } from '../fixtures/wire-server.ts'

t.test('a Redis without persistence is killed under three nodes', { skip: noRedis }, async t => {
  const redis = await RedisServer.start(t)
  const nodes = await startNodes(t, 3, { redis: redis.url, leaseMs: 1000 })
  const url = nodes[0]?.url as string
  const given = new Map<string, string>()
  await ingest(url, 's', { type: 'x.n', data: 0 })
  const runId = await startRun(url, 's', 'idle', {})
  const streams: { where: string; stream: Stream }[] = []
  for (const [i, node] of nodes.entries()) {
    for (const transport of ['sse', 'websocket'] as const) {
      streams.push({ where: `${transport} on node ${i}`, stream: await follow(t, transport, node.url, 's') })
    }
  }
  for (const { stream } of streams) {
    for (const { message, json } of await stream.until('caught-up')) {
      if (message.offset && message.type.includes('.')) given.set(message.offset, json)
    }
  }
  for (let round = 1; round <= 3; round++) {
    await redis.kill()
    await redis.start()
    const epochs = new Set<string | undefined>()
    for (const { where, stream } of streams) {
      const got = await stream.until('caught-up')
      const resets = got.filter(({ message }) => message.type === 'reset')
      t.match(
        resets.map(({ message }) => message.reason),
        ['lost'],
        `${where}, round ${round}`,
      )
      t.equal(resets.length, 1)
      epochs.add(resets[0]?.message.head?.split('-')[0])
    }
    t.equal(epochs.size, 1, 'one new epoch for all')
    await eventually(t, 'ready', async () => {
      const ready = await Promise.all(nodes.map(node => call(`${node.url}/readyz`)))
      return ready.every(({ status }) => status === 200)
    })
    for (const node of nodes) await ingest(node.url, 's', { type: 'x.n', data: { round } })
    const heard = await Promise.all(streams.map(({ stream }) => stream.events(3)))
    for (const events of heard) {
      t.same(
        events.map(({ json }) => json),
        heard[0]?.map(({ json }) => json),
      )
    }
    for (const { message, json } of heard[0] ?? []) {
      t.notOk(given.has(message.offset as string), 'no offset comes twice')
      given.set(message.offset as string, json)
    }
  }
  t.match(
    await command(url, 's', { type: 'run.cancel', runId }),
    { status: 200 },
    'the run is not known any more',
  )
  const next = await startRun(url, 's', 'script', { events: [] })
  t.match(await terminalOf(nodes[2]?.url as string, 's', next), { type: 'run.completed' })
})
