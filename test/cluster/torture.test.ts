/** Short tortures: a cut now and then on one node, and three nodes that are killed and paused, with their Redis. */
import t, { type Test } from 'tap'
import { type ClusterNode, startNodes } from '../fixtures/cluster.ts'
import { between, random, seedOf } from '../fixtures/random.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { type TortureResult, torture } from '../fixtures/torture.ts'
import { serve } from '../fixtures/wire-server.ts'

function tell(t: Test, { flaws, ...figures }: TortureResult): void {
  t.same(flaws, [])
  t.comment(JSON.stringify(figures))
}

t.test('clients cut off again and again have the whole log, once and in order', async t => {
  const { url } = await serve(t)
  const result = await torture({
    seed: seedOf(t),
    urls: [url],
    sessions: 2,
    events: 1500,
    clients: 8,
    stretch: 150,
  })
  tell(t, result)
  t.equal(result.delivered, 2 * 1500 * 8)
  t.ok(result.cuts > 200, `${result.cuts} cuts`)
  t.equal(Object.keys(result.stretches).length, 3)
})

t.test('also while nodes and Redis are killed and paused', { skip: noRedis, timeout: 110_000 }, async t => {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const nodes = await startNodes(t, 3, { redis: redis.url, leaseMs: 1000 })
  const seed = seedOf(t)
  const next = random(seed)
  let over = false
  const log: string[] = []
  const trouble = async () => {
    for (let round = 0; !over; round++) {
      const node = nodes[between(next, 0, 2)] as ClusterNode
      const what = round % 4
      log.push(['node killed', 'node paused', 'redis killed', 'redis paused'][what] as string)
      if (what === 0) await node.kill().then(() => node.start())
      else if (what === 2) await redis.kill().then(() => redis.start())
      else {
        const victim = what === 1 ? node : redis
        victim.pause()
        await new Promise(resolve => setTimeout(resolve, between(next, 50, 1500)))
        victim.resume()
      }
      await new Promise(resolve => setTimeout(resolve, between(next, 50, 300)))
    }
  }
  const troubled = trouble()
  const result = await torture({
    seed,
    urls: nodes.map(({ url }) => url),
    sessions: 2,
    events: 3000,
    clients: 5,
    stretch: 250,
    chaos: true,
  })
  over = true
  await troubled
  tell(t, result)
  t.comment(log.join(', '))
  t.ok(result.delivered >= 2 * 3000 * 5)
  t.equal(result.resets, 0, 'nothing was lost, so nobody is reset')
  t.ok(log.length >= 4, 'and each trouble came')
})
