/** What the driver `redis` does when its Redis is full, is not the master any more, or says nothing; each on real servers. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { put, Recorder, readAll, seqs, text, texts } from '../../src/log/contract/setting.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createRedisLog, type RedisLogOptions } from '../../src/log/redis.ts'
import { createServer as createTwinrail } from '../../src/server.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'

const skip = { skip: noRedis }

async function open(t: Test, { url }: { url: string }, more: RedisLogOptions = {}): Promise<EventLog> {
  const log = await createRedisLog({ url, warn() {}, deadlineMs: 1000, ...more })
  t.teardown(() => log.close())
  return log
}

function admin(t: Test, { url }: { url: string }): Redis {
  const client = new Redis(url)
  t.teardown(() => client.disconnect())
  return client
}

/** What `/readyz` says of a server on the log. */
async function readiness(t: Test, log: EventLog): Promise<() => Promise<{ status: number; text: string }>> {
  // The test closes the log.
  const server = await createTwinrail({ log: { ...log, close: async () => {} }, logger: false })
  const url = await server.listen({ port: 0 })
  t.teardown(() => server.close({ graceMs: 0 }))
  return async () => {
    const answer = await fetch(`${url}/readyz`)
    return { status: answer.status, text: await answer.text() }
  }
}

t.test('above maxmemory appends are refused as full; deleting and trimming succeed', skip, async t => {
  const redis = await RedisServer.start(t, ['--maxmemory', '12mb', '--maxmemory-policy', 'noeviction'])
  const log = await open(t, redis)
  const ready = await readiness(t, log)
  t.equal((await ready()).status, 200)
  const lease = { runId: 'r', token: 'a', ttlMs: 60_000 }
  const { epoch } = await put(log, texts(1, 3), { create: true, leases: [lease] })
  const pad = 'x'.repeat(50_000)
  const fill = (sessionId: string) => log.append(sessionId, [text(pad, { sessionId })], { create: true })
  const full = { code: 'unavailable', details: { reason: 'full' }, message: /Redis is full.*delete sessions/ }
  let refusal: unknown
  for (let events = 0; !refusal && events < 1000; events++) {
    await fill(events % 2 === 0 ? 's' : 'other').catch(error => {
      refusal = error
    })
  }
  t.match(refusal, full)

  // Where its bounds are a few bytes off, such as for a small command, is Redis's affair.
  const control = admin(t, redis)
  await control.config('SET', 'maxmemory', '2mb')
  t.match(await ready(), { status: 503, text: /Redis is full/ })
  await t.rejects(log.append('s', [text(1)]), full)
  await t.rejects(log.create('new', {}), full)
  t.equal(await log.renew('s', lease), true, 'leases are kept')
  const { head = 0 } = (await log.session('s')) ?? {}
  await log.trim('s', epoch, head - 1, { seq: head, state: {} })
  t.same(seqs(await readAll(log)), [head])
  t.equal(await log.delete('other'), true)
  t.equal(await log.session('other'), undefined)

  await control.config('SET', 'maxmemory', '12mb')
  t.match(await fill('s'), { accepted: true }, 'that has made room')
  t.equal((await ready()).status, 200)
  await control.config('SET', 'maxmemory', '1mb')
  t.equal(await log.delete('s'), true)
  t.same(await log.list(undefined, 10), [])
})

t.test('a master that is demoted under a live connection is left, by both connections', skip, async t => {
  const old = await RedisServer.start(t)
  const heir = await RedisServer.start(t, ['--replicaof', '127.0.0.1', `${old.port}`])
  const clients: Redis[] = []
  const log = await open(t, old, {
    connect: options => {
      const client = new Redis(old.url, options as object)
      clients.push(client)
      return client
    },
  })
  const ready = await readiness(t, log)
  await put(log, texts(1, 3), { create: true })
  const recorder = new Recorder()
  t.teardown(log.follow('s', recorder))
  await log.publishEphemeral('s', '{}')
  await recorder.hasEphemerals(1)
  t.equal(await admin(t, old).wait(1, 0), 1)
  // As a failover does: the name that the clients connect to is the new master's from now on.
  await admin(t, heir).replicaof('NO', 'ONE')
  for (const client of clients) client.options.port = heir.port
  await admin(t, old).replicaof('127.0.0.1', `${heir.port}`)

  t.match(await ready(), { status: 503, text: /READONLY/ }, 'a write is tried')
  while ((await ready()).status !== 200) await new Promise(resolve => setTimeout(resolve, 20))
  t.match(await put(log, [text(4)]), { first: 4 })
  // Heard from another node, at the new master.
  const other = await open(t, heir)
  await other.publishEphemeral('s', '{}')
  await recorder.hasEphemerals(2)
  await put(other, [text(5)])
  await recorder.has(2)
  t.same(seqs(recorder.heard), [4, 5])
  t.ok((log.counts?.()['not-master'] ?? 0) > 0, 'and it is counted')
  const left = String(await admin(t, old).call('CLIENT', 'LIST', 'TYPE', 'pubsub'))
  t.equal(left.trim(), '', 'nobody listens to the old one')
})

t.test('deployments in two databases, or with two prefixes, do not hear each other', skip, async t => {
  const redis = await RedisServer.start(t)
  const places: RedisLogOptions[] = [
    { url: `${redis.url}/0` },
    { url: `${redis.url}/1` },
    { url: `${redis.url}/2` },
    { url: `${redis.url}/0`, prefix: 'other:' },
  ]
  const logs = await Promise.all(places.map(place => open(t, redis, place)))
  const recorders = await Promise.all(
    logs.map(async log => {
      await put(log, texts(1, 2), { create: true })
      const recorder = new Recorder()
      t.teardown(log.follow('s', recorder))
      await log.publishEphemeral('s', '{"own":true}')
      await recorder.hasEphemerals(1)
      return recorder
    }),
  )
  const [first] = logs as [EventLog]
  await first.publishEphemeral('s', '{"foreign":true}')
  await first.mark('s', 'm', 1000)
  await first.delete('s')
  await recorders[0]?.isTold()
  for (const [i, log] of logs.entries()) {
    if (i === 0) continue
    await log.publishEphemeral('s', '{"own":"again"}')
    await recorders[i]?.hasEphemerals(2)
    t.same(recorders[i]?.ephemerals, ['{"own":true}', '{"own":"again"}'])
    t.match(await put(log, [text(3)]), { first: 3 }, 'nor does a deletion reach it')
    await recorders[i]?.has(1)
  }
  const channels = (await admin(t, redis).pubsub('CHANNELS')) as string[]
  t.same(channels.sort(), ['other:{s}:c', 'twinrail:{s}:c1', 'twinrail:{s}:c2'])
})

t.test('a user without the right to the channels is refused at the start', skip, async t => {
  const redis = await RedisServer.start(t)
  const control = admin(t, redis)
  const as = (user: string) => redis.url.replace('//', `//${user}:secret@`)
  await control.call('ACL', 'SETUSER', 'deaf', 'on', '>secret', '~twinrail:*', 'resetchannels', '+@all')
  const refused = await createRedisLog({ url: as('deaf'), warn() {} }).catch(error => error)
  t.match(refused, { name: 'RedisUnfit', message: /user deaf has no right to the log's channels/ })
  const [, line = ''] = /(ACL SETUSER .*)$/.exec(refused.message) ?? []
  t.equal(line, 'ACL SETUSER deaf &twinrail:* +subscribe +unsubscribe +publish')
  await control.call(...(line.split(' ') as [string]))
  const log = await open(t, { url: as('deaf') })
  t.match(await put(log, texts(1, 2), { create: true }), { head: 2 })

  // Taken away later: appends that are made are not refused for it.
  const recorder = new Recorder()
  t.teardown(log.follow('s', recorder))
  await control.call('ACL', 'SETUSER', 'deaf', 'resetchannels')
  t.match(await put(log, [text(3)]), { head: 3 })
  await log.mark('s', 'm', 1000)
  t.match(await log.marks('s'), [{ name: 'm' }])
  t.equal(await log.delete('s'), true)
  t.same(await control.keys('twinrail:{s}:[^d]'), [], 'all of it is gone')
})

/** A way to Redis that can swallow what Redis says while the connection stays open. */
async function passage(t: Test, to: number) {
  let swallows = false
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    const upstream = connect(to, '127.0.0.1')
    const isSwallowed = () => swallows && sockets.has(socket)
    sockets.add(socket)
    socket.on('data', data => upstream.write(data))
    upstream.on('data', data => isSwallowed() || socket.write(data))
    for (const [one, two] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('close', () => two.destroy()).on('error', () => {})
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    port: (server.address() as { port: number }).port,
    /** Swallows on all connections that are open now, not on later ones. */
    swallow() {
      swallows = true
      server.prependOnceListener('connection', () => {
        swallows = false
      })
    },
  }
}

t.test('a subscriber that is half dead is found: events of other nodes are late, not lost', skip, async t => {
  const redis = await RedisServer.start(t)
  const way = await passage(t, redis.port)
  let made = 0
  const log = await open(t, redis, {
    // Nothing but the subscriber tells of events.
    recheckMs: 3_600_000,
    deadlineMs: 60_000,
    connect: options => new Redis(made++ === 0 ? redis.port : way.port, '127.0.0.1', options as object),
  })
  const other = await open(t, redis)
  await put(other, texts(1, 2), { create: true })
  const recorder = new Recorder()
  t.teardown(log.follow('s', recorder))
  await other.publishEphemeral('s', '{}')
  await log.publishEphemeral('s', '{}')
  await recorder.hasEphemerals(1)
  t.same(log.counts?.(), { 'silent-subscriber': 0, 'not-master': 0, 'over-limit': 0 })
  way.swallow()
  const since = performance.now()
  await put(other, [text(3)])
  await recorder.has(1)
  t.comment(`${Math.round(performance.now() - since)} ms late`)
  t.same(seqs(recorder.heard), [3])
  t.match(log.counts?.(), { 'silent-subscriber': 1 })
  await other.publishEphemeral('s', '{"again":1}')
  await put(other, [text(4)])
  await recorder.has(2)
})

t.test('failures without a waiting caller are reported once', skip, async t => {
  const redis = await RedisServer.start(t)
  const told: string[] = []
  let tell: () => void = () => {}
  const log = await open(t, redis, {
    deadlineMs: 300,
    warn(message) {
      told.push(message)
      tell()
    },
  })
  const atStart = told.length
  const heard = new Promise<void>(resolve => {
    tell = resolve
  })
  await redis.kill()
  await heard
  await t.rejects(log.append('s', [text(1)]), { code: 'unavailable' })
  await t.rejects(log.append('s', [text(1)]), { code: 'unavailable' })
  const later = told.slice(atStart)
  t.match(later[0], /^the log in Redis: .*ECONNREFUSED|closed/)
  t.equal(new Set(later).size, later.length, 'each once')
})
