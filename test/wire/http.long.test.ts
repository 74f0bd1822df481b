/** Streams among other requests on one connection, and over HTTP/1.0. */
import { connect as connectTcp, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Authorize } from '../../src/auth/authorize.ts'
import { type Message, openWs, PATIENCE_MS } from '../fixtures/wire-clients.ts'
import {
  call,
  command,
  createSession,
  eventually,
  ingest,
  logged,
  serve,
  startRun,
} from '../fixtures/wire-server.ts'

/** A TCP connection that speaks HTTP by hand. */
class Raw {
  readonly socket: Socket
  #got = ''
  #closed = false
  #woken: (() => void) | undefined

  constructor(t: Test, url: string) {
    this.socket = connectTcp(Number(new URL(url).port), '127.0.0.1')
    this.socket.setEncoding('latin1')
    this.socket.on('data', text => {
      this.#got += text
      this.#woken?.()
    })
    this.socket.on('close', () => {
      this.#closed = true
      this.#woken?.()
    })
    this.socket.on('error', () => {})
    t.teardown(() => this.socket.destroy())
  }

  send(text: string): void {
    this.socket.write(text, 'latin1')
  }

  /** Everything up to the first match, which is taken away; at the end of the connection, what there was. */
  async until(pattern: RegExp | 'closed'): Promise<string> {
    const timer = setTimeout(() => this.socket.destroy(), PATIENCE_MS)
    try {
      for (;;) {
        const end = pattern === 'closed' ? undefined : pattern.exec(this.#got)
        if (end || this.#closed) {
          const length = end ? end.index + end[0].length : this.#got.length
          const text = this.#got.slice(0, length)
          this.#got = this.#got.slice(length)
          if (pattern !== 'closed' && !end)
            throw new Error(`closed before ${pattern}; got ${text.slice(-500)}`)
          return text
        }
        await new Promise<void>(resolve => {
          this.#woken = resolve
        })
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** The next response: its status, headers and body, be it in chunks or by length. */
  async response(): Promise<{ status: number; head: string; body: string }> {
    const head = await this.until(/\r\n\r\n/)
    const status = Number(head.slice(9, 12))
    const length = /content-length: (\d+)/i.exec(head)?.[1]
    if (length !== undefined) {
      const body = length === '0' ? '' : await this.until(new RegExp(`^[\\s\\S]{${length}}`))
      return { status, head, body }
    }
    if (!/transfer-encoding: chunked/i.test(head)) return { status, head, body: '' }
    return { status, head, body: await this.chunks() }
  }

  /** The chunks up to the last one, put together. Anything that is no chunk is an error. */
  async chunks(): Promise<string> {
    for (let body = ''; ; ) {
      const size = Number.parseInt(/^[0-9a-f]+\r\n$/.exec(await this.until(/\r\n/))?.[0] ?? 'no chunk', 16)
      if (Number.isNaN(size)) throw new Error('what came is no chunk')
      const chunk = await this.until(new RegExp(`^[\\s\\S]{${size}}\\r\\n`))
      if (size === 0) return body
      body += chunk.slice(0, -2)
    }
  }
}

const get = (path: string, headers = '', version = '1.1') =>
  `GET ${path} HTTP/${version}\r\nHost: localhost\r\n${headers}\r\n`
const sse = 'Accept: text/event-stream\r\n'
const json = 'Accept: application/json\r\n'

function post(path: string, body: object, headers = ''): string {
  const text = JSON.stringify(body)
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n${headers}\r\n${text}`
}

/** The messages of an SSE body. */
function messages(body: string): Message[] {
  return body
    .split('\n\n')
    .map(block => /^data: (.*)$/m.exec(block)?.[1])
    .filter(data => data !== undefined)
    .map(data => JSON.parse(Buffer.from(data, 'latin1').toString()))
}

const typesOf = (body: string) =>
  messages(body)
    .map(({ type }) => type)
    .filter(type => type !== 'ping')

/** A session `s` with a run `r` that has ended and said `ü` three times. */
async function stage(t: Test, options = {}) {
  const wire = await serve(t, options)
  const events = ['ü1', 'ü2', 'ü3'].map(text => ({ type: 'x.n', runId: 'r', data: text }))
  await ingest(wire.url, 's', [
    { type: 'run.started', runId: 'r', data: { agent: 'a', input: null } },
    ...events,
    { type: 'run.completed', runId: 'r', data: { finishReason: 'stop' } },
  ])
  return wire
}

const ofRun = ['hello', 'subscribed', 'run.started', 'x.n', 'x.n', 'x.n', 'run.completed', 'caught-up', 'end']
const events = '/v1/sessions/s/events'

t.test('two event streams on one connection, asked for at once', async t => {
  const { url } = await stage(t)
  const raw = new Raw(t, url)
  raw.send(get(`${events}?run=r`, sse) + get(`${events}?run=r&last=2`, sse) + get('/healthz'))
  for (const wanted of [ofRun, [...ofRun.slice(0, 2), ...ofRun.slice(5)]]) {
    const { status, head, body } = await raw.response()
    t.equal(status, 200)
    t.match(head, /content-type: text\/event-stream/i)
    t.match(body, /^retry: /)
    t.same(typesOf(body), wanted)
  }
  t.match(await raw.response(), { status: 200, body: /ok/ })
})

t.test('a stream that is waited for begins where it was asked for, once the first has ended', async t => {
  const wire = await stage(t, { heartbeatMs: 1000 })
  const { url, server } = wire
  const runId = await startRun(url, 's', 'steered', {})
  const raw = new Raw(t, url)
  raw.send(get(`${events}?run=${runId}&replay=full`, sse) + get(`${events}?run=r&replay=full`, sse))
  await raw.until(/\r\n\r\n/)
  await eventually(t, 'both are taken', async () => {
    const metrics = await (await fetch(`${url}/metrics`)).text()
    return /^twinrail_connections\{transport="sse"\} [12]$/m.test(metrics) && server.bus.topics === 1
  })
  for (const text of ['a', 'b', 'end']) await command(url, 's', { type: 'input.steer', runId, text })
  const first = await raw.chunks()
  t.same(
    messages(first)
      .filter(({ type }) => type === 'x.said')
      .map(({ data }) => data?.['text']),
    ['a', 'b'],
  )
  t.equal(
    typesOf(first).filter(type => type === 'hello').length,
    1,
    "nothing of the second is in the first's",
  )
  t.same(typesOf((await raw.response()).body), ofRun)
})

t.test("a waiting stream's heartbeat does not disturb the answer before it", async t => {
  const { url } = await stage(t, { heartbeatMs: 300 })
  await createSession(url, 'quiet')
  const raw = new Raw(t, url)
  raw.send(get('/v1/sessions/quiet/events?wait=1500', json) + get(`${events}?run=r`, sse))
  const page = await raw.response()
  t.equal(page.status, 200)
  t.match(JSON.parse(page.body), { events: [], caughtUp: true })
  t.same(typesOf((await raw.response()).body), ofRun)
})

t.test('with slow authorization no byte is sent before the head', async t => {
  const authorize: Authorize = async (_, { action }) => {
    if (action === 'subscribe') await new Promise(resolve => setTimeout(resolve, 1200))
    return { id: 'local' }
  }
  const { url } = await stage(t, { heartbeatMs: 300, authorize })
  const raw = new Raw(t, url)
  raw.send(get(`${events}?run=r`, sse))
  const { head, body } = await raw.response()
  t.match(head, /^HTTP\/1\.1 200 OK\r\n/)
  t.same(typesOf(body), ofRun)
})

t.test('a command and a stream on one connection, asked for at once', async t => {
  const wire = await stage(t)
  const { url } = wire
  const raw = new Raw(t, url)
  const publish = { id: '1', type: 'publish', event: { type: 'x.late', data: 1 } }
  raw.send(post('/v1/sessions/s/commands', publish) + get(`${events}?run=r`, sse) + get('/healthz'))
  const ack = await raw.response()
  t.match(JSON.parse(ack.body), { type: 'ack', id: '1' })
  t.same(typesOf((await raw.response()).body), ofRun)
  t.match(await raw.response(), { status: 200 })

  const start = { id: '2', type: 'run.start', runId: 'r2', agent: 'script', input: { events: [] } }
  raw.send(post('/v1/sessions/s/commands', start, sse) + get(`${events}?run=r`, sse) + get(events, json))
  const run = ['hello', 'ack', 'subscribed', 'run.started', 'run.completed', 'end']
  const first = typesOf((await raw.response()).body)
  t.same(
    first.filter(type => type !== 'caught-up'),
    run,
  )
  t.same(typesOf((await raw.response()).body), ofRun)
  // Answered in its turn, though it was made before the run had ended.
  t.ok(JSON.parse((await raw.response()).body).events.length >= 6)
})

t.test('one connection for many requests, one after the other', async t => {
  const { url } = await stage(t)
  const raw = new Raw(t, url)
  for (let i = 0; i < 5; i++) {
    raw.send(get(`${events}?run=r`, sse))
    t.same(typesOf((await raw.response()).body), ofRun)
    raw.send(get(`${events}?run=nobody`, sse))
    t.match(await raw.response(), { status: 404 })
    raw.send(get(`${events}?run=r&replay=none`, sse))
    t.match(await raw.response(), { status: 204 })
    raw.send(get(events, json))
    t.equal(JSON.parse((await raw.response()).body).events.length, 5)
  }
})

t.test('a connection that closes ends its pending work', async t => {
  const { url, server } = await stage(t)
  await createSession(url, 'waited')
  const raw = new Raw(t, url)
  raw.send(
    get(events, sse) +
      get('/v1/sessions/waited/events', sse) +
      get('/v1/sessions/waited/events?wait=30000', json),
  )
  await raw.until(/caught-up/)
  await eventually(t, 'all are taken', () => server.bus.topics === 2)
  raw.socket.destroy()
  await eventually(t, 'nobody follows anything', () => server.bus.topics === 0)
})

t.test('a stopping server also ends the streams that wait for their turn', async t => {
  const { url, server } = await stage(t)
  const raw = new Raw(t, url)
  raw.send(get(events, sse) + get(events, sse))
  await raw.until(/event: caught-up/)
  const closing = server.close({ graceMs: 0 })
  const rest = await raw.until('closed')
  t.match(rest, /event: closing/)
  await closing
  t.equal(server.bus.topics, 0)
})

t.test('HTTP/1.0: the same bytes without chunks, ended by the close', async t => {
  const { url } = await stage(t)
  for (const path of [`${events}?run=r`, `${events}?run=r&last=2`]) {
    const raw = new Raw(t, url)
    raw.send(get(path, sse, '1.0'))
    const head = await raw.until(/\r\n\r\n/)
    t.match(head, /^HTTP\/1\.[01] 200 OK\r\n/)
    t.notMatch(head, /transfer-encoding/i)
    t.match(head, /content-type: text\/event-stream; charset=utf-8\r\n/i)
    const body = await raw.until('closed')
    t.match(body, /^retry: \d+\nevent: hello\ndata: /)
    t.same(typesOf(body), path.includes('last') ? [...ofRun.slice(0, 2), ...ofRun.slice(5)] : ofRun)
  }
  const raw = new Raw(t, url)
  raw.send(get(events, sse, '1.0'))
  await raw.until(/event: caught-up\n.*\n.*\n\n/)
  await ingest(url, 's', { type: 'x.live', data: '漢' })
  const live = await raw.until(/x\.live.*\n.*\n\n/)
  t.match(live, /^data: \{"offset":.*\nid: \d+-6\n/)
  const old = new Raw(t, url)
  old.send(get(events, json, '1.0'))
  t.match(await old.until('closed'), /"caughtUp":true\}$/)
})

t.test('a browser that asks for gzip gets plain bytes unless the server compresses', async t => {
  const { url } = await stage(t)
  const raw = new Raw(t, url)
  raw.send(get(`${events}?run=r`, `${sse}Accept-Encoding: gzip, deflate, br\r\n`))
  const { head, body } = await raw.response()
  t.notMatch(head, /content-encoding/i)
  t.same(typesOf(body), ofRun)
})

t.test('a request for another protocol is answered over this one', async t => {
  const wire = await stage(t)
  const { url } = wire
  // As curl --http2 and Java's HttpClient begin every connection without TLS.
  const h2c =
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n'
  const raw = new Raw(t, url)
  raw.send(get('/healthz', h2c))
  t.match(await raw.response(), { status: 200, body: /ok/ })
  raw.send(get(`${events}?run=r`, sse + h2c))
  t.same(typesOf((await raw.response()).body), ofRun)
  raw.send(post(events, { type: 'x.n', data: 'x'.repeat(100_000) }, h2c))
  t.match(await raw.response(), { status: 200, body: /"count":1/ })
  raw.send(get('/healthz', h2c.replace('Upgrade,', 'Upgrade, close,')))
  t.match(await raw.response(), { status: 200, head: /connection: close/i })
  await raw.until('closed')
  const other = new Raw(t, url)
  other.send(get('/v1/ws', h2c))
  t.match(await other.response(), { status: 400, body: /"code":"bad-request"/ })
  t.equal((await logged(wire, 's')).length, 6)
})

t.test('bytes that are not HTTP on a stream’s connection end it and add nothing to the stream', async t => {
  const { url, server } = await stage(t)
  const raw = new Raw(t, url)
  raw.send(get(events, sse))
  await raw.until(/event: caught-up\n.*\n.*\n\n\r\n/)
  raw.send('\x00\x01 garbage\r\n\r\n')
  t.notMatch(await raw.until('closed'), 'HTTP/1.1')
  await eventually(t, 'nobody follows anything', () => server.bus.topics === 0)
  t.equal((await call(`${url}/healthz`)).status, 200)
})

t.test("nothing follows the server's close frame on a WebSocket", async t => {
  const { url } = await serve(t)
  const runId = await startRun(url, 's', 'endless', {})
  const faults: Record<string, Buffer> = {
    'a close': Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]),
    'a text that is no UTF-8': Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]),
    'a frame without a mask': Buffer.from([0x81, 0x02, 0x7b, 0x7d]),
    'a message that is no JSON': Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x7b]),
  }
  for (const [name, bytes] of Object.entries(faults)) {
    const client = await openWs(t, url)
    client.send({ id: 'a', type: 'subscribe', sessionId: 's' })
    await client.until('text.delta')
    // From here on the socket is read by hand.
    client.socket.removeAllListeners('message')
    const { tcp } = client
    tcp.removeAllListeners('data')
    tcp.removeAllListeners('end')
    const got: Buffer[] = []
    tcp.on('data', (data: Buffer) => got.push(data))
    const closed = new Promise(resolve => tcp.on('close', resolve))
    tcp.on('end', () => tcp.destroy())
    tcp.resume()
    tcp.write(bytes)
    // A client that does not close by itself: the server ends the connection once it has had enough.
    await eventually(t, `${name}: the close frame has come`, () => frames(got).includes(0x8))
    await command(url, 's', { type: 'publish', event: { type: 'x.n', data: 'x'.repeat(1000) } })
    await call(`${url}/healthz`)
    tcp.destroy()
    await closed
    const kinds = frames(got)
    t.equal(kinds.indexOf(0x8), kinds.length - 1, `${name}: ${kinds.slice(kinds.indexOf(0x8))}`)
  }
  await command(url, 's', { type: 'run.cancel', runId })
})

/** Opcodes of the frames that have come as a whole; begins at the first frame's start, which a read may have cut. */
function frames(got: readonly Buffer[]): number[] {
  const bytes = Buffer.concat(got)
  const kinds: number[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const short = (bytes[at + 1] as number) & 0x7f
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    if (at + head > bytes.length) break
    const length =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6)
    if (at + head + length > bytes.length) break
    kinds.push((bytes[at] as number) & 0x0f)
    at += head + length
  }
  return kinds
}
