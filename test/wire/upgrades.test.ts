/** Upgrades: other protocols, extensions that cannot be met, and pings of clients that are slow to read. */
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { openRaw, tls } from '../fixtures/raw-http.ts'
import { openWs } from '../fixtures/wire-clients.ts'
import { eventually, serve } from '../fixtures/wire-server.ts'

for (const kind of ['http', 'https'] as const) {
  t.test(
    `${kind}: whoever asks for another protocol is answered in this one, and leaves nothing behind`,
    async t => {
      const { url, server } = await serve(t, kind === 'https' ? { tls } : {})
      let socket: Socket | undefined
      server.app.server.on(kind === 'https' ? 'secureConnection' : 'connection', opened => {
        socket ??= opened
      })
      const raw = await openRaw(t, url)
      const counts = () => socket?.eventNames().map(name => [String(name), socket?.listenerCount(name)])
      const ask = async (n: number) => {
        raw.socket.write(
          'POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
        )
        await eventually(t, `answer ${n}`, () => raw.text().split('HTTP/1.1 201').length - 1 === n)
        // A response is over a turn later.
        await new Promise(resolve => setImmediate(resolve))
      }
      await ask(1)
      await ask(2)
      const before = counts()
      for (let n = 3; n <= 20; n++) await ask(n)
      t.same(counts(), before, 'as many listeners as before')
    },
  )
}

t.test('a WebSocket to a path that has none is answered 404 before the upgrade', async t => {
  const { url, server } = await serve(t)
  await server.sessions.create('s')
  const paths = [
    '/',
    '/elsewhere',
    '/healthz',
    '/v1/agents',
    '/v1/sessions/s/events',
    '/v1/sessions/s/commands',
  ]
  for (const path of paths) {
    const raw = await openRaw(t, url)
    raw.socket.write(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    )
    const answer = await raw.closed
    t.match(answer, /^HTTP\/1\.1 404 .*"code":"not-found"/s, path)
  }
})

/** Opens a WebSocket that offers these extensions. */
function offer(t: Test, url: string, extensions: string): Promise<{ status: number; accepted: string }> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, 'twinrail.v1', {
      perMessageDeflate: false,
      headers: { 'sec-websocket-extensions': extensions },
    })
    t.teardown(() => socket.terminate())
    // ws itself refuses an answer with an extension that it did not offer, after this event.
    socket.on('upgrade', ({ statusCode = 0, headers }) =>
      resolve({ status: statusCode, accepted: headers['sec-websocket-extensions'] ?? '' }),
    )
    socket.on('unexpected-response', (_, { statusCode = 0 }) => resolve({ status: statusCode, accepted: '' }))
    socket.on('error', reject)
  })
}

t.test('offers of compression that cannot be met are declined', async t => {
  const { url } = await serve(t, { compression: true })
  const accepted = 'permessage-deflate; client_no_context_takeover'
  const cases: [offers: string, accepted: string][] = [
    ['permessage-deflate', accepted],
    ['permessage-deflate; client_max_window_bits', accepted],
    ['permessage-deflate; client_max_window_bits=15', `${accepted}; client_max_window_bits=15`],
    ['permessage-deflate; server_max_window_bits=15', ''],
    ['permessage-deflate; server_max_window_bits=8', ''],
    ['permessage-deflate; server_no_context_takeover', ''],
    ['permessage-deflate; server_no_context_takeover, permessage-deflate', accepted],
    ['permessage-deflate; client_max_window_bits=7', ''],
    ['permessage-deflate; client_max_window_bits; client_max_window_bits', ''],
    ['permessage-deflate; unknown', ''],
    ['permessage-deflate; server_max_window_bits', ''],
    ['x-webkit-deflate-frame', ''],
    ['permessage-deflate;;', ''],
    [',', ''],
  ]
  for (const [offers, wanted] of cases) {
    const got = await offer(t, url, offers)
    const parts = (text: string) => text.split(/;\s*/).sort()
    t.same({ ...got, accepted: parts(got.accepted) }, { status: 101, accepted: parts(wanted) }, offers)
  }
})

t.test('a client that pings and does not read keeps its connection, and gets its pong', async t => {
  const { url, server } = await serve(t)
  await server.sessions.create('s')
  const client = await openWs(t, url)
  const pongs: string[] = []
  client.socket.on('pong', data => pongs.push(String(data)))
  client.socket.ping('first')
  await eventually(t, 'a pong', () => pongs.length === 1)
  t.match(await client.command({ type: 'subscribe', sessionId: 's' }), { type: 'ack' })
  client.tcp.pause()
  const data = { text: 'x'.repeat(500_000) }
  // More than the system's own buffers hold.
  for (let i = 0; i < 30; i++) await server.journal.append('s', [{ type: 'x.a', data }])
  for (let i = 0; i < 200; i++) client.socket.ping(`${i}`)
  await eventually(t, 'the server has read them', async () => {
    await new Promise(resolve => setTimeout(resolve, 50))
    return client.tcp.writableLength === 0
  })
  client.tcp.resume()
  await eventually(t, 'the last ping has its pong', () => pongs.at(-1) === '199')
  t.equal(client.socket.readyState, client.socket.OPEN)
  client.send({ type: 'ping', time: 1 })
  t.match(await client.nextOf('pong'), { time: 1 })
})

t.test('pings that come together have one pong, with the data of the last', async t => {
  const { url } = await serve(t)
  const client = await openWs(t, url)
  const pongs: string[] = []
  client.socket.on('pong', data => pongs.push(String(data)))
  client.tcp.cork()
  for (let i = 0; i < 500; i++) client.socket.ping(`${i}`)
  client.tcp.uncork()
  await eventually(t, 'the last ping has its pong', () => pongs.at(-1) === '499')
  t.ok(pongs.length < 50, `${pongs.length} pongs`)
})
