/** A Redis behind a password, TLS, a Sentinel or as a Cluster: the client library's own options, each on the real thing. */
import { execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Cluster, Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { logContract } from '../../src/log/contract/index.ts'
import { put, Recorder, readAll, seqs, text, texts } from '../../src/log/contract/setting.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createRedisLog, type RedisLogOptions } from '../../src/log/redis.ts'
import { freePort, isInstalled, listening, noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import { ingest, state } from '../fixtures/wire-server.ts'

const skip = { skip: noRedis }
const noTls =
  noRedis || (isInstalled('openssl') ? false : 'openssl is not installed, which makes the certificates')

async function opened(t: Test, options: RedisLogOptions): Promise<EventLog> {
  const log = await createRedisLog({ warn() {}, ...options })
  t.teardown(() => log.close())
  return log
}

/** Appends, hears and reads: commands and the subscriber both have their connection. */
async function works(t: Test, log: EventLog): Promise<void> {
  await log.create('s', {})
  const recorder = new Recorder()
  t.teardown(log.follow('s', recorder))
  await log.publishEphemeral('s', '{}')
  await recorder.hasEphemerals(1)
  await put(log, texts(1, 5))
  await recorder.has(5)
  t.same(seqs(await readAll(log)), [1, 2, 3, 4, 5])
}

t.test('a password in the URL is used, and never shown', skip, async t => {
  const redis = await RedisServer.start(t, ['--requirepass', 'open sesame'])
  const url = redis.url.replace('//', `//:${encodeURIComponent('open sesame')}@`)
  await works(t, await opened(t, { url }))
  const wrong = redis.url.replace('//', '//:wrong-one@')
  await t.rejects(createRedisLog({ url: wrong, warn() {} }), { name: 'RedisUnfit', message: /WRONGPASS/ })
  const told = await createRedisLog({ url: wrong, warn() {} }).catch(({ message }) => message)
  t.notMatch(told, 'wrong-one')
})

/** A certificate for this machine, signed by itself. */
function certificate(t: Test): { cert: string; key: string } {
  const folder = t.testdir()
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...names],
    { stdio: 'ignore' },
  )
  return { cert, key }
}

t.test('TLS', { skip: noTls }, async t => {
  const { cert, key } = certificate(t)
  const redis = await RedisServer.start(t, port => {
    const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
    return ['--port', '0', '--tls-port', `${port}`, ...files]
  })
  const url = redis.url.replace('redis:', 'rediss:')

  t.test('with an authority and a client certificate of its own, by the library’s options', async t => {
    const tls = { ca: readFileSync(cert), cert: readFileSync(cert), key: readFileSync(key) }
    await works(t, await opened(t, { connect: options => new Redis(url, { ...options, tls } as object) }))
  })

  t.test('a server whose certificate is not trusted is refused', async t => {
    await t.rejects(createRedisLog({ url, warn() {} }), { name: 'RedisUnfit', message: /self-signed/ })
  })

  t.test('serve --log rediss://', async t => {
    const open = await RedisServer.start(t, port => {
      const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-auth-clients', 'no']
      return ['--port', '0', '--tls-port', `${port}`, ...files, '--tls-ca-cert-file', cert]
    })
    const port = await freePort()
    const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const log = open.url.replace('redis:', 'rediss:')
    const args = [...TYPESCRIPT, cli, 'serve', '--port', `${port}`, '--log', log]
    const server = spawn(process.execPath, args, {
      stdio: 'ignore',
      env: { ...process.env, NODE_OPTIONS: '', NODE_EXTRA_CA_CERTS: cert },
    })
    t.teardown(async () => {
      server.kill('SIGKILL')
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
    })
    await listening(port, server)
    const url = `http://127.0.0.1:${port}`
    await ingest(url, 's', { type: 'x.n', data: 1 })
    t.match((await state(url, 's')).head, /-1$/)
  })
})

t.test('a Sentinel names the master, also after a failover', skip, async t => {
  const master = await RedisServer.start(t)
  const replica = await RedisServer.start(t, ['--replicaof', '127.0.0.1', `${master.port}`])
  const port = await freePort()
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor main 127.0.0.1 ${master.port} 1`,
    'sentinel down-after-milliseconds main 500',
    'sentinel failover-timeout main 5000',
  ]
  const folder = t.testdir({ 'sentinel.conf': `${lines.join('\n')}\n` })
  const sentinel = spawn('redis-server', [join(folder, 'sentinel.conf'), '--sentinel'], { stdio: 'ignore' })
  t.teardown(async () => {
    sentinel.kill('SIGKILL')
    if (sentinel.exitCode === null && sentinel.signalCode === null) await once(sentinel, 'exit')
  })
  await listening(port, sentinel)
  const admin = new Redis(port, '127.0.0.1')
  t.teardown(() => admin.disconnect())
  while (((await admin.call('SENTINEL', 'REPLICAS', 'main')) as unknown[]).length === 0) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }

  const sentinels = [{ host: '127.0.0.1', port }]
  const log = await opened(t, {
    deadlineMs: 1000,
    connect: options => new Redis({ ...options, sentinels, name: 'main' } as object),
  })
  const { epoch } = await put(log, texts(1, 20), { create: true })
  const recorder = new Recorder()
  t.teardown(log.follow('s', recorder))
  const direct = new Redis(master.url)
  t.equal(await direct.wait(1, 0), 1, 'the replica has it all')
  direct.disconnect()
  await master.kill()
  for (;;) {
    const appended = await log
      .append('s', [text('after')], { once: [{ key: 'after' }] })
      .catch(() => undefined)
    // It may have been made although its answer was lost.
    if (!appended || !(appended.accepted || appended.reason === 'key')) continue
    break
  }
  t.match(await log.session('s'), { epoch, head: 21 }, 'in the same log')
  await recorder.has(1)
  t.same(seqs(recorder.heard), [21])
  t.equal(
    ((await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')) as string[])[1],
    `${replica.port}`,
  )
})

t.test('a Cluster', skip, async t => {
  const busPort = await freePort()
  const redis = await RedisServer.start(t, [
    '--cluster-enabled',
    'yes',
    '--cluster-port',
    `${busPort}`,
    '--cluster-announce-ip',
    '127.0.0.1',
  ])
  const admin = new Redis(redis.url)
  t.teardown(() => admin.disconnect())
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  while (!String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) {
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const nodes = [{ host: '127.0.0.1', port: redis.port }]
  const connect: RedisLogOptions['connect'] = options =>
    new Cluster(nodes, { redisOptions: options as object, lazyConnect: true, enableOfflineQueue: false })

  await works(t, await opened(t, { connect, prefix: 'first:' }))

  t.test('one that knows no nodes is refused', async t => {
    const alone = await RedisServer.start(t, [
      '--cluster-enabled',
      'yes',
      '--cluster-port',
      `${await freePort()}`,
    ])
    const nowhere = [{ host: '127.0.0.1', port: alone.port }]
    const refused = createRedisLog({
      deadlineMs: 500,
      connect: options =>
        new Cluster(nowhere, {
          redisOptions: options as object,
          lazyConnect: true,
          enableOfflineQueue: false,
        }),
    })
    await t.rejects(refused, { name: 'RedisUnfit' })
  })

  t.test('away and back', async t => {
    const log = await opened(t, { connect, prefix: 'second:', deadlineMs: 500 })
    await put(log, texts(1, 3), { create: true })
    await redis.kill()
    await t.rejects(log.append('s', [text(4)]), { code: 'unavailable', retryable: true })
    await redis.start()
    for (;;) {
      const session = await log.create('s', {}).catch(() => undefined)
      if (session) break
    }
    t.match(await log.append('s', [text(5)]), { accepted: true })
  })

  await logContract(t, 'redis cluster', (_, { clock }) =>
    createRedisLog({ connect, clock, warn() {}, prefix: `${randomUUID()}:` }),
  )
})
