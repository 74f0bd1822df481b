/** Shared compression: every receiver's stream decodes to the log's events, whoever joins, stalls or gets a ping. */
import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { gunzipSync, inflateRawSync, constants as zlib } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import {
  GZIP_HEAD,
  type GzipPiece,
  GzipTrailer,
  sseGzip,
  websocketDeflate,
} from '../../src/bus/compression.ts'
import { CombinableCrc } from '../../src/bus/crc.ts'
import type { Encoding, LiveEncoder } from '../../src/bus/encoding.ts'
import { Journal } from '../../src/bus/journal.ts'
import type { Sink } from '../../src/bus/sink.ts'
import type { Subscription } from '../../src/bus/subscription.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import type { LogEvent } from '../../src/log/event.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import type { Control } from '../../src/protocol/index.ts'
import { wireEvent } from '../fixtures/wire-event.ts'

const wire = (json: string, n: number) => wireEvent(json, `1-${n}`)

/** A connection that keeps what is written, with the history that a real one would keep. */
class Receiver<B> implements Sink<B> {
  readonly encoding: Encoding<B>
  readonly sent: B[] = []
  history: LiveEncoder<B> | undefined
  isFull = false
  readonly #resumes = new Set<() => void>()

  constructor(encoding: Encoding<B>) {
    this.encoding = encoding
  }

  ready(): boolean {
    return !this.isFull
  }

  write(batch: B, history?: LiveEncoder<B>): void {
    this.sent.push(batch)
    this.history = history
  }

  control(control: Control): void {
    this.write(this.encoding.control(control), this.encoding.controlsKeepHistory ? this.history : undefined)
  }

  whenReady(resume: () => void): void {
    this.#resumes.add(resume)
    if (!this.isFull) setImmediate(() => this.drain())
  }

  drain(): void {
    this.isFull = false
    const resumes = [...this.#resumes]
    this.#resumes.clear()
    for (const resume of resumes) resume()
  }
}

const RECEIVERS = 4
const text = fc.string({ unit: 'binary', maxLength: 300 })
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      texts: fc.array(text, { minLength: 1, maxLength: 5 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('ephemeral' as const), text }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('ping', 'stall', 'drain', 'join'),
      who: fc.nat(RECEIVERS - 1),
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Sends the steps over a bus to receivers that stall and join as they say; gives the receivers and the log's events. */
async function play<B>(
  steps: readonly Step[],
  encoding: Encoding<B>,
): Promise<{ sent: B[][]; events: LogEvent[] }> {
  const journal = new Journal(createMemoryLog())
  await journal.create('s', {})
  const bus = new Bus(journal)
  const receivers = new Map<number, Receiver<B>>()
  const subscriptions: Subscription<B>[] = []
  const join = async (who: number) => {
    if (receivers.has(who)) return
    const sink = new Receiver(encoding)
    receivers.set(who, sink)
    const options = {
      after: undefined,
      last: undefined,
      run: undefined,
      replay: 'full',
      coalesceMs: 0,
    } as const
    const subscription = await bus.subscribe({ sessionId: 's', options, sink, onEnd: () => {} })
    subscriptions.push(subscription)
    subscription.start()
  }
  await join(0)
  for (const step of steps) {
    if (step.do === 'append')
      await journal.append(
        's',
        step.texts.map(data => ({ type: 'x.n', data })),
      )
    else if (step.do === 'ephemeral') await journal.publishEphemeral('s', { type: 'x.here', data: step.text })
    else {
      const receiver = receivers.get(step.who)
      if (step.do === 'join') await join(step.who)
      else if (step.do === 'ping') receiver?.control({ type: 'ping', time: 1 })
      else if (step.do === 'drain') receiver?.drain()
      else if (receiver) receiver.isFull = true
    }
    await nextTurn()
  }
  for (const receiver of receivers.values()) receiver.drain()
  for (let turn = 0; turn < 10; turn++) await nextTurn()
  for (const subscription of subscriptions) subscription.close()
  const page = await journal.read('s', 0, { events: 1e6, bytes: 1e9 })
  return { sent: [...receivers.values()].map(({ sent }) => sent), events: [...(page?.events ?? [])] }
}

/** The logged events among decoded messages: each must be there once, in order, byte for byte. */
function check(decoded: readonly string[], events: readonly LogEvent[]): void {
  const logged = decoded.filter(
    json => JSON.parse(json).offset !== undefined && JSON.parse(json).data !== undefined,
  )
  assert.deepEqual(
    logged,
    events.map(({ json }) => json),
  )
}

const dataOf = (stream: string) =>
  stream
    .split('\n')
    .filter(line => line.startsWith('data: '))
    .map(line => line.slice('data: '.length))

t.test('gzip streams decode to the plain stream, whole and after every piece', async t => {
  const seed = seedOf(t)
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async steps => {
      const { sent, events } = await play(steps, sseGzip)
      for (const pieces of sent) {
        const sum = new GzipTrailer()
        for (const piece of pieces) sum.add(piece)
        const blocks = pieces.map(piece => piece.block)
        const whole = gunzipSync(Buffer.concat([GZIP_HEAD, ...blocks, sum.end()])).toString()
        check(dataOf(whole), events)
        for (let cut = 1; cut <= blocks.length; cut += 7) {
          const prefix = inflateRawSync(Buffer.concat(blocks.slice(0, cut)), {
            finishFlush: zlib.Z_SYNC_FLUSH,
          }).toString()
          assert.ok(whole.startsWith(prefix) && prefix.endsWith('\n\n'), `cut at ${cut}`)
        }
      }
    }),
    { seed, numRuns: 150 },
  )
  t.pass('all decode')
})

/** The messages of the deflated frames, each decoded with all of those before it. */
function inflated(frames: Buffer): string[] {
  const blocks: Buffer[] = []
  let count = 0
  const messages: string[] = []
  for (let at = 0; at < frames.length; ) {
    const short = (frames[at + 1] as number) & 0x7f
    const [head, length] =
      short < 126
        ? [2, short]
        : short === 126
          ? [4, frames.readUInt16BE(at + 2)]
          : [10, Number(frames.readBigUInt64BE(at + 2))]
    const payload = frames.subarray(at + head, at + head + length)
    // Control messages are not deflated.
    if (frames[at] === 0xc1) blocks.push(payload, Buffer.from([0, 0, 0xff, 0xff]))
    else assert.equal(frames[at], 0x81)
    at += head + length
    if (frames[at - head - length] !== 0xc1) continue
    const text = inflateRawSync(Buffer.concat(blocks), { finishFlush: zlib.Z_SYNC_FLUSH })
    messages.push(...text.subarray(count).toString().split('\n'))
    count = text.length
  }
  return messages
}

t.test('permessage-deflate messages decode with the context taken over', async t => {
  const seed = seedOf(t)
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async steps => {
      const { sent, events } = await play(steps, websocketDeflate)
      for (const frames of sent) check(inflated(Buffer.concat(frames)), events)
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

t.test('combined checksums equal the checksum of everything', async t => {
  const seed = seedOf(t)
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 8 }), parts => {
      const buffers = parts.map(part => Buffer.from(part))
      const joined = buffers.reduce((crc, part) => new CombinableCrc(part).appendTo(crc), 0)
      return joined === new CombinableCrc(Buffer.concat(buffers)).appendTo(0)
    }),
    { seed },
  )
  t.pass('all equal')
})
