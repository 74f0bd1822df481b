import { randomUUID } from 'node:crypto'
import t from 'tap'
import { durableContract, logContract } from '../../src/log/contract/index.ts'
import { createRedisLog } from '../../src/log/redis.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'

t.test('redis', { skip: noRedis }, async t => {
  const { url } = await RedisServer.start(t)
  const warn = () => {}
  const prefix = () => `${randomUUID()}:`
  await logContract(t, 'redis', (_, { clock }) => createRedisLog({ url, clock, warn, prefix: prefix() }))
  await durableContract(t, 'redis', () => {
    const store = prefix()
    return { open: ({ clock }) => createRedisLog({ url, clock, warn, prefix: store }) }
  })
})
