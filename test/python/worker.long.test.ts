/** Workers written in Python, against the real server. */
import t from 'tap'
import { createRedisLog } from '../../src/log/redis.ts'
import { createServer } from '../../src/server.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { authorized, missing, pythonStage } from './stage.ts'

const skip = missing()

/** Runs whose worker died are given to another one soon. A living one must renew in time on a busy machine. */
const LEASE_MS = 3000

t.test('workers', { skip }, async t => {
  await (await pythonStage(t)).run('worker')
})

t.test('workers that die', { skip }, async t => {
  await (await pythonStage(t, { leaseMs: LEASE_MS })).run('worker_nodes')
})

t.test('workers on two nodes', { skip: skip || noRedis }, async t => {
  const redis = await RedisServer.start(t)
  const log = () => createRedisLog({ url: redis.url })
  const other = await createServer({ log: await log(), leaseMs: LEASE_MS, logger: false })
  t.teardown(() => other.close({ graceMs: 0 }))
  const stage = await pythonStage(t, { log: await log(), leaseMs: LEASE_MS })
  stage.env['TWINRAIL_OTHER_URL'] = await other.listen({ port: 0 })
  await stage.run('worker_nodes')
})

t.test('credentials of workers', { skip }, async t => {
  await (await pythonStage(t, authorized())).run('worker_auth')
})

t.test('examples', { skip }, async t => {
  await (await pythonStage(t)).run('examples')
})
