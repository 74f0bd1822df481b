/** What the driver `redis` does when its Redis is away, hangs, forgets or is unfit. */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { put, Recorder, readAll, reasonOf, seqs, text, texts } from '../../src/log/contract/setting.ts'
import type { EventLog, Follower } from '../../src/log/log.ts'
import { createRedisLog, type RedisLogOptions } from '../../src/log/redis.ts'
import { freePort, noRedis, RedisServer } from '../fixtures/redis-server.ts'

const skip = { skip: noRedis }
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

async function open(t: Test, { url }: { url: string }, more: RedisLogOptions = {}): Promise<EventLog> {
  const log = await createRedisLog({ url, warn: () => {}, deadlineMs: 1000, recheckMs: 500, ...more })
  t.teardown(() => log.close())
  return log
}

/** Remembers what was lost, too. */
class Witness extends Recorder {
  readonly losses: { epoch: number; head: number }[] = []
  #told: (() => void) | undefined

  lost(epoch: number, head: number): void {
    this.losses.push({ epoch, head })
    this.#told?.()
  }

  async isLost(): Promise<void> {
    if (this.losses.length === 0) {
      await new Promise<void>(resolve => {
        this.#told = resolve
      })
    }
  }
}

function watch(t: Test, log: EventLog): Witness {
  const witness = new Witness()
  t.teardown(log.follow('s', witness as Follower))
  return witness
}

t.test('two processes hear each other, in one order', skip, async t => {
  const redis = await RedisServer.start(t)
  const [one, two] = [await open(t, redis), await open(t, redis)]
  await one.create('s', {})
  const [first, second] = [watch(t, one), watch(t, two)]
  await Promise.all([one.publishEphemeral('s', '{"from":1}'), two.publishEphemeral('s', '{"from":2}')])
  await Promise.all([first.hasEphemerals(2), second.hasEphemerals(2)])
  const both = [one, two].map(async (log, writer) => {
    for (let i = 0; i < 200; i++) await put(log, [text(`${writer}.${i}`), text(`${writer}.${i}b`)])
  })
  await Promise.all(both)
  await Promise.all([first.has(800), second.has(800)])
  const all = (await readAll(one)).map(({ json }) => json)
  t.equal(all.length, 800)
  for (const { heard } of [first, second])
    t.strictSame(
      heard.map(({ json }) => json),
      all,
    )
  await two.delete('s')
  await Promise.all([first.isTold(), second.isTold()])
  await put(one, [text('new')], { create: true })
  t.equal(first.heard.length, 800, 'of the new session nobody hears who followed the old one')
  t.same([...first.losses, ...second.losses], [])
})

t.test(
  'one subscriber connection serves any number of followers and goes quiet with the last',
  skip,
  async t => {
    const redis = await RedisServer.start(t)
    const log = await open(t, redis)
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    const stops: (() => void)[] = []
    for (let i = 0; i < 50; i++) {
      for (let n = 0; n < 3; n++) stops.push(log.follow(`s${i}`, new Recorder()))
      await log.append(`s${i}`, [text(1)], { create: true })
      await log.publishEphemeral(`s${i}`, '{}')
    }
    const clients = async () =>
      String(await admin.call('CLIENT', 'LIST'))
        .trim()
        .split('\n').length
    t.equal(await clients(), 3, 'commands, subscriber, and the one that asks')
    t.equal(((await admin.pubsub('CHANNELS')) as string[]).length, 50)
    for (const stop of stops) stop()
    while (((await admin.pubsub('CHANNELS')) as string[]).length > 0) await log.publishEphemeral('s0', '{}')
    t.equal(await clients(), 3)
  },
)

t.test('hints may be lost: the stream is the truth', skip, async t => {
  const redis = await RedisServer.start(t)
  const [one, two] = [await open(t, redis), await open(t, redis)]
  await one.create('s', {})
  const witness = watch(t, two)
  await two.publishEphemeral('s', '{}')
  await witness.hasEphemerals(1)
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  for (let round = 1; round <= 5; round++) {
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await put(one, texts(1, 10))
    await witness.has(round * 10)
  }
  t.same(
    seqs(witness.heard),
    Array.from({ length: 50 }, (_, i) => i + 1),
  )
  t.same(witness.losses, [])
})

t.test('while Redis is away appends are refused as retryable; followers stay and catch up', skip, async t => {
  const redis = await RedisServer.start(t, DURABLE)
  const log = await open(t, redis, { deadlineMs: 2000 })
  const { epoch } = (await log.create('s', {})).session
  const witness = watch(t, log)
  await put(log, texts(1, 5))
  await witness.has(5)
  await redis.kill()
  await t.rejects(log.append('s', [text(6)]), { code: 'unavailable', retryable: true, retryAfterMs: 1000 })
  await t.rejects(log.list(undefined, 1), { code: 'unavailable' }, 'readiness asks this')
  await t.rejects(log.publishEphemeral('s', '{}'), { code: 'unavailable' })
  await redis.start()
  const other = await open(t, redis)
  await put(other, texts(6, 8))
  await witness.has(8)
  t.same(seqs(witness.heard), [1, 2, 3, 4, 5, 6, 7, 8])
  t.match(await put(log, [text(9)]), { epoch, first: 9 })
  await witness.has(9)
  t.same(witness.losses, [], 'nothing was lost, so nothing is reset')
})

t.test('a short absence is waited for', skip, async t => {
  const redis = await RedisServer.start(t, DURABLE)
  const log = await open(t, redis, { deadlineMs: 5000 })
  await log.create('s', {})
  await redis.kill()
  const calls = Promise.all([log.append('s', [text(2)]), log.list(undefined, 1)])
  await redis.start()
  const [appended, listed] = await calls
  t.equal(reasonOf(appended), 'accepted')
  t.match(listed, [{ sessionId: 's' }])
})

t.test('a Redis that hangs is as one that is away', skip, async t => {
  const redis = await RedisServer.start(t)
  const log = await open(t, redis, { deadlineMs: 300 })
  await put(log, texts(1, 3), { create: true })
  const witness = watch(t, log)
  await log.publishEphemeral('s', '{}')
  redis.pause()
  await t.rejects(log.append('s', [text(4)]), { code: 'unavailable' })
  await t.rejects(log.read('s', 0, { events: 1, bytes: 1 }), { code: 'unavailable' })
  redis.resume()
  const { head } = await untilAccepted(log, text('again'))
  await witness.has(head - 3)
  t.same(
    seqs(witness.heard),
    Array.from({ length: head - 3 }, (_, i) => i + 4),
  )
})

async function untilAccepted(log: EventLog, stored: string) {
  for (;;) {
    const appended = await log.append('s', [stored]).catch(() => undefined)
    if (appended?.accepted) return appended
  }
}

t.test('a Redis that lost everything gives a new epoch, and every follower is notified', skip, async t => {
  const redis = await RedisServer.start(t)
  const [one, two] = [await open(t, redis), await open(t, redis)]
  const old = await put(one, texts(1, 10), { create: true, once: [{ key: 'k' }] })
  const [first, second] = [watch(t, one), watch(t, two)]
  // Who follows from afar has its place once a message has come through.
  await Promise.all([two.publishEphemeral('s', '{}'), second.hasEphemerals(1)])
  await put(one, texts(11, 12))
  await Promise.all([first.has(2), second.has(2)])
  await redis.kill()
  await redis.start()
  await Promise.all([first.isLost(), second.isLost()])
  t.equal(first.losses.length, 1)
  t.same(first.losses, second.losses, 'one new epoch, not two')
  const { epoch } = first.losses[0] as { epoch: number }
  t.ok(epoch > old.epoch)
  t.match(await two.session('s'), { epoch, head: 0, earliest: 1 })
  t.match(await one.append('s', [text(13)], { epoch: old.epoch }), { reason: 'epoch', epoch })
  t.same(
    (await one.list(undefined, 9)).map(({ sessionId }) => sessionId),
    ['s'],
  )
  await put(one, [text('new')])
  await Promise.all([first.has(3), second.has(3)])
  t.same(first.heard.at(-1)?.offset, `${epoch}-1`)
  t.equal(second.heard.at(-1)?.json, first.heard.at(-1)?.json)
})

t.test('a Redis that forgot the end keeps the rest under a new epoch', skip, async t => {
  const redis = await RedisServer.start(t)
  const log = await open(t, redis)
  const old = await put(log, texts(1, 10), { create: true, once: [{ key: 'k', index: 4 }] })
  const witness = watch(t, log)
  const admin = new Redis(redis.url)
  await admin.call('SAVE')
  await put(log, texts(11, 15))
  await witness.has(5)
  admin.disconnect()
  await redis.kill()
  await redis.start()
  await witness.isLost()
  const { epoch } = witness.losses[0] as { epoch: number }
  t.match(witness.losses, [{ head: 10 }])
  t.ok(epoch > old.epoch)
  t.same(seqs(await readAll(log)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  t.equal((await readAll(log))[0]?.offset, `${epoch}-1`)
  t.match(await log.lookup('s', ['k']), [{ seq: 5 }])
  await put(log, [text('other')])
  await witness.has(6)
  t.equal(witness.heard.at(-1)?.offset, `${epoch}-11`)
})

t.test('other events under offsets that were seen are noticed', skip, async t => {
  const redis = await RedisServer.start(t)
  const clients: Redis[] = []
  const log = await open(t, redis, {
    recheckMs: 60_000,
    connect: options => {
      const client = new Redis(redis.url, options as object)
      clients.push(client)
      return client
    },
  })
  await put(log, texts(1, 3), { create: true })
  const witness = watch(t, log)
  const admin = new Redis(redis.url)
  await admin.call('SAVE')
  await put(log, texts(4, 6))
  await witness.has(3)
  admin.disconnect()
  // The log's clients find no Redis until the other node has written, however fast they come back.
  const ports = clients.map(client => client.options.port as number)
  for (const client of clients) client.options.port = 1
  await redis.kill()
  await redis.start()
  // A node that never saw the session is faster, and gives the lost numbers again.
  const racing = new Redis(redis.url)
  t.teardown(() => racing.disconnect())
  await racing.hset('twinrail:{s}:h', 'head', 9)
  for (let seq = 4; seq <= 9; seq++)
    await racing.xadd('twinrail:{s}:l', `0-${seq}`, 'e', text(`other ${seq}`))
  clients.forEach((client, i) => {
    client.options.port = ports[i] as number
  })
  await witness.isLost()
  t.match(witness.losses, [{ head: 9 }])
  t.equal(witness.heard.length, 3)
})

t.test('a session that another process deleted is reported as deleted, not as lost', skip, async t => {
  const redis = await RedisServer.start(t)
  const [one, two] = [await open(t, redis), await open(t, redis)]
  await put(one, texts(1, 3), { create: true })
  const witness = watch(t, one)
  await one.publishEphemeral('s', '{}')
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await two.delete('s')
  await two.create('s', {})
  await witness.isTold()
  t.same(witness.losses, [])
})

t.test('a lease that is taken long after it was announced is looked at when it runs out', skip, async t => {
  const redis = await RedisServer.start(t)
  const time = { now: Date.now() }
  const clock = () => time.now
  const other = await open(t, redis, { clock })
  let announcements = 0
  let isDead = false
  /** A process that stands still once it has announced a lease, and that dies when it has taken it. */
  const paused = await open(t, redis, {
    clock,
    connect: options => {
      const client = new Redis(redis.url, options as object)
      return new Proxy(client, {
        get(target, name) {
          const found = Reflect.get(target, name, target)
          if (typeof found !== 'function') return found
          if (name !== 'twinrail_touch' && name !== 'twinrail_append') return found.bind(target)
          return async (...args: unknown[]) => {
            if (isDead) throw new Error('this process is dead')
            const answer = await found.apply(target, args)
            if (name === 'twinrail_append') isDead = String(answer).startsWith('accepted')
            else if (announcements++ === 0) {
              time.now += 1001
              t.same(await other.expired(10), [], 'what nobody holds is found void')
            }
            return answer
          }
        },
      })
    },
  })
  // A session that is missing would be answered first, and the lease announced anew for that reason.
  await other.create('s', {})
  await put(paused, texts(1, 1), { leases: [{ runId: 'r', token: 'a', ttlMs: 1000 }] })
  t.same(await other.expired(10), [])
  time.now += 1000
  t.match(await other.expired(10), [{ sessionId: 's', runId: 'r', token: 'a' }])
})

t.test('deleting a session frees everything', skip, async t => {
  const redis = await RedisServer.start(t)
  const log = await open(t, redis)
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  const appended = await put(log, texts(1, 50), {
    create: true,
    once: [{ key: 'a' }, { key: 'b', ttlMs: 1000 }],
    leases: [{ runId: 'r', token: 'a', ttlMs: 100 }],
    producer: { id: 'p', seq: 1 },
  })
  await log.saveSnapshot('s', appended.epoch, { seq: 5, state: {} })
  await log.delete('s')
  // Its entry among the leases goes when it is looked at.
  while ((await admin.exists('twinrail:leases')) > 0) t.same(await log.expired(10), [])
  t.same((await admin.keys('*')).sort(), ['twinrail:epoch', 'twinrail:{s}:d'])
  t.ok((await admin.ttl('twinrail:{s}:d')) > 0, 'the mark of the deletion goes by itself')
})

t.test('the commands of one turn leave in one write', skip, async t => {
  const redis = await RedisServer.start(t)
  const clients: Redis[] = []
  const log = await open(t, redis, {
    connect: options => {
      const client = new Redis(redis.url, options as object)
      clients.push(client)
      return client
    },
  })
  await log.create('s', {})
  const { stream } = clients[0] as Redis
  const writes: number[] = []
  const writev = stream._writev as NonNullable<typeof stream._writev>
  stream._writev = (chunks, done) => {
    writes.push(chunks.length)
    writev.call(stream, chunks, done)
  }
  await Promise.all(texts(1, 20).map(text => put(log, [text])))
  t.same(writes, [20])
})

/** A process at which something happens before it has listed or moved a session that it has just written to. */
async function openBefore(t: Test, redis: RedisServer, happens: () => Promise<unknown>): Promise<EventLog> {
  let isWritten = false
  return open(t, redis, {
    connect: options =>
      new Proxy(new Redis(redis.url, options as object), {
        get(target, name) {
          const found = Reflect.get(target, name, target)
          if (typeof found !== 'function') return found
          if (!/^(zadd|twinrail_(append|create))$/.test(String(name))) return found.bind(target)
          return async (...args: unknown[]) => {
            if (name === 'zadd') {
              if (isWritten) await happens()
              return found.apply(target, args)
            }
            const answer = await found.apply(target, args)
            isWritten = answer[0] === 1 || String(answer).startsWith('accepted')
            return answer
          }
        },
      }),
  })
}

for (const [what, write] of [
  ['a creation', log => log.create('s', {})],
  ['a first append', log => put(log, texts(1, 1), { create: true })],
] as [string, (log: EventLog) => Promise<unknown>][]) {
  t.test(`of a session that another process deletes during ${what} nothing is left`, skip, async t => {
    const redis = await RedisServer.start(t)
    const other = await open(t, redis)
    await write(await openBefore(t, redis, () => other.delete('s')))
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    t.same((await admin.keys('*')).sort(), ['twinrail:epoch', 'twinrail:{s}:d'])
  })
}

t.test('of a session that is deleted while its records are restored nothing is left', skip, async t => {
  const redis = await RedisServer.start(t)
  const other = await open(t, redis)
  const log = await openBefore(t, redis, () => other.delete('s'))
  await put(log, texts(1, 1), { create: true })
  const { session } = await other.create('s', {})
  await log.restoreRecords('s', session.epoch, [], Date.now())
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  t.same((await admin.keys('*')).sort(), ['twinrail:epoch', 'twinrail:{s}:d'])
})

t.test('of a session that is deleted during an append that moves it nothing is left', skip, async t => {
  const redis = await RedisServer.start(t)
  // It was last active so long ago that the append moves it.
  const other = await open(t, redis, { clock: () => Date.now() - 5000 })
  await other.create('s', {})
  const log = await openBefore(t, redis, () => other.delete('s'))
  await put(log, texts(1, 1))
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  t.same((await admin.keys('*')).sort(), ['twinrail:epoch', 'twinrail:{s}:d'])
})

t.test('a Redis that may evict is refused, one that may forget is warned of', skip, async t => {
  const evicting = await RedisServer.start(t, ['--maxmemory-policy', 'allkeys-lru'])
  await t.rejects(createRedisLog({ url: evicting.url }), { message: /maxmemory-policy noeviction/ })
  const told: string[] = []
  const warn = (message: string) => told.push(message)
  const volatile = await RedisServer.start(t)
  await open(t, volatile, { warn })
  t.match(told, [/appendfsync always/])
  await open(t, await RedisServer.start(t, DURABLE), { warn })
  t.equal(told.length, 1, 'and one that keeps everything is not')
  const nowhere = `redis://:secret@127.0.0.1:${await freePort()}`
  await t.rejects(createRedisLog({ url: nowhere }), {
    message: /^cannot use the Redis at redis:\/\/127.*ECONNREFUSED/,
  })
})

t.test('all keys of a session are on one slot of a Cluster', skip, async t => {
  const redis = await RedisServer.start(t, ['--cluster-enabled', 'yes'])
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383)
  while (!String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) await admin.ping()
  const log = await open(t, redis, { prefix: `${randomUUID()}:` })
  const { epoch } = await put(log, texts(1, 3), {
    create: true,
    once: [{ key: 'k' }],
    leases: [{ runId: 'r', token: 'a', ttlMs: 1000 }],
  })
  await log.trim('s', epoch, 1, { seq: 3, state: {} })
  t.equal(await log.renew('s', { runId: 'r', token: 'a', ttlMs: 1000 }), true)
  t.same(seqs(await readAll(log)), [2, 3])
  t.equal(await log.delete('s'), true)
})
