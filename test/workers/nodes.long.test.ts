/** Workers on several nodes of one Redis: a run that is started on any node reaches a worker at any other. */
import t from 'tap'
import { Journal } from '../../src/bus/journal.ts'
import { createRedisLog } from '../../src/log/redis.ts'
import { WorkerNodes } from '../../src/sessions/workers/nodes.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { openWs, type WsClient } from '../fixtures/wire-clients.ts'
import { call, eventually, serve, startRun, terminalOf } from '../fixtures/wire-server.ts'

const echo = { name: 'echo', description: 'Repeats.', input: { type: 'object' } }
const completed = { type: 'run.completed', data: { finishReason: 'stop' } }

t.test('a node that starts asks the others what agents their workers have', { skip: noRedis }, async t => {
  const redis = await RedisServer.start(t)
  const join = async (node: string, onJoined: () => void, onAgent: () => void) => {
    const journal = new Journal(await createRedisLog({ url: redis.url }))
    const nodes = new WorkerNodes({ journal, node, onJoined, onAgent, onWaiting() {}, onError() {} })
    t.teardown(() => {
      nodes.close()
      return journal.close()
    })
    return nodes
  }
  let heard = () => {}
  const told = new Promise<void>(resolve => {
    heard = resolve
  })
  const one: WorkerNodes = await join(
    'one',
    () => one.tellAgent({ ...echo, resume: false }, Date.now()),
    () => {},
  )
  await join('two', () => {}, heard)
  await told
  t.pass('it was told')
})

t.test('a worker has its answer once the other nodes are told of its agents', { skip: noRedis }, async t => {
  const redis = await RedisServer.start(t)
  const log = await createRedisLog({ url: redis.url })
  const held: (() => void)[] = []
  const publishEphemeral = async (sessionId: string, json: string) => {
    if (json.includes('x.agent')) await new Promise<void>(resolve => held.push(resolve))
    return log.publishEphemeral(sessionId, json)
  }
  const { url } = await serve(t, { log: { ...log, publishEphemeral } })
  const socket = await openWs(t, url)
  let isAnswered = false
  const answer = socket.command({ type: 'worker', slots: 1, agents: [echo] }).finally(() => {
    isAnswered = true
  })
  await eventually(t, 'it tells them', () => held.length > 0)
  // An answer that does not wait would be here before this one.
  await call(`${url}/healthz`)
  t.notOk(isAnswered)
  for (const release of held) release()
  t.match(await answer, { type: 'ack' })
})

t.test('two nodes', { skip: noRedis }, async t => {
  const redis = await RedisServer.start(t)
  const node = async () => serve(t, { log: await createRedisLog({ url: redis.url }), leaseMs: 2000 })
  const [one, two] = [await node(), await node()]

  const register = async (url: string, works?: object[]): Promise<WsClient> => {
    const socket = await openWs(t, url)
    await socket.nextOf('hello')
    t.match(await socket.command({ type: 'worker', slots: 1, agents: [echo], works }), { type: 'ack' })
    const renewing = setInterval(() => socket.send({ type: 'worker', id: 'r', slots: 1 }), 500)
    socket.closed.then(() => clearInterval(renewing))
    return socket
  }
  const append = (
    socket: WsClient,
    { workId, sessionId }: Record<string, unknown>,
    seq: number,
    ...events: object[]
  ) => socket.command({ type: 'work.append', workId, sessionId, seq, events })

  const worker = await register(one.url)
  await t.test('a run that is started on the other node', async t => {
    const run = await startRun(two.url, 'a', 'echo', { text: 'hi' })
    const work = await worker.nextOf('work')
    t.match(work, { runId: run, input: { text: 'hi' } })
    await append(worker, { ...work }, 1, completed)
    t.equal((await terminalOf(two.url, 'a', run)).type, 'run.completed')
  })

  await t.test('a run that waits there', async t => {
    const first = await startRun(two.url, 'b1', 'echo', {})
    const second = await startRun(two.url, 'b2', 'echo', {})
    const works = [await worker.nextOf('work')]
    t.equal(works[0]?.['runId' as never], first)
    await append(worker, { ...works[0] }, 1, completed)
    works.push(await worker.nextOf('work'))
    t.equal(works[1]?.['runId' as never], second, 'is taken when a slot is free')
    await append(worker, { ...works[1] }, 1, completed)
  })

  let moved = worker
  await t.test('a worker that moves to the other node goes on there', async t => {
    const run = await startRun(one.url, 'c', 'echo', {})
    const work = { ...(await worker.nextOf('work')) } as Record<string, unknown>
    await append(worker, work, 1, { type: 'x.a', data: 1 })
    worker.close()
    const { workId } = work
    moved = await register(two.url, [{ workId, sessionId: 'c', runId: run, agent: 'echo' }])
    t.match(await append(moved, work, 1, { type: 'x.a', data: 1 }), { type: 'ack' }, 'a repetition')
    t.match(await append(moved, work, 2, { type: 'x.b', data: 1 }, completed), { type: 'ack' })
    t.equal((await terminalOf(one.url, 'c', run)).type, 'run.completed')
  })

  await t.test('a run that waits on a node which stops is taken over by the other', async t => {
    await startRun(two.url, 'd1', 'echo', {})
    const busy = { ...(await moved.nextOf('work')) } as Record<string, unknown>
    const waiting = await startRun(one.url, 'd2', 'echo', {})
    await one.server.close({ graceMs: 0 })
    await append(moved, busy, 1, completed)
    const work = await moved.nextOf('work')
    t.match(work, { runId: waiting })
    t.notOk('resumed' in work, 'no worker has begun it')
  })
})
