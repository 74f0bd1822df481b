/** The conformance suite against every log, through a proxy, over TLS and HTTP/2, mounted, and with credentials. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { conformanceCommand } from '../src/cli/conformance.ts'
import { type Report, runConformance } from '../src/conformance/run.ts'
import { needCredentials } from '../src/conformance/statements/credentials.ts'
import { TwinrailError } from '../src/protocol/index.ts'
import { stream } from './cli/stage.ts'
import { ClusterNode, startNodes } from './fixtures/cluster.ts'
import { fastifyApp, mountExpress, mountIn } from './fixtures/mounts.ts'
import { missing, startNginx } from './fixtures/proxies.ts'
import { tls } from './fixtures/raw-http.ts'
import { noRedis, RedisServer } from './fixtures/redis-server.ts'
import { serve } from './fixtures/wire-server.ts'

/** @param skipped numbers of statements that cannot be checked there */
function conforms(t: Test, { rows, passed }: Report, skipped: readonly number[] = needCredentials): void {
  t.same(
    rows.filter(
      ({ outcome, number }) => outcome === 'failed' || (outcome === 'skipped' && !skipped.includes(number)),
    ),
    [],
  )
  t.ok(passed >= 250, `${passed} passed`)
}

/** No check may fail since the machine is slow. */
const patient = { timeoutMs: 120_000 }

t.test('LMDB in a process of its own', async t => {
  const { url } = await ClusterNode.start(t, { folder: join(t.testdir(), 'log'), leaseMs: 15_000 })
  conforms(t, await runConformance({ url, headers: {} }, patient))
})

t.test(
  'two nodes on Redis behind nginx, with the configuration of docs/several-nodes.md',
  { skip: noRedis || missing('nginx') },
  async t => {
    const redis = await RedisServer.start(t)
    const [one, two] = await startNodes(t, 2, { redis: redis.url, leaseMs: 15_000 })
    const page = readFileSync(new URL('../docs/several-nodes.md', import.meta.url), 'utf8')
    const [, documented = ''] = /```nginx\n(.*?)```/s.exec(page) ?? []
    const url = await startNginx(
      t,
      documented
        .replace('127.0.0.1:8787', `127.0.0.1:${one?.port}`)
        .replace('127.0.0.1:8788', `127.0.0.1:${two?.port}`)
        .replace('listen 8080', 'listen 127.0.0.1:PORT'),
    )
    conforms(t, await runConformance({ url, headers: {} }, patient))
  },
)

t.test('TLS, with requests over HTTP/2 and over HTTP/1.1', async t => {
  const { url } = await serve(t, { tls })
  const target = { url: url.replace('127.0.0.1', 'localhost'), headers: {}, ca: String(tls.cert) }
  conforms(t, await runConformance({ ...target, http2: true }, patient))
  conforms(t, await runConformance(target, patient))
})

t.test('the Fastify plugin below a prefix', async t => {
  const { url } = await mountIn(fastifyApp(t))
  conforms(t, await runConformance({ url, headers: {} }, patient))
})

t.test('a handler in Express, on its own path and below it', async t => {
  for (const path of [undefined, '/rt']) {
    const url = await mountExpress(t, path)
    conforms(t, await runConformance({ url, headers: {} }, patient))
  }
})

t.test('with credentials, and without', async t => {
  const { url } = await serve(t, {
    authorize: request => {
      if (request.headers.authorization === 'Bearer key') return { id: 'conformance' }
      throw new TwinrailError('unauthorized', 'no key')
    },
    principalLimits: {
      commandsPerSecond: 10_000,
      commandBurst: 10_000,
      sessionsPerHour: 10_000,
      bytesPerSecond: 1e9,
      burstBytes: 1e9,
    },
  })
  conforms(t, await runConformance({ url, headers: { authorization: 'Bearer key' } }, patient), [])
  const { conforms: without } = await runConformance({ url, headers: {} }, { ...patient, only: [1, 130] })
  t.equal(without, false)
})

t.test('the command prints a table and JSON, and its exit code tells the result', async t => {
  const { url } = await serve(t)
  const file = join(t.testdir(), 'report.json')
  const run = async (options: { json?: string; only: number[]; url?: string }) => {
    const [stdout, stderr] = [stream(), stream()]
    const code = await conformanceCommand({
      url: `${url}/`,
      headers: {},
      http2: false,
      timeoutMs: 60_000,
      stdout,
      stderr,
      env: {},
      ...options,
    })
    return { code, text: stdout.text }
  }
  const good = await run({ only: [3, 60, 130], json: file })
  t.equal(good.code, 0)
  t.match(good.text, /^ {3}# {2}sse +websocket +long-poll +http +statement\n/)
  t.match(good.text, /^ {3}3 {2}✓ +✓ +✓ +A subscription delivers every offset/m)
  t.match(good.text, `${url} conforms: 5 passed, 0 failed, 0 skipped`)
  t.match(JSON.parse(readFileSync(file, 'utf8')), {
    url,
    conforms: true,
    passed: 5,
    rows: [{ number: 3, on: 'sse', outcome: 'passed' }],
  })
  const bad = await run({ only: [3], url: `${url}/nowhere`, json: '-' })
  t.equal(bad.code, 1)
  t.match(JSON.parse(bad.text), { conforms: false, failed: 3 })
  const told = await run({ only: [3], url: `${url}/nowhere` })
  t.match(told.text, /✗ 3 on sse: ingest: .*not-found.*\(PROTOCOL\.md#c3\)/)
})
