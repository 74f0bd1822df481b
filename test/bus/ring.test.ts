import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { Ring } from '../../src/bus/ring.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'

const event = (seq: number, size = 0) =>
  new LogEvent(1, seq, encodeEvent({ sessionId: 's', type: 'x.a', time: 1, data: 'x'.repeat(size) }))

const seqs = (events: readonly LogEvent[] | undefined) => events?.map(({ seq }) => seq)

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

const range = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

t.test('gives the events after a number as long as it holds all of them', async t => {
  const ring = new Ring({ events: 3, bytes: 1e6 })
  t.equal(ring.after(0, 0), undefined, 'an empty one holds nothing')
  for (const seq of range(5, 9)) ring.push(event(seq))
  t.same(seqs(ring.after(6, 9)), [7, 8, 9])
  t.same(seqs(ring.after(6, 8)), [7, 8])
  t.same(seqs(ring.after(8, 9)), [9])
  t.same(seqs(ring.after(9, 9)), [], 'nothing after the newest')
  t.equal(ring.after(5, 9), undefined, '6 is gone')
  t.equal(ring.after(0, 9), undefined)
})

t.test('the newest event stays, whatever its size', async t => {
  const ring = new Ring({ events: 10, bytes: 500 })
  for (const seq of range(1, 3)) ring.push(event(seq))
  ring.push(event(4, 5000))
  t.same(seqs(ring.after(3, 4)), [4])
  t.equal(ring.after(2, 4), undefined)
  ring.push(event(5))
  t.equal(ring.after(3, 5), undefined, 'and goes with the next')
  t.same(seqs(ring.after(4, 5)), [5])
})

t.test('holds exactly as many bytes as its bound', async t => {
  const size = event(1).json.length
  const ring = new Ring({ events: 10, bytes: size * 2 })
  for (const seq of range(1, 2)) ring.push(event(seq))
  t.same(seqs(ring.after(0, 2)), [1, 2])
  t.equal(ring.wouldDrop(0, size), true)
  t.equal(ring.wouldDrop(1, size), false)

  const less = new Ring({ events: 10, bytes: size * 2 - 1 })
  for (const seq of range(1, 2)) less.push(event(seq))
  t.equal(less.after(0, 2), undefined, 'one byte less holds one event less')
})

t.test('for any sizes it holds as many of the newest as the bounds allow', async t => {
  const property = fc.property(
    fc.array(fc.nat(400), { minLength: 1, maxLength: 60 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 0, max: 3000 }),
    (sizes, events, bytes) => {
      const ring = new Ring({ events, bytes })
      const pushed: LogEvent[] = []
      for (const [i, size] of sizes.entries()) {
        const next = event(i + 1, size)
        ring.push(next)
        pushed.push(next)
        let held = 0
        let total = 0
        for (const one of [...pushed].reverse()) {
          total += one.json.length
          if (held > 0 && (held >= events || total > bytes)) break
          held++
        }
        const head = pushed.length
        for (let seq = 0; seq <= head; seq++) {
          const expected = seq >= head - held ? range(seq + 1, head) : undefined
          assert.deepEqual(seqs(ring.after(seq, head)), expected)
        }
      }
    },
  )
  fc.assert(property, { seed: seedOf(t), numRuns: 300 })
  t.pass()
})

t.test('wouldDrop gives the number of events that a push would drop', async t => {
  const property = fc.property(
    fc.array(fc.nat(400), { minLength: 1, maxLength: 30 }),
    fc.nat(3000),
    fc.integer({ min: 1, max: 8 }),
    fc.integer({ min: 300, max: 2000 }),
    (sizes, nextSize, events, bytes) => {
      const filled = () => {
        const ring = new Ring({ events, bytes })
        for (const [i, size] of sizes.entries()) ring.push(event(i + 1, size))
        return ring
      }
      const head = sizes.length
      const next = event(head + 1, nextSize)
      const after = filled()
      after.push(next)
      for (let seq = 0; seq <= head; seq++) {
        const before = filled()
        const lost =
          seq < head && before.after(seq, head) !== undefined && after.after(seq, head + 1) === undefined
        if (lost) assert.equal(before.wouldDrop(seq, next.json.length), true, `what follows ${seq} goes`)
        else if (before.after(seq, head))
          assert.equal(before.wouldDrop(seq, next.json.length), false, `what follows ${seq} stays`)
      }
    },
  )
  fc.assert(property, { seed: seedOf(t), numRuns: 300 })
  t.pass()
})

t.test('a hole in the pushed events is never skipped', async t => {
  // A topic jumps ahead when the log was trimmed beyond it.
  const ring = new Ring({ events: 100, bytes: 1e6 })
  for (const seq of [...range(1, 3), ...range(10, 12)]) ring.push(event(seq))
  for (const seq of range(0, 8)) t.equal(ring.after(seq, 12), undefined, `after ${seq}`)
  t.same(seqs(ring.after(9, 12)), [10, 11, 12])
  t.same(seqs(ring.after(11, 12)), [12])
})

t.test('dropped events are freed', async t => {
  const ring = new Ring({ events: 1000, bytes: 1000 })
  const held: WeakRef<LogEvent>[] = []
  for (const seq of range(1, 500)) {
    const next = event(seq, 1000)
    held.push(new WeakRef(next))
    ring.push(next)
  }
  await new Promise(resolve => setImmediate(resolve))
  gc()
  const alive = held.filter(ref => ref.deref() !== undefined).length
  t.ok(alive <= 50, `${alive} events are in memory; the ring holds 1`)
  t.same(seqs(ring.after(499, 500)), [500])
})

t.test('the slots of dropped events are freed', async t => {
  const ring = new Ring({ events: 4, bytes: 1e6 })
  const used = () => {
    gc()
    return process.memoryUsage().heapUsed
  }
  ring.push(event(1))
  const before = used()
  for (let seq = 2; seq <= 500_000; seq++) ring.push(event(seq))
  const grown = used() - before
  // A place takes four or eight bytes.
  t.ok(grown < 1_000_000, `${grown} bytes more after 500,000 events`)
  t.same(seqs(ring.after(499_996, 500_000)), range(499_997, 500_000))
})
