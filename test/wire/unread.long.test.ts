/** Answers that nobody reads: bounded per connection and in all, given up after stallMs, and no hindrance to others. */
import type { ClientHttp2Session } from 'node:http2'
import t, { type Test } from 'tap'
import type { ServerOptions } from '../../src/server.ts'
import { openHttp2, openRaw, tls } from '../fixtures/raw-http.ts'
import { eventually, metric, serve, type Wire } from '../fixtures/wire-server.ts'

const MIB = 1024 * 1024
const PAGE =
  'GET /v1/sessions/s/events?replay=full HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n'

/** A session whose page takes a megabyte. */
async function stage(t: Test, options: ServerOptions = {}): Promise<Wire> {
  const wire = await serve(t, options)
  await wire.server.sessions.create('s')
  const data = { text: 'x'.repeat(100_000) }
  for (let i = 0; i < 11; i++) await wire.server.journal.append('s', [{ type: 'x.a', data }])
  return wire
}

const unread = async (wire: Wire) => (await metric(wire, 'twinrail_unread_answer_bytes')) ?? Number.NaN

/** The request for the metric is booked with a page itself. */
const SELF = MIB

t.test('700 pages asked for at once on one connection take 2 MiB, and come as they are read', async t => {
  const wire = await stage(t)
  const raw = await openRaw(t, wire.url)
  raw.socket.pause()
  raw.socket.write(PAGE.repeat(700))
  await eventually(t, 'one is waited for', async () => (await unread(wire)) > SELF)
  t.ok((await unread(wire)) <= 2 * MIB + SELF)
  let pages = 0
  raw.socket.removeAllListeners('data')
  raw.socket.on('data', (text: string) => {
    // The end of a page is short enough to come in one piece, mostly.
    if (text.includes('"caughtUp":')) pages++
  })
  raw.socket.resume()
  await eventually(t, 'they come', () => pages >= 20)
  raw.socket.destroy()
  await eventually(t, 'nothing is booked', async () => (await unread(wire)) <= SELF)
})

t.test('commands before and behind a page are answered in their order', async t => {
  const { url } = await stage(t)
  const raw = await openRaw(t, url)
  const body = JSON.stringify({ id: '1', type: 'publish', event: { type: 'x.b', data: 1 } })
  const post = `POST /v1/sessions/s/commands HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const last = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  raw.socket.write(post + PAGE + post.repeat(20) + PAGE + last)
  const kinds = (await raw.closed).match(/"type":"ack"|\{"events":|"status":"ok"/g)
  t.same(kinds, [
    '"type":"ack"',
    '{"events":',
    ...Array(20).fill('"type":"ack"'),
    '{"events":',
    '"status":"ok"',
  ])
})

t.test('HTTP/2: 40 pages on a connection with a window of 0 take 2 MiB, and all come in the end', async t => {
  const secure = await stage(t, { tls })
  const pages = { ':path': '/v1/sessions/s/events?replay=full', accept: 'application/json' }
  const sessions = []
  for (let i = 0; i < 3; i++) sessions.push(await openHttp2(t, secure.url, { initialWindowSize: 0 }))
  const streams = sessions.flatMap(session => Array.from({ length: 40 }, () => session.request(pages)))
  const reader = await openHttp2(t, secure.url)
  const booked = async () => {
    const metrics = reader.request({ ':path': '/metrics' })
    let text = ''
    for await (const part of metrics.setEncoding('utf8')) text += part
    return Number(/^twinrail_unread_answer_bytes (\d+)$/m.exec(text)?.[1])
  }
  await eventually(t, 'some wait', async () => (await booked()) > 3 * MIB)
  t.ok((await booked()) <= 3 * 2 * MIB + SELF)
  let bytes = 0
  for (const stream of streams) {
    stream.on('error', () => {})
    stream.on('data', part => {
      bytes += part.length
    })
  }
  for (const session of sessions) session.settings({ initialWindowSize: MIB })
  const ended = streams.map(stream => new Promise(resolve => stream.once('end', resolve)))
  await Promise.all(ended)
  t.ok(bytes > 120_000_000, `${bytes} bytes`)
})

for (const kind of ['http', 'https'] as const) {
  t.test(`${kind}: an answer of which nothing is read for stallMs ends its connection`, async t => {
    const wire = await stage(t, { stallMs: 400, ...(kind === 'https' && { tls }) })
    const raw = await openRaw(t, wire.url)
    raw.socket.pause()
    // More than the system's own buffers hold.
    raw.socket.write(PAGE.repeat(20))
    const count = () =>
      new Promise<number>(resolve => wire.server.app.server.getConnections((_, n) => resolve(n)))
    await eventually(t, 'it was let in', async () => (await count()) === 1)
    await eventually(t, 'the server closes it', async () => (await count()) === 0)
  })
}

t.test('HTTP/2: an answer without progress for stallMs ends its stream', async t => {
  const { url } = await stage(t, { stallMs: 400, tls })
  const session = await openHttp2(t, url, { initialWindowSize: 0 })
  const streams = Array.from({ length: 20 }, () =>
    session.request({ ':path': '/v1/sessions/s/events', accept: 'application/json' }).on('error', () => {}),
  )
  await Promise.all(streams.map(stream => new Promise(resolve => stream.resume().once('close', resolve))))
  t.equal(session.closed, false)
})

t.test('HTTP/2: a connection that lets too much wait is ended, others go on', async t => {
  const { url } = await stage(t, { tls })
  const pages = { ':path': '/v1/sessions/s/events', accept: 'application/json' }
  const reader = await openHttp2(t, url)
  const sessions: ClientHttp2Session[] = []
  // More than 2,000 that wait for their turn.
  for (let i = 0; i < 20; i++) {
    const session = await openHttp2(t, url, { initialWindowSize: 0 })
    sessions.push(session)
    for (let n = 0; n < 128; n++) session.request(pages).on('error', () => {})
  }
  await eventually(t, 'one is ended', () => sessions.some(session => session.destroyed))
  t.ok(sessions.filter(session => !session.destroyed).length > 10, 'those before it stay')
  const stream = reader.request({ ':path': '/healthz' })
  let text = ''
  for await (const part of stream.setEncoding('utf8')) text += part
  t.equal(text, '{"status":"ok"}')
})

t.test('a connection that brings more requests than may wait is closed, others go on', async t => {
  const wire = await stage(t)
  const raws = await Promise.all(Array.from({ length: 4 }, () => openRaw(t, wire.url)))
  for (const { socket } of raws) socket.pause()
  for (const { socket } of raws) socket.write(PAGE.repeat(650))
  const isClosed = ({ socket }: (typeof raws)[number]) =>
    new Promise(resolve => socket.once('close', resolve))
  await Promise.race(raws.map(isClosed))
  t.equal(raws.filter(({ socket }) => socket.destroyed).length, 1, 'the one that came last')
  t.equal((await fetch(`${wire.url}/v1/sessions/s`)).status, 200)
})

t.test('a slow reader that keeps reading is never cut off', async t => {
  const { url } = await stage(t, { stallMs: 1000 })
  const raw = await openRaw(t, url)
  raw.socket.write(PAGE.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n').repeat(1))
  let paused = 0
  raw.socket.on('data', () => {
    if (paused++ > 30) return
    raw.socket.pause()
    setTimeout(() => raw.socket.resume(), 100)
  })
  t.match(await raw.closed, /"caughtUp":(true|false)\}$/)
})

t.test('clients that do not read do not delay the answers of others', async t => {
  // Room for three pages in all, and five clients that never read theirs.
  const wire = await stage(t, { stallMs: 60_000, connections: { allAnswerBytes: 3 * MIB } })
  for (let i = 0; i < 5; i++) {
    const raw = await openRaw(t, wire.url)
    raw.socket.pause()
    raw.socket.write(PAGE.repeat(20))
  }
  for (let i = 0; i < 5; i++) {
    const response = await fetch(`${wire.url}/v1/sessions/s/events`, {
      headers: { accept: 'application/json' },
    })
    t.ok((await response.text()).length > 500_000)
  }
  t.ok((await unread(wire)) <= 3 * MIB)
})

t.test('waiting long-polls hold no memory, and their answers are bounded', async t => {
  const wire = await stage(t, { tls })
  const session = await openHttp2(t, wire.url, { initialWindowSize: 0 })
  const { head } = (await wire.server.journal.session('s')) as { head: number }
  const { epoch } = (await wire.server.journal.session('s')) as { epoch: number }
  const path = `/v1/sessions/s/events?wait=30000&after=${epoch}-${head}`
  const polls = Array.from({ length: 50 }, () =>
    session.request({ ':path': path, accept: 'application/json' }).on('error', () => {}),
  )
  const reader = await openHttp2(t, wire.url)
  const booked = async () => {
    let text = ''
    for await (const part of reader.request({ ':path': '/metrics' }).setEncoding('utf8')) text += part
    return Number(/^twinrail_unread_answer_bytes (\d+)$/m.exec(text)?.[1])
  }
  await eventually(t, 'all wait', async () => wire.server.bus.topics === 1 && (await booked()) <= SELF)
  await wire.server.journal.append('s', [{ type: 'x.a', data: { text: 'x'.repeat(900_000) } }])
  await eventually(t, 'some are made', async () => (await booked()) > SELF + 500_000)
  t.ok((await booked()) <= 2 * MIB + SELF)
  const read = polls.map(async poll => {
    let bytes = 0
    for await (const part of poll) bytes += (part as Buffer).length
    return bytes
  })
  session.settings({ initialWindowSize: MIB })
  for (const bytes of await Promise.all(read)) t.ok(bytes > 900_000)
})
