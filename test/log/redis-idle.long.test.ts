/** What sessions cost Redis that are followed and idle. */
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { createRedisLog } from '../../src/log/redis.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import { agents, serve, startRun } from '../fixtures/wire-server.ts'

const SESSIONS = 3000
const PER_SOCKET = 100

/** How long commands are counted: two rounds of what is repeated every five seconds. */
const SECONDS = 10

/** Commands that Redis carries out per second, those within scripts included, by name. */
async function commandsPerSecond(admin: Redis): Promise<Record<string, number>> {
  await admin.config('RESETSTAT')
  await delay(SECONDS * 1000)
  const stats = await admin.info('commandstats')
  const calls = [...stats.matchAll(/cmdstat_(\S+):calls=(\d+)/g)].map(
    ([, name = '', count]) => [name, Number(count) / SECONDS] as const,
  )
  return Object.fromEntries(calls.filter(([name]) => !/config|info/.test(name)))
}

const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0)

t.test(
  '3,000 followed idle sessions cost Redis at most 100 commands per second',
  { skip: noRedis },
  async t => {
    const redis = await RedisServer.start(t)
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    const log = await createRedisLog({ url: redis.url, warn() {} })
    const wire = await serve(t, { log, agents })
    for (let first = 0; first < SESSIONS; first += PER_SOCKET) {
      const client = await openWs(t, wire.url)
      const ids = Array.from({ length: PER_SOCKET }, (_, i) => `s${first + i}`)
      await Promise.all(
        ids.map(async sessionId => {
          await wire.server.journal.create(sessionId, {})
          await client.command({ type: 'subscribe', sessionId })
        }),
      )
    }
    t.equal(wire.server.bus.topics, SESSIONS)
    const idle = await commandsPerSecond(admin)
    t.comment(JSON.stringify(idle))
    t.ok(sum(idle) <= 100, `${sum(idle)} commands per second`)

    // A run that ends without viewers is the one case for marks, and only in its session.
    await startRun(wire.url, 's7', 'idle', null, { onNoViewers: { cancelAfterMs: 60_000 } })
    const asking = await commandsPerSecond(admin)
    t.comment(JSON.stringify(asking))
    t.ok(sum(asking) <= 120, `${sum(asking)} commands per second with such a run`)
  },
)
