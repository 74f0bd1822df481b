/** Shared compression: every receiver's stream decodes to the plain one, whoever joins, leaves or is told something. */
import { gunzipSync, inflateRawSync, constants as zlib } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import {
  GZIP_HEAD,
  type GzipPiece,
  GzipSum,
  gzipText,
  sseGzip,
  websocketDeflate,
} from '../../src/bus/compression.ts'
import { Summed } from '../../src/bus/crc.ts'
import { type LiveEncoder, sseControl, sseEvents, type WireEvent } from '../../src/bus/encoding.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import type { Control } from '../../src/protocol/index.ts'

const wire = (json: string, n: number): WireEvent => ({
  offset: `1-${n}`,
  json,
  bytes: Buffer.byteLength(json),
})
const ping = (time: number): Control => ({ type: 'ping', time })

const text = fc.string({ unit: 'binary', maxLength: 300 })
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('batch' as const),
      texts: fc.array(text, { minLength: 1, maxLength: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('control' as const), who: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('own' as const), who: fc.nat(3), text }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('miss' as const), who: fc.nat(3) }) },
)

/** Runs the steps over four receivers of one group; gives what each was sent, compressed and plain. */
function play<B>(
  steps: readonly Step[],
  encoding: typeof sseGzip | typeof websocketDeflate,
  plain: (events: readonly WireEvent[]) => string,
): { sent: B[]; plain: string[] }[] {
  const live = encoding.live?.() as LiveEncoder<B>
  const receivers = Array.from({ length: 4 }, () => ({
    sent: [] as B[],
    plain: [] as string[],
    history: undefined as LiveEncoder<B> | undefined,
    missing: false,
  }))
  let n = 0
  for (const step of steps) {
    if (step.do === 'batch') {
      const events = step.texts.map(text => wire(JSON.stringify({ delta: text }), ++n))
      const members = receivers.filter(receiver => !receiver.missing)
      for (const receiver of receivers) {
        if (receiver.missing) receiver.history = undefined
        receiver.missing = false
      }
      const batch = live.events(
        events,
        members.every(receiver => receiver.history === live),
      )
      for (const receiver of members) {
        receiver.sent.push(batch)
        receiver.plain.push(plain(events))
        receiver.history = live
      }
      continue
    }
    const receiver = receivers[step.who] as (typeof receivers)[number]
    if (step.do === 'miss') receiver.missing = true
    else if (step.do === 'control') {
      if (encoding.name === 'websocket-deflate') continue // goes out as it is
      receiver.sent.push(encoding.control(ping(n)) as B)
      receiver.plain.push(sseControl(ping(n)))
      receiver.history = undefined
    } else if (step.do === 'own') {
      const events = [wire(JSON.stringify(step.text), ++n)]
      receiver.sent.push(encoding.events(events) as B)
      receiver.plain.push(plain(events))
      receiver.history = undefined
    }
  }
  return receivers
}

type Step =
  | { do: 'batch'; texts: string[] }
  | { do: 'control' | 'miss'; who: number }
  | { do: 'own'; who: number; text: string }

t.test('gzip streams decode to the plain stream, whole and after every piece', async t => {
  const seed = seedOf(t)
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      for (const { sent, plain } of play<GzipPiece>(steps, sseGzip, sseEvents)) {
        const sum = new GzipSum()
        const first = gzipText('retry: 2000\n\n')
        sum.add(first)
        for (const piece of sent) sum.add(piece)
        const blocks = [first, ...sent].map(piece => piece.block)
        const whole = gunzipSync(Buffer.concat([GZIP_HEAD, ...blocks, sum.end()])).toString()
        if (whole !== `retry: 2000\n\n${plain.join('')}`) throw new Error('the whole differs')
        for (let cut = 1; cut <= blocks.length; cut += 7) {
          const prefix = inflateRawSync(Buffer.concat(blocks.slice(0, cut)), {
            finishFlush: zlib.Z_SYNC_FLUSH,
          }).toString()
          if (prefix !== `retry: 2000\n\n${plain.slice(0, cut - 1).join('')}`)
            throw new Error(`cut at ${cut}`)
        }
      }
    }),
    { seed, numRuns: 150 },
  )
  t.pass('all decode')
})

/** The payloads of deflated frames, as one deflate stream. */
function deflated(frames: Buffer): Buffer {
  const blocks: Buffer[] = []
  for (let at = 0; at < frames.length; ) {
    if (frames[at] !== 0xc1) throw new Error('not a deflated text frame')
    const short = (frames[at + 1] as number) & 0x7f
    const [head, length] =
      short < 126
        ? [2, short]
        : short === 126
          ? [4, frames.readUInt16BE(at + 2)]
          : [10, Number(frames.readBigUInt64BE(at + 2))]
    blocks.push(frames.subarray(at + head, at + head + length), Buffer.from([0, 0, 0xff, 0xff]))
    at += head + length
  }
  return Buffer.concat(blocks)
}

t.test('permessage-deflate messages decode with the context taken over', async t => {
  const seed = seedOf(t)
  const lines = (events: readonly WireEvent[]) => events.map(event => event.json).join('\n')
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      for (const { sent, plain } of play<Buffer>(steps, websocketDeflate, lines)) {
        const stream = Buffer.concat(sent.map(deflated))
        if (sent.length === 0) continue
        const got = inflateRawSync(stream, { finishFlush: zlib.Z_SYNC_FLUSH }).toString()
        if (got !== plain.join('')) throw new Error('differs')
      }
    }),
    { seed, numRuns: 150 },
  )
  t.pass('all decode')
})

t.test('history makes batches small', async t => {
  const live = sseGzip.live?.() as LiveEncoder<GzipPiece>
  const event = (n: number) => [
    wire(
      `{"offset":"1795347062631-${n}","sessionId":"s1","runId":"r1","type":"text.delta","time":1795347062647,"data":{"partId":"p","delta":"word "}}`,
      n,
    ),
  ]
  const alone = live.events(event(1), false).block.length
  const after = live.events(event(2), true).block.length
  t.ok(after * 3 < alone, `${after} bytes after ${alone}`)
})

t.test('joined checksums are what summing everything gives', async t => {
  const seed = seedOf(t)
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 8 }), parts => {
      const buffers = parts.map(part => Buffer.from(part))
      const joined = buffers.reduce((crc, part) => new Summed(part).addTo(crc), 0)
      return joined === new Summed(Buffer.concat(buffers)).addTo(0)
    }),
    { seed },
  )
  t.pass('all equal')
})
