/** Which pages may use the server; foreign pages, foreign host names and bytes that are no HTTP are refused. */
import { connect as connectTcp } from 'node:net'
import t, { type Test } from 'tap'
import { createServer, type ServerOptions } from '../../src/server.ts'
import { openWs, WsClient } from '../fixtures/wire-clients.ts'
import { ask, commands, events, json, post, publish, stage } from '../fixtures/wire-refusals.ts'
import { eventually, ingest, serve } from '../fixtures/wire-server.ts'

t.test('pages of other sites and foreign names for this host', async t => {
  const s = await stage(t)
  const { host } = new URL(s.url)
  const routes: [string, string][] = [
    ['GET', '/'],
    ['GET', '/page.js'],
    ['GET', '/healthz'],
    ['GET', '/readyz'],
    ['GET', '/metrics'],
    ['GET', '/openapi.json'],
    ['GET', '/v1/agents'],
    ['GET', '/v1/guide'],
    ['GET', '/v1/sessions'],
    ['POST', '/v1/sessions'],
    ['GET', '/v1/sessions/s'],
    ['DELETE', '/v1/sessions/s'],
    ['GET', events],
    ['POST', events],
    ['POST', commands],
    ['OPTIONS', commands],
    ['GET', '/v1/ws'],
    ['GET', '/nowhere'],
  ]
  for (const [method, path] of routes) {
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `http://${host}.evil.example` },
      { origin: 'http://localhost.evil.example' },
      { origin: 'http://127.0.0.1.nip.io:5173' },
      { origin: 'file://localhost' },
      { host: 'evil.example' },
      { host: '127.0.0.1.evil.example' },
      { host: 'evil.example', origin: 'http://evil.example' },
    ] as Record<string, string>[]) {
      const body = method === 'POST' ? JSON.stringify({ ...publish, ...publish.event }) : undefined
      const { status, body: answer } = await ask(s.url, {
        method,
        path,
        headers: { ...(body && json), ...headers },
        ...(body && { body }),
      })
      const code = path === commands && method === 'POST' ? answer.code : answer.error?.code
      if (status !== 403 || code !== 'forbidden') {
        t.fail(`${method} ${path} ${JSON.stringify(headers)}: ${status} ${JSON.stringify(answer)}`)
      }
    }
    t.equal(await s.unharmed(), undefined, `${method} ${path}`)
  }
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { host: 'evil.example' },
  ] as Record<string, string>[]) {
    await t.rejects(WsClient.open(s.url, [], { headers }), /403/, JSON.stringify(headers))
  }
  const { port } = new URL(s.url)
  for (const headers of [
    { origin: s.url },
    { origin: `http://localhost:${port}`, host: `localhost:${port}` },
    { host: 'localhost' },
    { host: `[::1]:${port}` },
    { host: 'a.localhost' },
  ] as Record<string, string>[]) {
    t.equal((await ask(s.url, { path: '/v1/sessions/s', headers })).status, 200, JSON.stringify(headers))
    const client = await openWs(t, s.url, { headers })
    t.match(await client.nextOf('hello'), { protocol: 1 })
  }
  t.equal(await s.unharmed(), undefined)
})

t.test('upgrades that are refused leave no socket behind', async t => {
  const { url, server } = await serve(t)
  const count = () =>
    new Promise<number>(resolve => server.app.server.getConnections((_, count) => resolve(count)))
  const upgrade = {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  const refused: [path: string, headers: Record<string, string>, status: number][] = [
    ['/v1/ws', { ...upgrade, origin: 'https://evil.example' }, 403],
    ['/v1/ws', { ...upgrade, host: 'evil.example' }, 403],
    ['/v1/ws', { ...upgrade, 'sec-websocket-protocol': 'other' }, 400],
    ['/nowhere', upgrade, 404],
    ['/v1/sessions/%zz', upgrade, 400],
    ['/v1/ws', { ...upgrade, 'sec-websocket-version': '12' }, 400],
  ]
  for (const [path, headers, status] of refused) {
    const got = await new Promise(resolve => {
      const socket = connectTcp(Number(new URL(url).port), '127.0.0.1')
      const head = Object.entries({ host: 'localhost', ...headers }).map(
        ([name, value]) => `${name}: ${value}`,
      )
      socket.write(`GET ${path} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`)
      // A client that never closes by itself.
      socket.once('data', data => resolve(Number(String(data).slice(9, 12))))
      t.teardown(() => socket.destroy())
    })
    t.equal(got, status, `${path} ${JSON.stringify(headers)}`)
  }
  await eventually(t, 'all are closed by the server', async () => (await count()) === 0)
})

/** What a page of an origin gets on every kind of request. */
async function asPage(t: Test, url: string, origin: string) {
  const preflight = await ask(url, {
    method: 'OPTIONS',
    path: commands,
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,last-event-id',
    },
  })
  const read = await ask(url, { path: '/v1/sessions/s', headers: { origin } })
  const sent = await ask(url, post(publish, commands, { ...json, origin }))
  const stream = await ask(url, { path: events, headers: { origin, accept: 'text/event-stream' } })
  const page = await ask(url, { path: events, headers: { origin, accept: 'application/json' } })
  const start = { id: '2', type: 'run.start', agent: 'script', input: { events: [] } }
  const run = await ask(url, post(start, commands, { ...json, origin, accept: 'text/event-stream' }))
  const socket = await WsClient.open(url, [], { headers: { origin } }).then(
    async client => {
      t.teardown(() => client.close())
      return (await client.nextOf('hello')).type
    },
    (error: Error) => error.message,
  )
  return { preflight, answers: { read, sent, run, stream, page }, socket }
}

async function isAllowed(t: Test, url: string, origin: string): Promise<void> {
  const { preflight, answers, socket } = await asPage(t, url, origin)
  t.equal(preflight.status, 204, `${origin}: preflight`)
  t.match(preflight.headers, {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': /POST/,
    'access-control-allow-headers': /last-event-id/,
  })
  for (const [name, { status, headers }] of Object.entries(answers)) {
    t.equal(status, 200, `${origin}: ${name}`)
    t.equal(headers['access-control-allow-origin'], origin, `${origin}: ${name}`)
    t.match(headers.vary, /Origin/, `${origin}: ${name}`)
  }
  t.equal(socket, 'hello', `${origin}: WebSocket`)
}

async function isRefused(t: Test, url: string, origin: string): Promise<void> {
  const { preflight, answers, socket } = await asPage(t, url, origin)
  for (const [name, { status, headers }] of Object.entries({ preflight, ...answers })) {
    t.equal(status, 403, `${origin}: ${name}`)
    t.equal(headers['access-control-allow-origin'], undefined, `${origin}: ${name}`)
  }
  t.match(socket, /403/, `${origin}: WebSocket`)
}

const loopbackOrigins = [
  'http://localhost:5173',
  'https://localhost',
  'http://app.localhost:3000',
  'http://127.0.0.1:1',
  'http://127.8.9.10:8080',
  'http://[::1]:5173',
]

t.test('on loopback without a list, pages of every loopback origin may do everything', async t => {
  const { url } = await serve(t)
  await ingest(url, 's', { type: 'x.a', data: 1 })
  for (const origin of loopbackOrigins) await isAllowed(t, url, origin)
  for (const origin of ['https://app.example', 'http://[::2]:5173', 'http://128.0.0.1']) {
    await isRefused(t, url, origin)
  }
})

t.test('a list allows its origins and no loopback origin', async t => {
  const listed = 'https://app.example'
  const { url } = await serve(t, { origins: [listed] })
  await ingest(url, 's', { type: 'x.a', data: 1 })
  await isAllowed(t, url, listed)
  for (const origin of [...loopbackOrigins, 'https://b.example']) await isRefused(t, url, origin)
  const own = await ask(url, post(publish, commands, { ...json, origin: url }))
  t.equal(own.status, 200, 'the server’s own pages need no entry')
})

t.test('an empty list allows only the server’s own pages', async t => {
  const { url } = await serve(t, { origins: [] })
  await ingest(url, 's', { type: 'x.a', data: 1 })
  await isRefused(t, url, 'http://localhost:5173')
  t.equal((await ask(url, { path: '/v1/sessions/s', headers: { origin: url } })).status, 200)
})

t.test('beyond loopback no foreign page is allowed without a list', async t => {
  const server = await createServer({ insecure: true, logger: false })
  t.teardown(() => server.close({ graceMs: 0 }))
  const url = (await server.listen({ host: '0.0.0.0', port: 0 })).replace('0.0.0.0', '127.0.0.1')
  await ingest(url, 's', { type: 'x.a', data: 1 })
  await isRefused(t, url, 'http://localhost:5173')
})

/** The status of a GET for a host. */
const statusFor = async (url: string, host: string) =>
  (await ask(url, { path: '/v1/agents', headers: { host } })).status

t.test('names of the server are checked on every address, and told once', async t => {
  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line).msg) }
  const beyond = async (options: ServerOptions) => {
    const server = await createServer({ logger: { level: 'warn', stream }, ...options })
    t.teardown(() => server.close({ graceMs: 0 }))
    return (await server.listen({ host: '0.0.0.0', port: 0 })).replace('0.0.0.0', '127.0.0.1')
  }
  const insecure = await beyond({ insecure: true })
  for (const host of ['10.0.0.1:80', '[fe80::1]', 'twinrail', 'localhost', 'a.localhost:1']) {
    t.equal(await statusFor(insecure, host), 200, `${host} cannot be a foreign page's name`)
  }
  for (const host of ['rebound.example', 'rebound.example:8787', '127.0.0.1.nip.io']) {
    t.equal(await statusFor(insecure, host), 403, host)
  }
  t.equal(lines.length, 2, 'each name is told once')
  t.match(lines[0], /--allow-host rebound\.example/)
  const listed = await beyond({ insecure: true, hosts: ['App.example.com'] })
  t.equal(await statusFor(listed, 'app.example.com:443'), 200)
  t.equal(await statusFor(listed, 'twinrail'), 403, 'with a list only that counts')
  const guarded = await beyond({ authorize: () => ({ id: 'ann' }) })
  t.equal(await statusFor(guarded, 'any.example'), 200, 'a foreign page has no credentials there')

  const { url } = await serve(t, { hosts: ['dev.example'], logger: false })
  t.equal(await statusFor(url, 'dev.example'), 200, 'on loopback, too')
  t.equal(await statusFor(url, 'other.example'), 403)
  const { body } = await ask(url, { path: '/v1/agents', headers: { host: 'other.example' } })
  t.match(body.error?.message, /--allow-host.*changeOrigin/)
})

t.test('a refused origin is reported once, with the flag that allows it; at most 100 are', async t => {
  const lines: string[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line).msg) }
  const { url } = await serve(t, { logger: { level: 'warn', stream } })
  const visit = (origin: string) => ask(url, { path: '/v1/agents', headers: { origin } })
  for (let i = 0; i < 3; i++) await visit('https://evil.example')
  t.equal(lines.length, 1)
  t.match(lines[0], /https:\/\/evil\.example.*--origin https:\/\/evil\.example/)
  await visit('null')
  t.equal(lines.length, 2)
  t.match(lines[1], /no origin/)
  await visit('not what a browser sends')
  t.equal(lines.length, 2, 'nothing that no flag could allow')
  for (let i = 0; i < 150; i++) await visit(`https://${i}.example`)
  t.equal(lines.length, 100)
})

t.test('requests that are no HTTP', async t => {
  const s = await stage(t)
  const { port, host } = new URL(s.url)
  const bad: Record<string, string> = {
    'a line break in a header': `GET /v1/sessions/s HTTP/1.1\r\nHost: ${host}\r\nLast-Event-ID: 1-1\rX: y\r\n\r\n`,
    'a line feed in a header': `GET ${events} HTTP/1.1\r\nHost: ${host}\r\nLast-Event-ID: 1-1\n \0\r\n\r\n`,
    'a NUL in a header': `GET ${events} HTTP/1.1\r\nHost: ${host}\r\nX-Bad: a\0b\r\n\r\n`,
    'a space before the colon': `GET ${events} HTTP/1.1\r\nHost: ${host}\r\nX-Bad : a\r\n\r\n`,
    'two hosts': `GET /v1/sessions/s HTTP/1.1\r\nHost: ${host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
    'no host': 'GET /v1/sessions HTTP/1.1\r\n\r\n',
    'two lengths': `POST ${commands} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    'a length and chunks': `POST ${commands} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'no method': 'hello\r\n\r\n',
    TLS: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'a header without an end': `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Long: ${'x'.repeat(40_000)}\r\n\r\n`,
    'a bad chunk': `POST ${events} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
  }
  for (const [name, text] of Object.entries(bad)) {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connectTcp(Number(port), '127.0.0.1', () => socket.write(text, 'latin1'))
      let got = ''
      socket.on('data', data => {
        got += data
      })
      socket.on('close', () => resolve(got))
      socket.on('error', reject)
    })
    t.match(answer, /^HTTP\/1\.1 4\d\d /, `${name}: ${answer.slice(9, 30)}`)
    // Node itself answers a request without a Host, in few words.
    if (name !== 'no host') t.match(answer, /"code":"bad-request"/, name)
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
})
