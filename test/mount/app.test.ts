/** The app around a mounted server: its routes, hooks, errors, upgrades and logger, and its end. */
import type { IncomingMessage } from 'node:http'
import { networkInterfaces } from 'node:os'
import fastifyCors from '@fastify/cors'
import swagger from '@fastify/swagger'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import {
  type Authorize,
  createHandler,
  createServer as createTwinrail,
  defineAgent,
  twinrail,
} from '../../src/index.ts'
import { createMemoryLog } from '../../src/log/index.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { fastifyApp, listenHttp, mountHandler, mountIn } from '../fixtures/mounts.ts'
import { openSse, WsClient } from '../fixtures/wire-clients.ts'
import { ask } from '../fixtures/wire-refusals.ts'
import { call, command, eventually, post } from '../fixtures/wire-server.ts'

/** What a WebSocket to this address first hears, or why it is refused. */
function firstMessage(t: Test, url: string, headers: Record<string, string> = {}): Promise<string> {
  return new Promise(resolve => {
    const socket = new WebSocket(url.replace('http', 'ws'), { headers })
    t.teardown(() => socket.terminate())
    socket.on('message', message => resolve(String(message)))
    socket.on('error', error => resolve(error.message))
    socket.on('close', code => resolve(String(code)))
  })
}

t.test('the app’s routes, parsers, schemas and errors are as without it', async t => {
  const app = fastifyApp(t)
  await app.register(swagger, { openapi: { info: { title: 'The app', version: '1' } } })
  app.addContentTypeParser('text/csv', { parseAs: 'string' }, (_request, body, done) =>
    done(null, `csv ${body}`),
  )
  app.setErrorHandler((error: Error, _request, reply) => reply.code(418).send(error.message))
  app.setNotFoundHandler((_request, reply) => reply.code(404).send('nowhere in the app'))
  app.get('/', async () => 'the page of the app')
  app.get('/metrics', async () => 'the metrics of the app')
  app.post('/echo', async ({ body }) => ({ body }))
  app.get('/throw', async () => {
    throw new Error('of the app')
  })
  const { url, appUrl } = await mountIn(app)
  const text = async (path: string, init?: RequestInit) => (await fetch(appUrl + path, init)).text()
  t.equal(await text('/'), 'the page of the app')
  t.equal(await text('/metrics'), 'the metrics of the app')
  t.equal(await text('/nowhere'), 'nowhere in the app')
  t.equal(await text('/throw'), 'of the app')
  const echo = (type: string, body: string) =>
    text('/echo', { method: 'POST', headers: { 'content-type': type }, body })
  t.equal(await echo('text/csv', 'a'), '{"body":"csv a"}')
  t.equal(await echo('text/plain', 'a'), '{"body":"a"}')
  t.equal(await echo('application/json', '{"n":9007199254740993}'), '{"body":{"n":9007199254740992}}')
  t.same(Object.keys(app.swagger().paths ?? {}), ['/', '/metrics', '/echo', '/throw'], 'its own document')
  t.same((await call(`${url}/nowhere`)).body.error?.code, 'not-found')
  const big = await post(`${url}/v1/sessions`, '{"metadata":{"n":9007199254740993}}')
  t.equal(big.status, 400)
  t.equal(big.body.error?.code, 'bad-request')
  const wrong = await post(`${url}/v1/sessions`, 'a', { 'content-type': 'text/csv' })
  t.equal(wrong.status, 415)
  t.match((await (await fetch(`${url}/metrics`)).text()).slice(0, 2000), '# HELP')
})

t.test('several servers in one app have nothing in common', async t => {
  const app = fastifyApp(t)
  const logs = [createMemoryLog(), createMemoryLog()] as const
  await app.register(twinrail, { prefix: '/a', log: logs[0], logger: false, metrics: false })
  const { appUrl } = await mountIn(app, { prefix: '/a/b', log: logs[1] })
  const [a, b] = [app.twinrail('/a'), app.twinrail('/a/b')]
  await a.publish('s', { type: 'x.a', data: 'a' })
  await b.publish('s', { type: 'x.b', data: 'b' })
  for (const [path, type] of [
    ['/a', 'x.a'],
    ['/a/b', 'x.b'],
  ]) {
    const { body } = await call(`${appUrl}${path}/v1/sessions/s/events`, {
      headers: { accept: 'application/json' },
    })
    t.same(
      (body as unknown as { events: { type: string }[] }).events.map(({ type }) => type),
      [type],
    )
    t.match(await firstMessage(t, `${appUrl}${path}/v1/ws`), '"hello"')
  }
  t.equal((await call(`${appUrl}/a/metrics`)).status, 404)
  t.equal((await fetch(`${appUrl}/a/b/metrics`)).status, 200)
  t.throws(() => app.twinrail(), /received no prefix, expected one of \/a, \/a\/b/)
  t.throws(() => app.twinrail('/c'), /received "\/c"/)
  await t.rejects(
    Promise.resolve(fastifyApp(t).register(twinrail, { prefix: '/:tenant' })),
    /prefix: received/,
  )
  await t.rejects(createHandler({ prefix: '/' }), /prefix: received/)
})

t.test('the app’s hooks see requests and upgrades, refuse them, and authorize them', async t => {
  const app = fastifyApp(t)
  app.decorateRequest('user', '')
  app.addHook('onRequest', async (request, reply) => {
    const { user } = request.headers
    if (user === undefined) return reply.code(401).send('the app knows you not')
    Object.assign(request, { user })
    reply.header('set-cookie', `user=${user}`)
  })
  const seen: unknown[] = []
  const authorize: Authorize = ({ hostRequest, originalUrl }) => {
    seen.push(originalUrl)
    return { id: (hostRequest as FastifyRequest & { user: string }).user }
  }
  const { url, server } = await mountIn(app, { authorize })
  t.equal((await ask(url, { path: '/v1/agents' })).status, 401)
  const headers = { user: 'ann' }
  const made = await post(`${url}/v1/sessions`, { sessionId: 's' }, headers)
  t.equal(made.status, 201)
  t.equal(made.headers.get('set-cookie'), 'user=ann')
  await command(url, 's', { type: 'publish', event: { type: 'x.a', data: 1 } }, headers)
  for await (const event of server.sessions.events('s')) t.match(event, { type: 'x.a', by: 'ann' })
  t.equal(await firstMessage(t, `${url}/v1/ws`), 'Unexpected server response: 401')
  t.match(await firstMessage(t, `${url}/v1/ws`, headers), '"hello"')
  const stream = await fetch(`${url}/v1/sessions/s/events`, { headers })
  t.equal(stream.headers.get('set-cookie'), 'user=ann')
  await stream.body?.cancel()
  t.ok(seen.includes('/rt/v1/ws'))
})

for (const order of ['before', 'after'] as const) {
  t.test(`the app has WebSockets of its own, registered ${order} the server`, async t => {
    const app = fastifyApp(t)
    const own = async () => {
      await app.register(fastifyWebsocket)
      await app.register(async scope => {
        scope.get('/echo', { websocket: true }, socket => void socket.send('of the app'))
      })
    }
    if (order === 'before') await own()
    await app.register(twinrail, { prefix: '/rt', logger: false })
    if (order === 'after') await own()
    const appUrl = await app.listen({ port: 0 })
    t.equal(await firstMessage(t, `${appUrl}/echo`), 'of the app')
    t.match(await firstMessage(t, `${appUrl}/rt/v1/ws`), '"hello"')
    t.match(await firstMessage(t, `${appUrl}/rt/echo`), '404')
  })
}

t.test('upgrades that nobody takes are plain requests, as without the server', async t => {
  const app = fastifyApp(t)
  app.get('/', async () => 'the page of the app')
  const { appUrl } = await mountIn(app)
  const upgrade = {
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
  }
  t.match((await ask(appUrl, { path: '/', headers: upgrade })).body, { type: 'the page of the app' })
  t.equal(await firstMessage(t, appUrl), 'Unexpected server response: 200')
})

t.test('the app’s CORS and the server’s go together', async t => {
  const app = fastifyApp(t)
  await app.register(fastifyCors, { origin: true })
  const { url } = await mountIn(app, { origins: ['https://app.example.com'] })
  const from = (origin: string) => call(`${url}/v1/agents`, { headers: { origin } })
  const allowed = await from('https://app.example.com')
  t.equal(allowed.status, 200)
  t.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example.com')
  t.equal((await from('https://evil.example')).status, 403)
})

t.test('it closes with the app: subscribers are told, runs end, and the log is closed', async t => {
  const app = fastifyApp(t)
  const log = createMemoryLog()
  let closed = 0
  const close = log.close.bind(log)
  log.close = async () => {
    closed++
    await close()
  }
  const { url, server } = await mountIn(app, { log })
  await command(url, 's', { type: 'run.start', agent: 'idle', input: null, runId: 'r' })
  const sse = await openSse(t, `${url}/v1/sessions/s/events`)
  const socket = await WsClient.open(url)
  t.teardown(() => socket.close())
  const types: string[] = []
  const followed = (async () => {
    for await (const { type } of server.sessions.events('s', { follow: true })) types.push(type)
  })()
  await eventually(t, 'follows', () => types.includes('run.started'))
  await app.close()
  t.equal(closed, 1)
  await sse.until(({ message }) => message.type === 'run.failed')
  t.match((await sse.until(({ message }) => message.type === 'closing')).at(-1)?.message, { code: 'restart' })
  await followed
  t.same(types, ['run.started', 'run.failed'])
  await server.close()
  t.equal(closed, 1, 'once')
})

t.test('a client that does not read its farewell does not keep the app open', async t => {
  const app = fastifyApp(t, { forceCloseConnections: 'idle' })
  const { url } = await mountIn(app)
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`)
  await new Promise(resolve => socket.once('message', resolve))
  socket.pause()
  t.teardown(() => socket.terminate())
  await app.close()
  t.pass('closed')
})

t.test('an app that logs has the server’s entries in its log, and no ticket', async t => {
  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(line) }
  const app = fastifyApp(t, { logger: { level: 'info', stream } })
  const failing = defineAgent({
    name: 'failing',
    description: 'Fails',
    input: (await import('zod')).z.unknown(),
    // biome-ignore lint/correctness/useYield: it fails first
    async *run() {
      throw new Error('the model is away')
    },
  })
  const authorize: Authorize = ({ headers }) => {
    if (headers.authorization !== undefined) return { id: 'ann' }
    throw new TwinrailError('unauthorized', 'no token')
  }
  await app.register(twinrail, { prefix: '/rt', agents: [failing], authorize })
  const url = `${await app.listen({ port: 0 })}/rt`
  const headers = { authorization: 'Bearer a' }
  await command(url, 's', { type: 'run.start', agent: 'failing', input: null }, headers)
  await eventually(t, 'the failure', () => lines.some(line => line.includes('the model is away')))
  const { body } = await post(`${url}/v1/tickets`, {}, headers)
  const { ticket } = body as unknown as { ticket: string }
  const stream2 = await fetch(`${url}/v1/sessions/s/events?ticket=${ticket}`)
  t.equal(stream2.status, 200)
  await stream2.body?.cancel()
  const second = await post(`${url}/v1/tickets`, {}, headers)
  const other = (second.body as unknown as { ticket: string }).ticket
  t.match(await firstMessage(t, `${url}/v1/ws?ticket=${other}`), '"hello"')
  t.notOk(lines.some(line => line.includes(ticket) || line.includes(other)))
  t.equal(
    lines.filter(line => line.includes('incoming request') && line.includes('/rt/v1/tickets')).length,
    2,
  )
  const refused = await call(`${url}/v1/agents`)
  const { requestId } = refused.body.error as { requestId: string }
  t.ok(
    lines.some(line => line.includes(`"reqId":"${requestId}"`)),
    'the id of the request is the app’s',
  )
})

t.test('behind a proxy that the app trusts, the client is who it says', async t => {
  const app = fastifyApp(t, { trustProxy: true })
  const { url } = await mountIn(app, {
    hosts: ['app.example.com'],
    perAddress: 1,
    principalLimits: { connections: 1 },
  })
  const from = (ip: string, more: Record<string, string> = {}) => ({ 'x-forwarded-for': ip, ...more })
  const first = await openSse(t, `${url}/v1/sessions/s/events?create=1`, { headers: from('203.0.113.1') })
  t.teardown(() => first.close())
  // Of a stream that is not refused, `ask` reads the first message.
  const second = await ask(url, { path: '/v1/sessions/s/events', headers: from('203.0.113.1') })
  t.match(second.body, { type: /"code":"rate-limited"/ })
  const third = await fetch(`${url}/v1/sessions/s/events`, { headers: from('203.0.113.2') })
  t.equal(third.status, 200)
  await third.body?.cancel()
  const page = { origin: 'https://app.example.com' }
  const own = await ask(url, {
    path: '/v1/agents',
    headers: { ...page, 'x-forwarded-host': 'app.example.com' },
  })
  t.equal(own.status, 200, 'the page’s own origin')
  t.equal((await ask(url, { path: '/v1/agents', headers: page })).status, 403)
  const evil = { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example' }
  t.equal((await ask(url, { path: '/v1/agents', headers: evil })).status, 403, 'a forwarded name is checked')
})

t.test('a handler trusts the proxies that it is told of', async t => {
  const options = { hosts: ['app.example.com'], trustedProxies: ['loopback'] }
  const { url } = await mountHandler(t, options)
  const headers = { origin: 'https://app.example.com', 'x-forwarded-host': 'app.example.com' }
  t.equal((await ask(url, { path: '/v1/agents', headers })).status, 200)
  const untold = await mountHandler(t, { hosts: ['app.example.com'] })
  t.equal((await ask(untold.url, { path: '/v1/agents', headers })).status, 403)
})

const address = Object.values(networkInterfaces())
  .flat()
  .find(one => one && !one.internal && one.family === 'IPv4')?.address

t.test(
  'beyond loopback a server without a hook answers its own machine only',
  { skip: address === undefined && 'this machine has no address besides loopback' },
  async t => {
    const host = String(address)
    const open = await mountIn(fastifyApp(t), {}, host)
    const refused = await call(`${open.url}/v1/agents`)
    t.equal(refused.status, 403)
    t.match(refused.body.error, { code: 'forbidden', message: /no authorize hook/ })
    t.equal((await call(`${open.url}/healthz`)).status, 200)
    const insecure = await mountIn(fastifyApp(t), { insecure: true }, host)
    t.equal((await call(`${insecure.url}/v1/agents`)).status, 200)
    const guarded = await mountIn(fastifyApp(t), { authorize: () => ({ id: 'ann' }) }, host)
    t.equal((await call(`${guarded.url}/v1/agents`)).status, 200)
  },
)

t.test('a handler passes on what is not its own, and says so when its body was taken', async t => {
  const { url, appUrl } = await mountHandler(t, {}, handle => (request: IncomingMessage, response) => {
    const next = () => response.end('the app')
    if (request.headers['x-read'] === undefined)
      return (handle as typeof handle & ((...a: unknown[]) => void))(request, response, next as never)
    request.resume().on('end', () => handle(request, response))
  })
  t.equal(await (await fetch(`${appUrl}/`)).text(), 'the app')
  const taken = await post(`${url}/v1/sessions`, {}, { 'x-read': 'yes' })
  t.equal(taken.status, 500)
  t.match(taken.body.error?.message, /before express\.json\(\)/)
  t.equal((await post(`${url}/v1/sessions`, {})).status, 201)
  const alone = await mountHandler(t)
  t.match((await call(`${alone.appUrl}/`)).body.error, { code: 'not-found', message: /below \/rt\// })
})

t.test('the program publishes, starts runs, reads, lists and deletes by the server itself', async t => {
  const { url, server } = await mountHandler(t)
  const { sessions } = server
  t.match(await sessions.create({ sessionId: 'a', metadata: { n: 1 } }), { created: true, sessionId: 'a' })
  t.match(await sessions.create({ sessionId: 'a' }), { created: false })
  t.match(await sessions.create(), { created: true, sessionId: /^s-[0-9a-f]{36}$/ })
  const { offset } = await server.publish('a', { type: 'x.one', data: 1 }, { by: 'cron' })
  t.match(offset, /-1$/)
  t.same(await server.publish('a', { type: 'x.two', data: 2 }, { ephemeral: true }), {})
  t.match(
    await server.publish('a', [
      { type: 'x.three', data: 3 },
      { type: 'run.started', runId: 'own', data: { agent: 'batch', input: null } },
    ]),
    { offset: /-2$/ },
  )
  t.match(await server.publish('a', { type: 'run.completed', runId: 'own', data: {} }), { offset: /-4$/ })
  await t.rejects(server.publish('a', { type: 'run.completed', runId: 'own', data: {} }), {
    code: 'run-ended',
  })
  await t.rejects(server.publish('no id!', { type: 'x.a', data: 1 }), { code: 'bad-request' })
  t.same(await server.publish('a', []), {})

  const run = await sessions.start('a', { agent: 'idle', runId: 'r' })
  t.match(run, { runId: 'r', offset: /-5$/ })
  t.same(await sessions.start('a', { agent: 'idle', runId: 'r' }), run, 'once')
  await t.rejects(sessions.start('a', { agent: 'nobody' }), { code: 'agent-not-found' })
  await server.publish('a', { type: 'x.of-a-run', runId: 'r', data: 0 })
  await sessions.cancel('a', 'r', { reason: 'enough' })
  const types = async (options = {}) => {
    const found: string[] = []
    for await (const { type } of sessions.events('a', options)) found.push(type)
    return found
  }
  const all = [
    'x.one',
    'x.three',
    'run.started',
    'run.completed',
    'run.started',
    'x.of-a-run',
    'run.cancel-requested',
    'run.cancelled',
  ]
  t.same(await types(), all)
  t.same(await types({ after: String(offset) }), all.slice(1))
  t.same(await types({ run: 'r', follow: true }), all.slice(4))
  await t.rejects(types({ after: 'x' }), { code: 'bad-request' })
  await t.rejects(types({ run: 'nobody' }), { code: 'run-not-found' })
  t.match(await sessions.get('a'), {
    metadata: { n: 1 },
    runs: [{ runId: 'own' }, { runId: 'r', status: 'cancelled' }],
  })
  t.match(await sessions.update('a', { m: 2 }), { metadata: { n: 1, m: 2 } })
  await t.rejects(sessions.get('missing'), { code: 'session-not-found' })

  const ids = []
  for (let after: string | undefined; ; ) {
    const page = await sessions.list({ limit: 1, ...(after !== undefined && { after }) })
    ids.push(...page.sessions.map(({ sessionId }) => sessionId))
    if (page.next === undefined) break
    after = page.next
  }
  t.equal(ids.length, 2)
  await t.rejects(sessions.list({ limit: 0 }), { code: 'bad-request' })
  await t.rejects(sessions.list({ after: 'x' }), { code: 'bad-request' })

  const stop = new AbortController()
  const followed = types({ follow: true, after: `${(await sessions.get('a')).head}`, signal: stop.signal })
  await server.publish('a', { type: 'x.later', data: 0 })
  await eventually(t, 'no viewer', async () => (await call(`${url}/v1/sessions/a`)).status === 200)
  stop.abort()
  t.ok((await followed).length <= 1)
  t.equal(await sessions.delete('a'), true)
  t.equal(await sessions.delete('a'), false)
})

t.test('a server of its own has the same', async t => {
  const server = await createTwinrail({ logger: false })
  t.teardown(() => server.close({ graceMs: 0 }))
  t.same(
    Object.keys(server).sort(),
    ['app', 'close', 'listen', 'publish', 'reauthorize', 'sessions'],
    'and nothing of its inside',
  )
  await server.publish('s', { type: 'x.a', data: 1 })
  t.equal((await server.sessions.get('s')).sessionId, 's')
})

t.test('a handler stops by itself, whatever its app does', async t => {
  const { handler, upgrade, close } = await createHandler({ prefix: '/rt', logger: false })
  const { http, url } = await listenHttp(t, handler)
  http.on('upgrade', upgrade)
  const heard: string[] = []
  const socket = new WebSocket(`${url.replace('http', 'ws')}/rt/v1/ws`)
  socket.on('message', message => heard.push(String(message)))
  const code = new Promise(resolve => socket.on('close', resolve))
  await eventually(t, 'hello', () => heard.length > 0)
  await close({ graceMs: 0 })
  t.equal(await code, 1012)
  t.match(heard.at(-1), '"closing"')
  const refused = await fetch(`${url}/rt/v1/agents`)
  t.equal(refused.status, 503)
  t.match(await refused.json(), { error: { code: 'restart', retryAfterMs: Number } })
})
