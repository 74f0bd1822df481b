/** Two server processes on one Redis: what a principal may do, it may do on both together. */
import t, { type Test } from 'tap'
import { type ClusterNode, type NodeOptions, startNodes } from '../fixtures/cluster.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { openSse, WsClient } from '../fixtures/wire-clients.ts'
import { call, command, createSession, eventually, post } from '../fixtures/wire-server.ts'

type Headers = Record<string, string>
const ann = { 'x-user': 'ann' }
const bob = { 'x-user': 'bob' }

const publish = { type: 'publish', event: { type: 'x.a', data: 1 } }
const start = (runId: string) => ({ type: 'run.start', agent: 'idle', input: {}, runId })

/** Of these no more come within a test. */
const SLOW = { commandsPerSecond: 0.001 }
const BURST = 60
const LEASE_MS = 1000

async function pair(t: Test, limits: NodeOptions['limits']) {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const options = { redis: redis.url, leaseMs: LEASE_MS, limits: { ...SLOW, commandBurst: 1000, ...limits } }
  const [one, two] = (await startNodes(t, 2, options)) as [ClusterNode, ClusterNode]
  return { redis, one, two }
}

/** Opens a WebSocket; `undefined` when it is refused as one too many. */
async function connect(t: Test, { url }: ClusterNode, headers: Headers): Promise<WsClient | undefined> {
  const socket = await WsClient.open(url, [], { headers })
  t.teardown(() => socket.close())
  const { type, code } = (await socket.next()).message
  if (type === 'hello') return socket
  t.equal(code, 'rate-limited')
  return undefined
}

/** Waits until a node opens no more for a principal. What it opens before it knows is closed again. */
function refusesSoon(t: Test, node: ClusterNode, headers: Headers): Promise<void> {
  return eventually(t, 'one more is refused', async () => {
    const socket = await connect(t, node, headers)
    socket?.close()
    return !socket
  })
}

const opensSoon = (t: Test, node: ClusterNode, headers: Headers, why: string) =>
  eventually(t, why, () => connect(t, node, headers))

t.test('commands of one principal count on both nodes together', { skip: noRedis }, async t => {
  const { redis, one, two } = await pair(t, { commandBurst: BURST })
  const send = async ({ url }: ClusterNode, headers: Headers, sent: object = publish) =>
    (await command(url, 's', sent, headers)).status
  for (let i = 0; i < BURST; i++) t.equal(await send(one, ann, i % 2 ? publish : start(`r${i}`)), 200)
  t.equal(await send(one, ann), 429)
  let accepted = 0
  await eventually(t, 'the other node refuses, too', async () => {
    const status = await send(two, ann)
    if (status === 200) accepted++
    return status === 429
  })
  t.ok(accepted < BURST, `which has accepted ${accepted} until it knew`)
  t.equal(await send(two, ann, start('one-more')), 429)
  const socket = (await connect(t, two, ann)) as WsClient
  t.match(await socket.command({ ...publish, sessionId: 's' }), {
    type: 'nack',
    code: 'rate-limited',
    details: { limit: 'commands', of: 'principal' },
  })
  for (const node of [one, two]) t.equal(await send(node, bob), 200, 'another principal is not touched')

  // What each node has counted, it counts without Redis.
  const other = (await connect(t, two, bob)) as WsClient
  await redis.kill()
  const refused = await socket.command({ ...publish, sessionId: 's' })
  t.match(refused, { code: 'rate-limited', details: { limit: 'commands' } }, 'while Redis is away')
  const failed = await other.command({ ...publish, sessionId: 's' })
  t.match(failed, { code: 'unavailable', retryable: true }, 'another principal is told of Redis')
  await redis.start()
  await eventually(t, 'the other principal goes on', async () => (await send(two, bob)) === 200)
  for (const node of [one, two]) t.equal(await send(node, ann), 429, 'it is still refused')
})

t.test('what was counted while Redis was away is told when it is back', { skip: noRedis }, async t => {
  const { redis, one, two } = await pair(t, { commandBurst: BURST })
  await createSession(one.url, 's')
  const socket = (await connect(t, one, ann)) as WsClient
  const onSocket = { ...publish, sessionId: 's' }
  await redis.kill()
  const answers = await Promise.all(Array.from({ length: BURST + 1 }, () => socket.command(onSocket)))
  t.same(answers.filter(({ code }) => code === 'unavailable').length, BURST, 'the node counts by itself')
  t.same(answers.filter(({ code }) => code === 'rate-limited').length, 1)
  await redis.start()
  let accepted = 0
  await eventually(t, 'the other node refuses', async () => {
    const { status } = await command(two.url, 's', publish, ann)
    if (status === 200) accepted++
    return status === 429
  })
  t.ok(accepted < BURST, `which has accepted ${accepted} until it knew`)
})

t.test('what one principal has open counts on both nodes together', { skip: noRedis }, async t => {
  const { one, two } = await pair(t, { connections: 3, subscriptions: 2, runs: 2, sessions: 3 })
  const first = (await connect(t, one, ann)) as WsClient
  const second = await connect(t, one, ann)
  const third = await connect(t, two, ann)
  t.ok(first && second && third, 'three connections on two nodes')
  for (const node of [one, two]) await refusesSoon(t, node, ann)
  t.ok(await connect(t, two, bob), 'another principal is not touched')
  second?.close()
  for (const node of [two, one]) await opensSoon(t, node, ann, 'what was closed does not count on any node')

  const eventsOf = ({ url }: ClusterNode, id: string) => `${url}/v1/sessions/${id}/events`
  const carol = { 'x-user': 'carol' }
  await Promise.all(['a', 'b', 'c'].map(sessionId => post(`${one.url}/v1/sessions`, { sessionId }, carol)))
  const full = await post(`${two.url}/v1/sessions`, { sessionId: 'd' }, carol)
  t.match([full.status, full.body.error?.['details']], [429, { limit: 'sessions' }], 'kept sessions')
  t.equal((await post(`${two.url}/v1/sessions`, { sessionId: 'd' }, bob)).status, 201)

  const streams = await Promise.all(
    [one, two].map(node => openSse(t, eventsOf(node, 'a'), { headers: carol })),
  )
  for (const stream of streams) await stream.until('caught-up')
  const page = async ({ url }: ClusterNode, headers: Headers) =>
    (await call(`${url}/v1/sessions/a/events`, { headers: { ...headers, accept: 'application/json' } }))
      .status
  for (const node of [one, two]) {
    await eventually(t, 'one more stream is refused', async () => (await page(node, carol)) === 429)
    t.equal(await page(node, bob), 200)
  }
  streams[0]?.close()
  await eventually(t, 'until one has ended on the other node', async () => (await page(two, carol)) === 200)

  const run = async ({ url }: ClusterNode, runId: string, headers: Headers = carol) =>
    (await command(url, 'a', start(runId), headers)).status
  t.same([await run(one, 'r1'), await run(two, 'r2')], [200, 200])
  let runs = 2
  for (const node of [one, two]) {
    await eventually(t, 'one more run is refused', async () => {
      const runId = `r${++runs}`
      const status = await run(node, runId)
      if (status === 200) await command(node.url, 'a', { type: 'run.cancel', runId }, carol)
      return status === 429
    })
    t.equal(await run(node, `of-bob-${runs}`, bob), 200)
  }
  await command(two.url, 'a', { type: 'run.cancel', runId: 'r1' }, carol)
  await eventually(t, 'until one is cancelled', async () => (await run(two, `r${++runs}`)) === 200)
})

t.test('what a killed node had open counts until its time is over', { skip: noRedis }, async t => {
  const { one, two } = await pair(t, { connections: 3 })
  t.ok(await connect(t, one, ann))
  t.ok(await connect(t, one, ann))
  t.ok(await connect(t, two, ann))
  await refusesSoon(t, two, ann)
  await one.kill()
  const killedAt = performance.now()
  t.notOk(await connect(t, two, ann), 'they count for now')
  await opensSoon(t, two, ann, 'then they do not')
  t.comment(`after ${Math.round(performance.now() - killedAt)} ms`)
  t.ok(await connect(t, two, ann), 'nor does any of them')
  await refusesSoon(t, two, ann)
})
