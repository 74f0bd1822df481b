/** Heads that do not come, connections without a request and too many connections, on plain HTTP and on HTTPS alike. */
import { lookup } from 'node:dns/promises'
import { connect as connectTcp } from 'node:net'
import t, { type Test } from 'tap'
import type { ConnectionLimits } from '../../src/http/limits.ts'
import { createServer } from '../../src/server.ts'
import { openHttp2, openRaw, tls } from '../fixtures/raw-http.ts'
import { eventually, serve } from '../fixtures/wire-server.ts'

const servers = { http: {}, https: { tls } } as const
const kinds = Object.keys(servers) as (keyof typeof servers)[]

const start = (t: Test, kind: keyof typeof servers, connections: Partial<ConnectionLimits>) =>
  serve(t, { ...servers[kind], connections })

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

for (const kind of kinds) {
  t.test(`${kind}: a head that is not complete in time is answered 408`, async t => {
    const { url } = await start(t, kind, { headersMs: 300 })
    for (const begun of ['GET /healthz HTTP/1.1\r\nHost: local', '']) {
      const raw = await openRaw(t, url)
      raw.socket.write(begun)
      t.match(await raw.closed, /^HTTP\/1\.1 408 .*"code":"timeout"/s, JSON.stringify(begun))
    }
  })

  t.test(`${kind}: a head that is too large is answered 431`, async t => {
    const { url } = await start(t, kind, {})
    const raw = await openRaw(t, url)
    raw.socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ${'x'.repeat(40_000)}\r\n\r\n`)
    t.match(await raw.closed, /^HTTP\/1\.1 431 .*"code":"bad-request".*fewer cookies/s)
  })

  t.test(`${kind}: a connection is closed once it has no request for idleMs`, async t => {
    const { url } = await start(t, kind, { idleMs: 300 })
    const raw = await openRaw(t, url)
    raw.socket.write(get('/healthz'))
    t.match(await raw.closed, /^HTTP\/1\.1 200 /)
  })

  t.test(`${kind}: a request may take as long as it takes`, async t => {
    const { url, server } = await start(t, kind, { headersMs: 200, idleMs: 200, linesMs: 10_000 })
    t.equal(server.app.server.requestTimeout, 0, 'Node has no limit of its own')
    const raw = await openRaw(t, url)
    raw.socket.write(
      'POST /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
    )
    const line = '{"type":"x.a","data":1}\n'
    for (let i = 0; i < 5; i++) {
      raw.socket.write(`${line.length.toString(16)}\r\n${line}\r\n`)
      await new Promise(resolve => setTimeout(resolve, 250))
    }
    raw.socket.write('0\r\n\r\n')
    t.match(await raw.closed, /^HTTP\/1\.1 200 .*"count":5/s)
  })

  t.test(`${kind}: a connection more than allowed is closed without an answer`, async t => {
    for (const limit of ['connections', 'connectionsPerAddress'] as const) {
      const { url } = await start(t, kind, { [limit]: 2 })
      const first = await openRaw(t, url)
      const second = await openRaw(t, url)
      const refused = connectTcp(Number(new URL(url).port), '127.0.0.1')
      refused.on('error', () => {})
      let received = 0
      refused.on('data', data => {
        received += data.length
      })
      await new Promise(resolve => refused.once('close', resolve))
      t.equal(received, 0)
      second.socket.write(get('/healthz'))
      await eventually(t, 'the others are served', () => second.text().includes('200 OK'))
      first.socket.destroy()
      await eventually(t, 'and there is room again', async () => {
        const again = await Promise.race([
          openRaw(t, url).then(raw => {
            raw.socket.write(get('/healthz'))
            return raw.closed
          }),
          new Promise(resolve => setTimeout(resolve, 200, 'open')),
        ])
        return again === 'open'
      })
    }
  })

  t.test(`${kind}: probes need no Host, other routes do`, async t => {
    const { url } = await start(t, kind, {})
    const ask = async (path: string, version: string) => {
      const raw = await openRaw(t, url)
      raw.socket.write(`GET ${path} HTTP/${version}\r\nConnection: close\r\n\r\n`)
      return Number((await raw.closed).slice(9, 12))
    }
    for (const version of ['1.0', '1.1']) {
      for (const path of ['/healthz', '/readyz']) t.equal(await ask(path, version), 200, `${path} ${version}`)
    }
    t.equal(await ask('/v1/sessions', '1.1'), 400)
    t.equal(await ask('/v1/sessions', '1.0'), 403, 'on loopback a Host is needed')
  })
}

t.test('https: a connection without a handshake is closed', async t => {
  const { url } = await serve(t, { tls, connections: { headersMs: 300 } })
  for (const bytes of ['', '\x16\x03\x01', 'GET / HTTP/1.1\r\n\r\n']) {
    const socket = connectTcp(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {}).resume()
    socket.write(bytes, 'latin1')
    await new Promise(resolve => socket.once('close', resolve))
    t.pass(JSON.stringify(bytes))
  }
})

t.test('https: an HTTP/2 connection without a stream is closed', async t => {
  const { url } = await serve(t, { tls, connections: { idleMs: 300 } })
  const session = await openHttp2(t, url)
  await new Promise(resolve => session.once('close', resolve))
})

t.test('localhost is every address that it has, with one limit for all', async t => {
  const addresses = (await lookup('localhost', { all: true })).map(({ address }) => address)
  for (const kind of kinds) {
    const server = await createServer({
      logger: false,
      ...servers[kind],
      connections: { connections: addresses.length },
    })
    t.teardown(() => server.close({ graceMs: 0 }))
    const { port } = new URL(await server.listen({ host: 'localhost', port: 0 }))
    const host = (address: string) => (address.includes(':') ? `[${address}]` : address)
    const open = []
    for (const address of addresses) open.push(await openRaw(t, `${kind}://${host(address)}:${port}`))
    for (const raw of open) {
      raw.socket.write(get('/healthz'))
      await eventually(t, 'it answers', () => raw.text().includes('200 OK'))
    }
    const refused = connectTcp(Number(port), addresses[0])
    refused.on('error', () => {}).resume()
    await new Promise(resolve => refused.once('close', resolve))
  }
})
