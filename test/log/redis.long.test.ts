import { randomUUID } from 'node:crypto'
import t from 'tap'
import { durableContract, logContract } from '../../src/log/contract/index.ts'
import { text } from '../../src/log/contract/setting.ts'
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

  await t.test('of two nodes that race to open something as many win as may', async t => {
    const store = prefix()
    const nodes = await Promise.all([1, 2].map(() => createRedisLog({ url, warn, prefix: store })))
    t.teardown(() => Promise.all(nodes.map(node => node.close())))
    const appended = await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        const opens = [{ tally: 'runs', until: [`end:${i}`], max: 10 }]
        return nodes[i % 2]!.append('s', [text(i)], { create: true, opens })
      }),
    )
    t.equal(appended.filter(({ accepted }) => accepted).length, 10)
    t.match(await nodes[0]!.session('s'), { head: 10 })
  })
})
