/** Bodies that never come: every route lets go of them, on every protocol. */
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { WebSocket } from 'ws'
import { incompleteBytes } from '../../src/transports/incomplete-message.ts'
import { openHttp2, openRaw, tls } from '../fixtures/raw-http.ts'
import { registeredRoutes } from '../fixtures/routes.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import { each, serve } from '../fixtures/wire-server.ts'

/** Every route and method, with an id in place of each parameter, and two that are no routes. */
function routesOf(app: FastifyInstance): [method: string, path: string][] {
  return [
    ['POST', '/nowhere'],
    ['POST', '/v1/sessions/%zz/events'],
    ...registeredRoutes(app).map(([method, path]): [string, string] => [
      method,
      path.replaceAll(/:[A-Za-z]+/g, 's'),
    ]),
  ]
}

const types = ['application/json', 'application/x-ndjson', 'text/plain']

const connections = { bodyMs: 300, linesMs: 600, idleMs: 300 }

for (const kind of ['http', 'https'] as const) {
  t.test(`${kind}: HTTP/1.1`, async t => {
    const { url, server } = await serve(t, { connections, ...(kind === 'https' && { tls }) })
    await server.sessions.create('s')
    const routes = routesOf(server.app)
    t.ok(routes.length > 20 && routes.some(([, path]) => path === '/v1/sessions/s/commands'), String(routes))
    const cases = routes.flatMap(([method, path]) => types.map(type => ({ method, path, type })))
    await each(
      cases.length,
      async i => {
        const { method, path, type } = cases[i]!
        const raw = await openRaw(t, url)
        raw.socket.write(
          `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Type: ${type}\r\nContent-Length: 10\r\n\r\n{`,
        )
        const status = (await raw.closed).slice(9, 12)
        t.ok(
          /^[2345]\d\d$/.test(status) || method === 'TRACE',
          `${method} ${path} ${type}: ${status}, then closed`,
        )
        if (method !== 'POST' || !path.startsWith('/v1/') || path.includes('%')) return
        const takesLines = path.endsWith('/events') && type === 'application/x-ndjson'
        const waited = type === 'application/json' || takesLines
        t.equal(status, waited ? '408' : '415')
        if (waited) t.match(raw.text(), /"code":"timeout".*nothing of the body arrived for (300|600) ms/s)
      },
      32,
    )
  })
}

t.test('HTTP/2', async t => {
  const { url, server } = await serve(t, { connections: { bodyMs: 300, linesMs: 600 }, tls })
  await server.sessions.create('s')
  const session = await openHttp2(t, url)
  const cases = routesOf(server.app).flatMap(([method, path]) => types.map(type => ({ method, path, type })))
  await each(
    cases.length,
    async i => {
      const { method, path, type } = cases[i]!
      const stream = session.request(
        { ':method': method, ':path': path, accept: 'application/json', 'content-type': type },
        { endStream: false },
      )
      stream.on('error', () => {}).resume()
      stream.write('{')
      await new Promise(resolve => stream.once('close', resolve))
    },
    32,
  )
  t.equal(session.closed, false, 'the connection stays')
})

t.test('a refused body is read to its end: a proxy that still sends it gets the answer', async t => {
  const { url, server } = await serve(t)
  await server.sessions.create('s')
  const routes = routesOf(server.app).filter(([method, path]) => method === 'POST' && !path.includes('%'))
  const half = 'a'.repeat(1100 * 1024)
  const cases = routes.flatMap(([, path]) => types.map(type => ({ path, type })))
  await each(
    cases.length,
    async i => {
      const { path, type } = cases[i]!
      const raw = await openRaw(t, url)
      raw.socket.write(
        `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${2 * half.length}\r\n\r\n${half}`,
      )
      while (!raw.text().includes('\r\n\r\n')) await once(raw.socket, 'data')
      raw.socket.write(`${half}GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
      const [first = '', second = ''] = (await raw.closed)
        .split(/(?=HTTP\/1\.1 )/)
        .map(one => one.slice(9, 12))
      t.match(first, /^4\d\d$/, `${path} ${type}: ${first}`)
      t.equal(second, '200', `${path} ${type}: the next request of the connection`)
    },
    8,
  )
})

t.test('a slow but steady body of any length is accepted', async t => {
  const { url } = await serve(t, { connections: { bodyMs: 400, linesMs: 400 } })
  for (const [type, pieces] of [
    ['application/json', ['{"type":', '"x.a"', ',"data"', ':1', '}']],
    ['application/x-ndjson', ['{"type":', '"x.a"', ',"data"', ':1', '}\n']],
  ] as const) {
    const raw = await openRaw(t, url)
    const length = pieces.join('').length
    raw.socket.write(
      `POST /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`,
    )
    for (const piece of pieces) {
      raw.socket.write(piece)
      await new Promise(resolve => setTimeout(resolve, 150))
    }
    t.match(await raw.closed, /^HTTP\/1\.1 200 .*"count":1/s, type)
  }
})

t.test('clients that leave in the middle are no errors of the server', async t => {
  const logged: string[] = []
  const logger = { level: 'warn', stream: { write: (line: string) => logged.push(line) } }
  for (const kind of ['http', 'https'] as const) {
    const { url, server } = await serve(t, { logger, ...(kind === 'https' && { tls }) })
    const data = { text: 'x'.repeat(100_000) }
    await server.sessions.create('s')
    for (let i = 0; i < 20; i++) await server.journal.append('s', [{ type: 'x.a', data }])
    const body = (type: string) => `Content-Type: ${type}\r\nContent-Length: 1000\r\n\r\n{"type":"x.a",`
    const heads = [
      'GET /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n',
      'GET /v1/sessions/s/events?wait=20000&replay=none HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n',
      'GET /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n',
      'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n',
      `POST /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\n${body('application/json')}`,
      `POST /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\n${body('application/x-ndjson')}`,
      `POST /v1/sessions/s/commands HTTP/1.1\r\nHost: localhost\r\n${body('application/json')}`,
      'GET /heal',
    ]
    for (const head of heads) {
      for (const afterMs of [0, 20]) {
        const raw = await openRaw(t, url)
        raw.socket.pause().write(head)
        await new Promise(resolve => setTimeout(resolve, afterMs))
        if (kind === 'http') raw.socket.resetAndDestroy()
        else raw.socket.destroy()
      }
    }
    await server.close({ graceMs: 0 })
  }
  t.same(logged, [])
})

t.test('of lines and messages that are not complete the oldest are given up', async t => {
  const { url, server } = await serve(t, { connections: { arrivingBytes: 300_000 } })
  const sockets: WebSocket[] = []
  server.app.websocketServer.on('connection', socket => sockets.push(socket))
  const half = 'x'.repeat(100_000)
  const open = {
    async line() {
      const raw = await openRaw(t, url)
      raw.socket.write(
        'POST /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 500000\r\n\r\n',
      )
      raw.socket.write(half)
      return raw.closed
    },
    async message() {
      const client = await openWs(t, url)
      // A frame of a megabyte, masked with zeros.
      client.tcp.write(Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]))
      client.tcp.write(half)
      return client.closed
    },
    async 'first of two fragments'() {
      const client = await openWs(t, url)
      const head = Buffer.from([0x01, 0xff, 0, 0, 0, 0, 0, 0x01, 0x86, 0xa0, 0, 0, 0, 0])
      client.tcp.write(Buffer.concat([head, Buffer.from(half)]))
      return client.closed
    },
  }
  for (const [name, begin] of Object.entries(open)) {
    const oldest = begin()
    void open.message()
    await oldest
    t.pass(`${name}: closed when another one began`)
  }
  const givenUp = sockets.filter(({ readyState, OPEN }) => readyState !== OPEN)
  t.ok(givenUp.length >= 2)
  for (const socket of givenUp) t.equal(incompleteBytes(socket), 0, 'what was sent of it is dropped')
  const whole = await openWs(t, url)
  t.match(await whole.command({ type: 'publish', sessionId: 's', event: { type: 'x.a', data: half } }), {
    type: 'ack',
  })
})
