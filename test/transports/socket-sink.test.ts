/** A sink over a stream that takes bytes when the test says so: what is written, what waits, and who is called back. */
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Encoding, LiveEncoder } from '../../src/bus/encoding.ts'
import { Heartbeats } from '../../src/transports/heartbeat.ts'
import { SocketSink } from '../../src/transports/socket-sink.ts'

const encoding: Encoding<string> = {
  name: 'text',
  events: events => events.map(({ json }) => json).join(),
  control: ({ type }) => `<${type}>`,
}

/** The clock of the heartbeats, moved by the test. */
class Clock extends Heartbeats {
  time = 1000
  override now(): number {
    return this.time
  }
}

/** A stream that takes a write only when told to. */
class SlowStream extends Duplex {
  readonly written: string[] = []
  readonly #callbacks: ((error?: Error) => void)[] = []
  isOpen = true

  override _write(chunk: Buffer, _: string, callback: (error?: Error) => void): void {
    this.written.push(chunk.toString())
    if (this.isOpen) callback()
    else this.#callbacks.push(callback)
  }

  override _read(): void {}

  /** Takes everything that waits. */
  open(): void {
    this.isOpen = true
    for (const callback of this.#callbacks.splice(0)) callback()
  }
}

function sinkOn(t: Test, more: Partial<Encoding<string>> = {}) {
  const stream = new SlowStream()
  const heartbeats = new Clock()
  t.teardown(() => heartbeats.close())
  const calls = { pings: 0, stalls: 0 }
  const sink = new SocketSink<string>(stream, {
    encoding: { ...encoding, ...more },
    bytesOf: batch => Buffer.from(batch.toUpperCase()),
    heartbeats,
    heartbeatMs: 500,
    stallMs: 100,
    ping: () => calls.pings++,
    onStalled: () => calls.stalls++,
  })
  return { stream, heartbeats, sink, calls }
}

const encoder: LiveEncoder<string> = { events: () => '' }

t.test('writes go to the stream in order, and note their time and their history', async t => {
  const { stream, heartbeats, sink } = sinkOn(t)
  t.equal(sink.wroteAt, 1000)
  t.ok(sink.ready())
  heartbeats.time = 1010
  sink.write('a', encoder)
  t.equal(sink.history, encoder)
  t.equal(sink.wroteAt, 1010)
  sink.control({ type: 'ping', time: 1 })
  t.equal(sink.history, undefined, 'the control message came between')
  sink.write('b')
  t.same(stream.written, ['A', '<PING>', 'B'])
  t.equal(sink.history, undefined)
})

t.test('a control message leaves the history alone where the encoding says so', async t => {
  const { sink } = sinkOn(t, { controlsKeepHistory: true })
  sink.write('a', encoder)
  sink.control({ type: 'ping', time: 1 })
  t.equal(sink.history, encoder)
})

t.test('it is ready when all that was written is out', async t => {
  const { stream, sink } = sinkOn(t)
  stream.isOpen = false
  sink.write('abc')
  t.notOk(sink.ready())
  t.equal(sink.waitingBytes, 3)
  let resumed = 0
  sink.whenReady(() => resumed++)
  sink.whenReady(() => resumed++)
  await nextTurn()
  t.equal(resumed, 0)
  stream.open()
  await nextTurn()
  t.equal(resumed, 2)
  t.ok(sink.ready())
  t.same(stream.written, ['ABC', ''], 'one empty write asks for both')
  stream.isOpen = false
  sink.write('d')
  stream.open()
  await nextTurn()
  t.equal(resumed, 2, 'each is called once')
  sink.whenReady(() => resumed++)
  await nextTurn()
  t.equal(resumed, 3, 'also when nothing waits')
})

t.test('a callback may wait again', async t => {
  const { stream, sink } = sinkOn(t)
  let calls = 0
  const again = () => {
    if (++calls < 3) sink.whenReady(again)
  }
  sink.whenReady(again)
  for (let turn = 0; turn < 5; turn++) await nextTurn()
  t.equal(calls, 3)
  t.same(stream.written, ['', '', ''])
})

t.test('after its close nothing is written and no callback is called', async t => {
  const { stream, sink, calls } = sinkOn(t)
  stream.isOpen = false
  sink.write('a')
  let resumed = 0
  sink.whenReady(() => resumed++)
  sink.close()
  t.ok(sink.closed)
  sink.whenReady(() => resumed++)
  sink.write('b')
  sink.beatEvery(1)
  stream.open()
  await nextTurn()
  t.equal(resumed, 0)
  t.notOk(sink.ready())
  t.same(stream.written.join(''), 'A')
  sink.beat()
  t.same(calls, { pings: 0, stalls: 0 })
})

t.test('a stream that breaks calls no callback', async t => {
  const { stream, sink } = sinkOn(t)
  stream.on('error', () => {})
  stream.isOpen = false
  sink.write('a')
  let resumed = 0
  sink.whenReady(() => resumed++)
  stream.destroy(new Error('broken'))
  await nextTurn()
  t.equal(resumed, 0)
})

t.test('an idle connection is pinged; one whose bytes wait for too long is stalled', async t => {
  const { stream, heartbeats, sink, calls } = sinkOn(t)
  sink.beat()
  t.same(calls, { pings: 1, stalls: 0 })
  stream.isOpen = false
  sink.write('a')
  heartbeats.time = 2000
  sink.beat()
  t.same(calls, { pings: 1, stalls: 0 }, 'nobody has asked before since when it waits')
  heartbeats.time = 2099
  sink.beat()
  t.equal(calls.stalls, 0)
  heartbeats.time = 2100
  sink.beat()
  t.same(calls, { pings: 1, stalls: 1 })
  stream.open()
  await nextTurn()
  sink.beat()
  t.same(calls, { pings: 2, stalls: 1 }, 'it is out at last')
})

const ack = (id: string) => ({ type: 'ack' as const, id })

t.test('the answers of a turn are written in one piece, and with the batch of that turn', async t => {
  const { stream, sink } = sinkOn(t)
  sink.answer(ack('1'))
  sink.answer({ type: 'pong', time: 1, serverTime: 2 })
  t.same(stream.written, [], 'nothing before the turn ends')
  await nextTurn()
  t.same(stream.written, ['<ACK><PONG>'])
  sink.answer(ack('2'))
  sink.write('a')
  t.same(stream.written.slice(1), ['<ACK>A'], 'a batch takes them with it')
  sink.answer(ack('3'))
  sink.control({ type: 'ping', time: 1 })
  t.same(stream.written.slice(2), ['<ACK><PING>'], 'so does every other message')
  await nextTurn()
  t.equal(stream.written.length, 3, 'nothing is written twice')
})

t.test('an answer is written at once where later batches refer to earlier bytes', async t => {
  const { stream, sink } = sinkOn(t, { live: () => encoder })
  sink.write('a', encoder)
  sink.answer(ack('1'))
  t.same(stream.written, ['A', '<ACK>'])
  t.equal(sink.history, undefined)
})

t.test('the answers of a closed sink are not written', async t => {
  const { stream, sink } = sinkOn(t)
  sink.answer(ack('1'))
  sink.close()
  await nextTurn()
  sink.answer(ack('2'))
  await nextTurn()
  t.same(stream.written, [])
})

t.test(
  'answers that wait are counted, and are written before anybody is told that the sink is ready',
  async t => {
    const { stream, sink } = sinkOn(t)
    sink.answer(ack('1'))
    t.equal(sink.waitingBytes, '<ACK>'.length)
    const waited = new Promise<number>(resolve => sink.whenReady(() => resolve(sink.waitingBytes)))
    t.equal(await waited, 0)
    t.same(stream.written, ['<ACK>', ''])
  },
)
