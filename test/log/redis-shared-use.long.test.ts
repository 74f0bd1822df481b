/** What nodes on one Redis share of the limits of principals: token buckets, and how many each has open. */
import { Redis } from 'ioredis'
import t from 'tap'
import { createRedisLog } from '../../src/log/redis.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'

t.test('shared use', { skip: noRedis }, async t => {
  const { url } = await RedisServer.start(t)
  const time = { now: 1_000_000 }
  const node = async () => {
    const log = await createRedisLog({ url, warn: () => {}, clock: () => time.now })
    t.teardown(() => log.close())
    return log as typeof log & Required<Pick<typeof log, 'spend' | 'hold'>>
  }
  const [one, two] = [await node(), await node()]
  const client = new Redis(url)
  t.teardown(() => client.disconnect())

  t.test('a bucket is full at first, is used by all nodes, and fills again', async t => {
    t.equal(await one.spend('b', 3, 10, 5), 2)
    t.equal(await two.spend('b', 4, 10, 5), -2, 'nodes may have used too much by then')
    time.now += 100
    t.equal(await one.spend('b', 0, 10, 5), -1)
    time.now += 100
    t.equal(await two.spend('b', 0, 10, 5), 0)
    time.now -= 1000
    t.equal(await two.spend('b', 0, 10, 5), 0, 'a clock that goes back gives nothing')
    time.now += 61_000
    t.equal(await one.spend('b', 1, 10, 5), 4, 'no more than the burst')
    t.equal(await one.spend('other', 1, 0.001, 5), 4)
  })

  t.test('each node learns what the others have, until it expires', async t => {
    t.same(await one.hold('h', [1, 2, 0], 60_000), [0, 0, 0])
    t.same(await two.hold('h', [5, 0, 7], 1000), [1, 2, 0])
    t.same(await one.hold('h', [1, 3, 0], 60_000), [5, 0, 7])
    time.now += 1000
    t.same(await one.hold('h', [1, 3, 0], 60_000), [0, 0, 0], 'that node is gone')
    t.same(await client.hlen('twinrail:held:h'), 1)
    t.same(await two.hold('h', [0, 0, 0], 60_000), [1, 3, 0])
    t.same(await one.hold('h', [0, 0, 0], 60_000), [0, 0, 0])
  })

  t.test('nothing of it stays', async t => {
    t.equal(await client.exists('twinrail:held:h'), 0)
    await one.hold('stays', [1], 60_000)
    for (const key of ['bucket:b', 'bucket:other', 'held:stays']) {
      const left = await client.pttl(`twinrail:${key}`)
      // A bucket that is full again is gone already; -1 would be a key that never expires.
      t.ok(left !== -1 && left <= 86_400_000, `${key}: ${left}`)
    }
  })
})
