import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { durableContract, limitedContract, logContract } from '../../src/log/contract/index.ts'
import { text } from '../../src/log/contract/setting.ts'
import { createRedisLog } from '../../src/log/redis.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'

/** Memory that the data of an empty Redis takes, in bytes; what earlier tests left is deleted. */
async function usedMemory(url: string): Promise<number> {
  const client = new Redis(url)
  try {
    await client.flushall('SYNC')
    return Number(/^used_memory_dataset:(\d+)/m.exec(await client.info('memory'))?.[1])
  } finally {
    client.disconnect()
  }
}

t.test('redis', { skip: noRedis }, async t => {
  const { url } = await RedisServer.start(t)
  const warn = () => {}
  const prefix = () => `${randomUUID()}:`
  await logContract(t, 'redis', (_, { clock }) => createRedisLog({ url, clock, warn, prefix: prefix() }))
  await durableContract(t, 'redis', () => {
    const store = prefix()
    return { open: ({ clock }) => createRedisLog({ url, clock, warn, prefix: store }) }
  })
  await limitedContract(t, 'redis', async (_, { clock, roomBytes }) => {
    const used = await usedMemory(url)
    return createRedisLog({ url, clock, warn, prefix: prefix(), maxLogBytes: used + roomBytes })
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
