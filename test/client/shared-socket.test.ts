/** One WebSocket for many sessions and commands, on a socket that the test speaks for and a clock that it moves. */
import { getEventListeners } from 'node:events'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { fixedCredentials } from '../../client/connection/credentials.ts'
import { SocketPool } from '../../client/connection/shared-socket.ts'
import { WINDOW_BYTES } from '../../client/connection/socket-subscription.ts'
import type {
  Message,
  Socket,
  SocketConstructor,
  TransportRequest,
} from '../../client/connection/transport.ts'

type Listener = (event: never) => void

class FakeSocket implements Socket {
  static made: FakeSocket[] = []
  readonly url: string
  readonly protocols: string[]
  readonly options: unknown
  readonly sent: Record<string, unknown>[] = []
  closedWith: number | undefined
  readonly #listeners = new Map<string, Listener>()

  constructor(url: string, protocols: string[], options?: unknown) {
    this.url = url
    this.protocols = protocols
    this.options = options
    FakeSocket.made.push(this)
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data))
  }

  close(code?: number): void {
    this.closedWith = code
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, listener)
  }

  emit(type: 'open' | 'close' | 'error', event = {}): void {
    this.#listeners.get(type)?.(event as never)
  }

  /** Lets a text message of these lines arrive. */
  receive(...lines: object[]): void {
    this.#listeners.get('message')?.({ data: lines.map(line => JSON.stringify(line)).join('\n') } as never)
  }

  receiveRaw(data: unknown): void {
    this.#listeners.get('message')?.({ data } as never)
  }
}

/** A pool of such sockets, with mocked timers. */
function pool(t: Test) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  t.teardown(() => mock.timers.reset())
  FakeSocket.made = []
  return new SocketPool('http://host/base', FakeSocket as unknown as SocketConstructor)
}

function socketAt(index: number): FakeSocket {
  const socket = FakeSocket.made[index]
  if (!socket) throw new Error(`there are ${FakeSocket.made.length} sockets`)
  return socket
}

const credential = { headers: { authorization: 'Bearer x' } }

/** A stream of one session that is being read: what it got, and its end. */
function reading(made: SocketPool, sessionId: string, more: Partial<TransportRequest> = {}) {
  const stop = new AbortController()
  const clocks: [number, number][] = []
  let bytes = 0
  const got: Message[] = []
  const stream = made.stream({
    url: 'http://host/base',
    sessionId,
    start: {},
    credential,
    credentials: fixedCredentials(),
    fetch,
    wantsClock: false,
    signal: stop.signal,
    onBytes: count => {
      bytes += count
    },
    onRetry: () => {},
    onClock: (sentAt, serverTime) => clocks.push([sentAt, serverTime]),
    onBuffering: () => {},
    ...more,
  })
  const ended = (async () => {
    for await (const message of stream) got.push(message)
  })().then(
    () => 'over',
    error => error,
  )
  const types = () =>
    got.map(message => (message.kind === 'event' ? message.event.type : message.control.type))
  return { stop, clocks, ended, types, bytes: () => bytes }
}

const turn = () => new Promise(resolve => setImmediate(resolve))

/** Sends a command over the pool's socket. */
function command(made: SocketPool, sent: { id: string }) {
  const socket = made.ready
  if (!socket) throw new Error('no socket is ready')
  return socket.command(sent)
}

const hello = { type: 'hello', heartbeatMs: 15_000, serverTime: 1 }
const event = (seq: number, more = {}) => ({
  sessionId: 'a',
  offset: `1-${seq}`,
  type: 'x.n',
  data: null,
  ...more,
})

t.test('sessions share a socket; the same session twice needs another', async t => {
  const made = pool(t)
  const a = reading(made, 'a', { start: { after: '1-1', run: 'r' } })
  reading(made, 'b')
  reading(made, 'a')
  t.equal(FakeSocket.made.length, 2)
  const [first, second] = [socketAt(0), socketAt(1)]
  t.equal(first.url, 'ws://host/base/v1/ws')
  t.same(first.protocols, ['twinrail.v1'])
  t.same(first.options, { headers: { authorization: 'Bearer x' } })
  t.same(first.sent, [], 'nothing before it is open')
  first.emit('open')
  t.same(first.sent, [
    { type: 'subscribe', id: 's1', sessionId: 'a', after: '1-1', run: 'r', windowBytes: WINDOW_BYTES },
    { type: 'subscribe', id: 's2', sessionId: 'b', windowBytes: WINDOW_BYTES },
  ])
  reading(made, 'c')
  t.match(first.sent[2], { type: 'subscribe', id: 's3', sessionId: 'c' }, 'at once on an open one')
  second.emit('open')
  t.equal(second.sent.length, 1)
  t.same(a.types(), [])
})

t.test('without a constructor the error names the missing WebSocket', async t => {
  const stream = reading(new SocketPool('http://host', undefined), 'a')
  t.match(await stream.ended, { name: 'TypeError', message: /no global WebSocket/ })
})

t.test('each session gets its own messages, from its ack on', async t => {
  const made = pool(t)
  const [a, b] = [reading(made, 'a'), reading(made, 'b')]
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello)
  socket.receive(event(1))
  socket.receive({ type: 'ack', id: 's9' })
  socket.receive(event(2))
  socket.receive({ type: 'ack', id: 's1' })
  const subscribed = { type: 'subscribed', sessionId: 'a' }
  socket.receive(subscribed, event(3), event(4, { sessionId: 'b' }), event(5, { sessionId: 'unknown' }))
  socket.receive({ type: 'x.y' })
  await turn()
  t.same(a.types(), ['subscribed', 'x.n'])
  t.equal(a.bytes(), JSON.stringify(subscribed).length + JSON.stringify(event(3)).length)
  t.same(b.types(), [], 'it was not accepted yet')
  socket.receive({ type: 'closing', code: 'restart' })
  await turn()
  t.same([a.types().at(-1), b.types()], ['closing', ['closing']], 'this concerns all')
})

t.test('a refused subscription fails with the refusal, and the others continue', async t => {
  const made = pool(t)
  const [a, b] = [reading(made, 'a'), reading(made, 'b')]
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive({ type: 'nack', id: 's1', code: 'session-not-found', message: 'none' })
  t.match(await a.ended, { code: 'session-not-found', message: 'none' })
  t.same(socket.sent.at(-1), { type: 'unsubscribe', id: 'u3', sessionId: 'a' })
  socket.receive({ type: 'ack', id: 's2' })
  socket.receive(event(1, { sessionId: 'b' }))
  await turn()
  t.same(b.types(), ['x.n'])
})

t.test('a socket without subscriptions and commands is closed', async t => {
  const made = pool(t)
  const a = reading(made, 'a')
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello)
  t.ok(made.ready)
  a.stop.abort()
  t.match(await a.ended, { code: 'connection-lost' })
  t.equal(socket.closedWith, 1000)
  t.equal(getEventListeners(a.stop.signal, 'abort').length, 0)
  t.equal(made.ready, undefined)
  reading(made, 'a')
  t.equal(FakeSocket.made.length, 2, 'and a new one is opened next time')
})

t.test('a command gets its ack or its refusal, and keeps the socket until then', async t => {
  const made = pool(t)
  const a = reading(made, 'a')
  const socket = socketAt(0)
  socket.emit('open')
  t.equal(made.ready, undefined, 'not before hello')
  socket.receive(hello)
  const [one, two] = [command(made, { id: '1' }), command(made, { id: '2' })]
  t.same(socket.sent.slice(1), [{ id: '1' }, { id: '2' }])
  socket.receive({ type: 'ack', id: 'unknown' })
  socket.receive({ type: 'ack', id: '1', offset: '1-1' })
  t.match(await one, { id: '1', offset: '1-1' })
  a.stop.abort()
  await a.ended
  t.equal(socket.closedWith, 1000, 'a stream that is aborted last takes its socket along')
  await t.rejects(two, { code: 'connection-lost', message: 'Closed' })
})

t.test('a socket is closed when its last command is answered', async t => {
  const made = pool(t)
  const stream = made.stream({
    sessionId: 'a',
    start: {},
    credential,
    credentials: fixedCredentials(),
    signal: new AbortController().signal,
    onBytes: () => {},
  } as unknown as TransportRequest)
  const first = stream.next()
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello, { type: 'ack', id: 's1' }, event(1))
  await first
  const answer = command(made, { id: '1' })
  await stream.return()
  t.equal(socket.closedWith, undefined)
  socket.receive({ type: 'ack', id: '1' })
  t.match(await answer, { id: '1' })
  t.equal(socket.closedWith, 1000)
})

t.test('a command without an answer in ten seconds is silent', async t => {
  const made = pool(t)
  reading(made, 'a')
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello)
  const answered = command(made, { id: '1' })
  const silent = t.rejects(command(made, { id: '2' }), { code: 'silent', message: /10 s/ })
  socket.receive({ type: 'ack', id: '1' })
  mock.timers.tick(9999)
  socket.receive({ type: 'nack', id: '3', code: 'conflict', message: 'unknown' })
  mock.timers.tick(1)
  await silent
  t.match(await answered, { id: '1' })
  socket.receive({ type: 'ack', id: '2' })
  const refused = command(made, { id: '4' })
  socket.receive({ type: 'nack', id: '4', code: 'conflict', message: 'taken', details: { a: 1 } })
  await t.rejects(refused, { code: 'conflict', message: 'taken', details: { a: 1 } })
})

t.test('a broken socket rejects all waiting calls after delivering received messages', async t => {
  const made = pool(t)
  const [a, b] = [reading(made, 'a'), reading(made, 'b')]
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello, { type: 'ack', id: 's1' }, event(1))
  const failed = t.rejects(command(made, { id: '1' }), { code: 'connection-lost', message: /1006/ })
  socket.emit('error')
  socket.emit('close', { code: 1006, reason: '' })
  await failed
  t.match(await a.ended, { code: 'connection-lost', message: 'The WebSocket closed with 1006' })
  t.same(a.types(), ['x.n'])
  t.match(await b.ended, { code: 'connection-lost' })
  socket.receive(event(2))
  t.equal(made.ready, undefined)
})

t.test('a message that violates the protocol ends the connection', async t => {
  for (const [data, code] of [
    [new ArrayBuffer(1), 'protocol-error'],
    ['<html>', 'protocol-error'],
  ] as const) {
    const made = pool(t)
    const a = reading(made, 'a')
    const socket = socketAt(0)
    socket.emit('open')
    socket.receiveRaw(data)
    t.match(await a.ended, { code })
    t.equal(socket.closedWith, 1000)
    mock.timers.reset()
  }
})

t.test(
  'the socket asks for the clock at a ping as soon as a reader wants it, and tells all readers',
  async t => {
    const made = pool(t)
    const a = reading(made, 'a')
    const socket = socketAt(0)
    socket.emit('open')
    socket.receive(hello)
    t.equal(socket.sent.length, 1, 'nobody wants it')
    const b = reading(made, 'b', { wantsClock: true })
    mock.timers.tick(5)
    socket.receive({ type: 'ping', time: 1 })
    t.same(socket.sent.at(-1), { type: 'ping', time: Date.now() })
    socket.receive({ type: 'pong', time: 3, serverTime: 4 })
    t.same(b.clocks, [[3, 4]])
    t.same(a.clocks, [[3, 4]])
  },
)

t.test('a socket that is silent for two and a half heartbeats is given up', async t => {
  const made = pool(t)
  const a = reading(made, 'a', { start: { heartbeatMs: 1000 } })
  reading(made, 'b', { start: { heartbeatMs: 4000 } })
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello)
  for (let n = 0; n < 5; n++) {
    mock.timers.tick(2400)
    socket.receive({ type: 'ping', time: 1 })
  }
  t.equal(socket.closedWith, undefined)
  mock.timers.tick(2499)
  t.equal(socket.closedWith, undefined)
  mock.timers.tick(1)
  t.equal(socket.closedWith, 1000)
  t.match(await a.ended, { code: 'silent', message: /for 2.5 s$/ })
})

t.test('a server that never says hello is given up as soon', async t => {
  const made = pool(t)
  const a = reading(made, 'a', { start: { heartbeatMs: 1000 } })
  mock.timers.tick(2500)
  t.match(await a.ended, { code: 'silent' })
})

t.test('a timer that fires late shows that this process slept: the peer is asked first', async t => {
  const made = pool(t)
  const a = reading(made, 'a', { start: { heartbeatMs: 1000 } })
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello)
  mock.timers.tick(2000)
  mock.timers.setTime(Date.now() + 60_000)
  mock.timers.tick(500)
  await turn()
  t.same(socket.sent.at(-1)?.['type'], 'ping')
  t.equal(socket.closedWith, undefined)
  mock.timers.tick(1000)
  t.match(await a.ended, { code: 'silent' })
})

t.test('the window is granted again by halves, or when the consumer is idle', async t => {
  const made = pool(t)
  const a = reading(made, 'a')
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello, { type: 'ack', id: 's1' })
  const windows = () => socket.sent.filter(({ type }) => type === 'window')
  socket.receive(event(1))
  await turn()
  mock.timers.tick(49)
  t.same(windows(), [])
  mock.timers.tick(1)
  t.same(windows(), [{ type: 'window', sessionId: 'a', offset: '1-1' }], 'idle')
  mock.timers.tick(1000)
  t.equal(windows().length, 1, 'told once')
  socket.receive(event(2))
  await turn()
  mock.timers.tick(40)
  socket.receive(event(3))
  await turn()
  mock.timers.tick(40)
  t.equal(windows().length, 1, 'it is not idle while events come')
  mock.timers.tick(10)
  t.match(windows()[1], { offset: '1-3' })
  const half = 'x'.repeat(WINDOW_BYTES / 2)
  socket.receive(event(4, { data: half }))
  await turn()
  t.match(windows()[2], { offset: '1-4' }, 'half of it at once')
  socket.receive(event(5))
  await turn()
  t.equal(windows().length, 3, 'the count begins anew')
  mock.timers.tick(50)
  t.match(windows()[3], { offset: '1-5' })
  socket.receive({ sessionId: 'a', type: 'x.here', ephemeral: true, data: half })
  await turn()
  mock.timers.tick(1000)
  t.equal(windows().length, 4, 'what has no offset cannot be told')
  t.equal(a.types().length, 6)
  for (let seq = 6; seq < 30; seq++) {
    socket.receive(event(seq, { data: half }))
    await turn()
  }
  t.equal(a.types().length, 30, 'what was consumed does not wait any more')
})

t.test('a server that minds no window ends the connection', async t => {
  const made = pool(t)
  const stop = new AbortController()
  const stream = made.stream({
    sessionId: 'a',
    start: {},
    credential,
    credentials: fixedCredentials(),
    wantsClock: false,
    signal: stop.signal,
    onBytes: () => {},
  } as unknown as TransportRequest)
  const first = stream.next()
  const socket = socketAt(0)
  socket.emit('open')
  socket.receive(hello, { type: 'ack', id: 's1' }, event(1))
  await first
  for (let seq = 2; seq < 12; seq++) socket.receive(event(seq, { data: 'x'.repeat(220_000) }))
  t.equal(socket.closedWith, undefined, 'the consumer is slow, which is its right')
  socket.receive(event(12, { data: 'x'.repeat(220_000) }))
  t.equal(socket.closedWith, 1000)
  for (let seq = 2; seq < 13; seq++)
    t.match(await stream.next(), { value: { event: { offset: `1-${seq}` } } })
  await t.rejects(stream.next(), { code: 'too-slow' })
})
