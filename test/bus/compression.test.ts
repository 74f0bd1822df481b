/** Live encoders that compress: what a batch may refer to, by how small it is. `compression.long` decodes the streams. */
import { inflateRawSync, constants as zlib } from 'node:zlib'
import t from 'tap'
import { sseGzip, websocketDeflate } from '../../src/bus/compression.ts'
import type { Encoding, LiveEncoder } from '../../src/bus/encoding.ts'
import { random } from '../../src/log/contract/random.ts'
import { wireEvent } from '../fixtures/wire-event.ts'

/** Text that only its own repetition makes small. */
const noise = (seed: number, length: number) => {
  const next = random(seed)
  return Array.from({ length }, () => String.fromCharCode(97 + Math.floor(next() * 26))).join('')
}

const event = (text: string) => wireEvent(JSON.stringify({ type: 'x.n', data: text }), '1-1')

const liveOf = <B>(encoding: Encoding<B>) => encoding.live?.() as LiveEncoder<B>

/** The frames of a WebSocket batch: first byte and payload. */
function framesOf(batch: Buffer): { first: number; payload: Buffer }[] {
  const frames = []
  for (let at = 0; at < batch.length; ) {
    let length = (batch[at + 1] as number) & 0x7f
    let head = 2
    if (length === 126) [length, head] = [batch.readUInt16BE(at + 2), 4]
    else if (length === 127) [length, head] = [Number(batch.readBigUInt64BE(at + 2)), 10]
    frames.push({ first: batch[at] as number, payload: batch.subarray(at + head, at + head + length) })
    at += head + length
  }
  return frames
}

const inflate = (payload: Buffer) =>
  inflateRawSync(Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]), {
    finishFlush: zlib.Z_SYNC_FLUSH,
  }).toString()

t.test('a batch refers to the one before only when it continues it', async t => {
  const text = noise(1, 1000)
  for (const sizeOf of [
    (() => {
      const live = liveOf(websocketDeflate)
      return (continued: boolean) => live.events([event(text)], continued).length
    })(),
    (() => {
      const live = liveOf(sseGzip)
      return (continued: boolean) => live.events([event(text)], continued).block.length
    })(),
  ]) {
    const first = sizeOf(false)
    t.ok(sizeOf(true) < first / 5)
    t.equal(sizeOf(false), first)
    t.ok(sizeOf(true) < first / 5, 'a batch that continues nothing is history, too')
  }
})

t.test('groups do not share their histories', async t => {
  const text = noise(1, 1000)
  const first = liveOf(websocketDeflate).events([event(text)], true).length
  t.equal(liveOf(websocketDeflate).events([event(text)], true).length, first)
})

t.test('a WebSocket batch is compressed frames of 32 KiB, each referring to the one before', async t => {
  const live = liveOf(websocketDeflate)
  const text = noise(2, 1500)
  const large = Array.from({ length: 40 }, () => event(text))
  const frames = framesOf(live.events(large, false))
  t.ok(frames.length > 1, `${frames.length} frames`)
  for (const { first } of frames) t.equal(first, 0xc1, 'a whole text message that is compressed')
  const [one, two] = frames.map(({ payload }) => payload) as [Buffer, Buffer]
  t.equal(inflate(one).split('\n')[0], event(text).json, 'the first stands alone')
  t.throws(() => inflate(two), 'the second needs the one before')
  const next = framesOf(live.events([event(text)], true))
  t.equal(next.length, 1)
  t.ok((next[0]?.payload.length ?? 0) < 200)
  t.equal(
    inflate((framesOf(live.events([event('a')], false))[0] as { payload: Buffer }).payload),
    event('a').json,
  )
})

t.test('replayed events are compressed separately; control messages are not compressed', async t => {
  const batch = framesOf(websocketDeflate.events([event('a'), event('b')]))
  t.same(
    batch.map(({ payload }) => inflate(payload)),
    [`${event('a').json}\n${event('b').json}`],
  )
  const [control] = framesOf(websocketDeflate.control({ type: 'ping', time: 1 }))
  t.equal(control?.first, 0x81)
  t.equal(control?.payload.toString(), '{"type":"ping","time":1}')
})

t.test('encodings have names of their own; control messages end the history of gzip alone', async t => {
  t.equal(websocketDeflate.controlsKeepHistory, true)
  t.notOk(sseGzip.controlsKeepHistory)
  t.not(websocketDeflate.name, sseGzip.name)
  t.ok(websocketDeflate.name && sseGzip.name)
})
