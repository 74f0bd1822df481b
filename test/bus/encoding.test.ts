/** The bytes of each encoding. */
import t from 'tap'
import { gzipText, sseGzip, websocketDeflate } from '../../src/bus/compression.ts'
import {
  EphemeralEvent,
  eventMessages,
  sseChunked,
  ssePlain,
  textFrame,
  type WireEvent,
  websocket,
} from '../../src/bus/encoding.ts'
import { LogEvent } from '../../src/log/event.ts'
import { FRAME_BYTES } from '../../src/protocol/index.ts'
import { wireEvent } from '../fixtures/wire-event.ts'

const logged = (json: string) => wireEvent(json, '1-2')
const ephemeral = (json: string) => new EphemeralEvent(json)

t.test('SSE: data first and id second, an ephemeral event without an id', async t => {
  const text = 'data: {"a":1}\nid: 1-2\n\ndata: {"é":2}\n\n'
  const events = [logged('{"a":1}'), ephemeral('{"é":2}')]
  t.equal(ssePlain.events(events).toString(), text)
  t.equal(sseChunked.events(events).toString(), `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
})

t.test('SSE: a control message has its type as event, and only caught-up an id', async t => {
  t.equal(
    ssePlain.control({ type: 'ping', time: 1 }).toString(),
    'event: ping\ndata: {"type":"ping","time":1}\n\n',
  )
  const caughtUp = { type: 'caught-up', sessionId: 's', offset: '1-2' } as const
  const text = `event: caught-up\ndata: ${JSON.stringify(caughtUp)}\nid: 1-2\n\n`
  t.equal(ssePlain.control(caughtUp).toString(), text)
  t.equal(sseChunked.control(caughtUp).toString(), `${text.length.toString(16)}\r\n${text}\r\n`)
})

t.test('SSE: a compressed piece is a block, and the block in a chunk', async t => {
  const { block, chunk, crc } = gzipText('data: é\n\n')
  t.same(chunk, Buffer.concat([Buffer.from(`${block.length.toString(16)}\r\n`), block, Buffer.from('\r\n')]))
  t.equal(crc.length, 10)
})

t.test('WebSocket: the head of a frame depends on the length of its payload in bytes', async t => {
  const heads: [number, number[]][] = [
    [0, [0x81, 0]],
    [125, [0x81, 125]],
    [126, [0x81, 126, 0, 126]],
    [65_535, [0x81, 126, 0xff, 0xff]],
    [65_536, [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]],
  ]
  for (const [length, head] of heads) {
    const payload = Buffer.alloc(length, 'x')
    const frame = Buffer.concat([Buffer.from(head), payload])
    t.same(textFrame(payload.toString()), frame, `${length} bytes`)
    t.same(textFrame(payload), frame)
  }
  t.same(textFrame('é'), Buffer.from([0x81, 2, 0xc3, 0xa9]))
  t.equal(textFrame('a', 0xc1)[0], 0xc1)
})

t.test('WebSocket: messages of lines, each within its limit unless one event is larger', async t => {
  const half = 'x'.repeat(FRAME_BYTES / 2)
  const fits = [logged(half), logged(half.slice(1)), logged('a')]
  const texts = (events: WireEvent[]) => eventMessages(events).map(String)
  t.same(texts(fits), [`${half}\n${half.slice(1)}`, 'a'], 'the line break counts')
  t.same(texts([logged(half), logged(half)]), [half, half])
  const large = half.repeat(3)
  t.same(texts([logged('a'), logged(large), logged('b'), logged('c')]), ['a', large, 'b\nc'])
  t.same(websocket.events([logged('a'), logged('b')]), textFrame('a\nb'))
  t.same(websocket.events([logged(large), logged('b')]), Buffer.concat([textFrame(large), textFrame('b')]))
  t.same(websocket.control({ type: 'ping', time: 1 }), textFrame('{"type":"ping","time":1}'))
})

t.test('large batches have the same form as small ones', async t => {
  const events = [20, 30_000, 1].map((length, i) => {
    const data = `é${'x'.repeat(length)}`
    return new LogEvent(7, i + 1, JSON.stringify({ sessionId: 's', type: 'x.a', time: 1, data }))
  })
  const all = [...events, ephemeral('{"é":2}')]
  const joined = (texts: string[]) => Buffer.from(texts.join(''))
  const sse = joined(
    all.map(({ json, offset }) => `data: ${json}\n${offset === undefined ? '' : `id: ${offset}\n`}\n`),
  )
  t.ok(ssePlain.events(all).equals(sse))
  const chunk = Buffer.concat([joined([`${sse.length.toString(16)}\r\n`]), sse, joined(['\r\n'])])
  t.ok(sseChunked.events(all).equals(chunk))
  const lines = joined([all.map(({ json }) => json).join('\n')])
  t.ok(websocket.events(all).equals(textFrame(lines)))
  t.ok(Buffer.concat(eventMessages(all)).equals(lines))
})

t.test('the text of a large event is not copied for its bytes', async t => {
  const event = new LogEvent(1, 1, JSON.stringify({ sessionId: 's', type: 'x.a', data: 'x'.repeat(8e6) }))
  // What is left on the heap until the next full collection.
  const before = process.memoryUsage().heapUsed
  const kept = [sseChunked, ssePlain, websocket].map(({ events }) => events([event]).length)
  const grown = process.memoryUsage().heapUsed - before
  t.ok(kept.every(length => length > 8e6))
  t.ok(grown < 1e6, `${grown} bytes more on the heap`)
})

t.test('pages are kept by the names of encodings, so no two share one', async t => {
  const names = [sseChunked, ssePlain, sseGzip, websocket, websocketDeflate].map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  t.ok(names.every(Boolean))
})
