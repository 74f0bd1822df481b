/** HTTPS: HTTP/2 and HTTP/1.1 on one port carry the same events as plain HTTP. */
import { readFileSync } from 'node:fs'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { request } from 'node:https'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { ServerOptions } from '../../src/server.ts'
import { eventually, serve } from '../fixtures/wire-server.ts'

const cert = readFileSync(new URL('../fixtures/tls/cert.pem', import.meta.url))
const key = readFileSync(new URL('../fixtures/tls/key.pem', import.meta.url))

async function serveTls(t: Test, options: ServerOptions = {}) {
  const started = await serve(t, { tls: { cert, key }, ...options })
  const session = connect(started.url, { ca: cert })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await started.server.sessions.create('s')
  return { ...started, session }
}

/** An HTTP/2 stream and what it has said so far. */
interface Stream {
  raw: ClientHttp2Stream
  headers: Record<string, unknown>
  bytes(): Buffer
  text(): string
  ended: Promise<void>
}

async function ask(session: ClientHttp2Session, path: string, headers = {}, body?: string): Promise<Stream> {
  const raw = session.request({ ':path': path, ...(body && { ':method': 'POST' }), ...headers })
  raw.end(body)
  raw.on('error', () => {})
  const parts: Buffer[] = []
  raw.on('data', part => parts.push(part))
  const ended = new Promise<void>(resolve => raw.once('close', resolve))
  const answered = await new Promise<Record<string, unknown>>((resolve, reject) => {
    raw.once('response', resolve)
    raw.once('error', reject)
  })
  const bytes = () => Buffer.concat(parts)
  return { raw, headers: answered, bytes, text: () => bytes().toString(), ended }
}

const events = (text: string) =>
  text.split('\n\n').filter(block => block.startsWith('data: ') && block.includes('\nid: '))
const stream = { accept: 'text/event-stream' }
const path = '/v1/sessions/s/events'

t.test('one HTTP/2 connection carries many event streams, with the bytes of HTTP/1.1', async t => {
  const { server, url, session } = await serveTls(t)
  const streams = await Promise.all(Array.from({ length: 20 }, () => ask(session, path, stream)))
  for (const { headers } of streams) {
    t.match(headers, { ':status': 200, 'content-type': 'text/event-stream; charset=utf-8' })
    t.notOk('transfer-encoding' in headers)
  }
  await eventually(t, 'everything has come', () =>
    streams.every(({ text }) => text().includes('event: caught-up')),
  )
  const old = await new Promise<{ text(): string }>((resolve, reject) => {
    const asked = request(`${url}${path}`, { ca: cert, headers: stream }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', part => {
        text += part
      })
      response.on('error', () => {})
      t.teardown(() => response.destroy())
      resolve({ text: () => text })
    })
    asked.on('error', reject).end()
  })
  await eventually(t, 'everything has come', () => old.text().includes('event: caught-up'))
  for (let n = 0; n < 50; n++) await server.journal.append('s', [{ type: 'x.n', data: { n } }])
  const all = [...streams, old]
  await eventually(t, 'everything has come', () => all.every(({ text }) => events(text()).length === 50))
  for (const { text } of all) t.same(events(text()), events(old.text()))

  const id = /^id: (.*)$/m.exec(events(old.text())[29] as string)?.[1] as string
  const resumed = await ask(session, path, { ...stream, 'last-event-id': id })
  await eventually(t, 'everything has come', () => resumed.text().includes('event: caught-up'))
  t.same(
    events(resumed.text()),
    events(old.text()).slice(30),
    'the cursor goes on, on another connection too',
  )
})

t.test('compressed for all: HTTP/2 streams read a whole gzip member', async t => {
  const { server, session } = await serveTls(t, { compression: true })
  const asked = await ask(session, path, { ...stream, 'accept-encoding': 'gzip, br' })
  t.equal(asked.headers['content-encoding'], 'gzip')
  for (let n = 0; n < 30; n++) await server.journal.append('s', [{ type: 'x.n', data: { n } }])
  await server.close({ graceMs: 0 })
  await asked.ended
  const text = gunzipSync(asked.bytes()).toString()
  t.equal(events(text).length, 30)
  t.match(text, /event: closing\n/)
})

t.test('WebSockets come over the same port', async t => {
  const { server, url } = await serveTls(t)
  const socket = new WebSocket(`${url.replace('https', 'wss')}/v1/ws`, 'twinrail.v1', { ca: cert })
  t.teardown(() => socket.terminate())
  const heard: string[] = []
  socket.on('message', data => heard.push(String(data)))
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  socket.send(JSON.stringify({ type: 'subscribe', id: '1', sessionId: 's' }))
  await eventually(t, 'everything has come', () => heard.some(text => text.includes('"caught-up"')))
  await server.journal.append('s', [{ type: 'x.n', data: { n: 1 } }])
  await eventually(t, 'everything has come', () => heard.some(text => text.includes('"x.n"')))
})

t.test('commands, pages and a run answered as its stream over HTTP/2', async t => {
  const { session } = await serveTls(t)
  const body = JSON.stringify({
    id: '1',
    type: 'run.start',
    agent: 'script',
    input: { events: [{ type: 'x.a', data: 1 }] },
  })
  const headers = { ...stream, 'content-type': 'application/json' }
  const run = await ask(session, '/v1/sessions/s/commands', headers, body)
  await run.ended
  t.match(run.text(), /event: hello\n.*event: ack\n.*"type":"x.a".*"type":"run.completed".*event: end\n/s)
  const page = await ask(session, path, { accept: 'application/json' })
  await page.ended
  t.equal(JSON.parse(page.text()).events.length, 3)
})

t.test('a stream that is not read waits alone, and its bytes stay in the log', async t => {
  const { server, session } = await serveTls(t)
  const slow = await ask(session, path, stream)
  await eventually(t, 'everything has come', () => slow.text().includes('event: caught-up'))
  slow.raw.pause()
  const fast = await ask(session, path, stream)
  const data = { text: 'x'.repeat(10_000) }
  for (let n = 0; n < 500; n++) await server.journal.append('s', [{ type: 'x.n', data }])
  await eventually(t, 'everything has come', () => events(fast.text()).length === 500)
  const metrics = await ask(session, '/metrics')
  await metrics.ended
  const [, waiting] = /^twinrail_buffered_bytes\S* (\d+)$/m.exec(metrics.text()) ?? []
  t.ok(Number(waiting) < 2 ** 21, `${waiting} bytes of 5,000,000 wait: a page at the most`)
  t.ok(events(slow.text()).length < 500)
  slow.raw.resume()
  await eventually(t, 'everything has come', () => events(slow.text()).length === 500)
  t.same(events(slow.text()), events(fast.text()))
})

t.test('a foreign page and a foreign name are refused on HTTP/2 as on HTTP/1.1', async t => {
  const { session } = await serveTls(t)
  const foreign = await ask(session, path, { ...stream, origin: 'https://evil.example' })
  t.equal(foreign.headers[':status'], 403)
  const rebound = await ask(session, path, { ...stream, ':authority': 'evil.example' })
  t.equal(rebound.headers[':status'], 403)
})

t.test('a stop sends closing to every stream and ends every connection', async t => {
  const { server, url, session } = await serveTls(t)
  const streams = await Promise.all(Array.from({ length: 3 }, () => ask(session, path, stream)))
  await eventually(t, 'everything has come', () =>
    streams.every(({ text }) => text().includes('event: caught-up')),
  )
  const idle = connect(url, { ca: cert })
  idle.on('error', () => {})
  await new Promise(resolve => idle.once('connect', resolve))
  const gone = Promise.all([session, idle].map(one => new Promise(resolve => one.once('close', resolve))))
  await server.close({ graceMs: 0 })
  await gone
  for (const { text } of streams) t.match(text(), /event: closing\n/)
})
