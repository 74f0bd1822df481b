import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { CreditWindow } from '../../src/bus/credit-window.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'

const event = (seq: number, size = 0) =>
  new LogEvent(1, seq, encodeEvent({ sessionId: 's', type: 'x.a', time: 1, data: 'ß'.repeat(size) }))

const BYTES = event(1).bytes

t.test('sends the events that fit, in order', async t => {
  const window = new CreditWindow(BYTES * 3)
  const events = [1, 2, 3, 4].map(seq => event(seq))
  t.equal(window.fit(events), 3)
  t.equal(window.take(events), false, 'all or none')
  t.equal(window.fit(events), 3, 'and none means none')
  t.equal(window.take(events.slice(0, 2)), true)
  t.equal(window.fit(events.slice(2)), 1)
  t.equal(window.take(events.slice(2, 3)), true)
  t.equal(window.fit(events.slice(3)), 0)
  window.grant(1)
  t.equal(window.fit(events.slice(3)), 1)
})

t.test('with nothing outstanding one event of any size is sent', async t => {
  const window = new CreditWindow(10)
  t.equal(window.fit([event(1, 500), event(2)]), 1)
  t.equal(window.take([event(1, 500)]), true)
  t.equal(window.fit([event(2)]), 0)
  window.grant(1)
  t.equal(window.fit([event(2)]), 1)
})

t.test('nothing always fits', async t => {
  const window = new CreditWindow(1)
  t.equal(window.take([event(1)]), true)
  t.equal(window.fit([]), 0)
  t.equal(window.take([]), true)
})

t.test('consuming twice, backwards or ahead gives no credit that was not there', async t => {
  const window = new CreditWindow(BYTES * 2)
  window.take([event(5), event(6)])
  window.grant(4)
  t.equal(window.fit([event(7)]), 0, 'before all that was sent')
  window.grant(5)
  window.grant(5)
  window.grant(3)
  t.equal(window.fit([event(7), event(8)]), 1)
  window.grant(1_000_000)
  t.equal(window.fit([event(7), event(8), event(9)]), 2)
})

t.test('a large window over small events takes little memory, and all credit comes back', async t => {
  const window = new CreditWindow(16 * 1024 * 1024)
  let seq = 0
  const next = () => {
    const made = event(seq + 1)
    if (!window.take([made])) return false
    seq++
    return true
  }
  while (next()) {}
  const sent = seq
  t.ok(sent > 100_000, `${sent} events`)
  t.ok(window.stretches <= 2 * 256 + 1, `${window.stretches} stretches`)
  window.grant(Math.floor(sent / 2))
  let more = 0
  while (next()) more++
  // The stretch that was consumed in part gives nothing back yet.
  t.ok(Math.abs(more - sent / 2) < sent / 100, `${more} events for half of the credit`)
  window.grant(seq)
  t.equal(window.stretches, 0)
})

t.test('after clear nothing is outstanding, and nothing can be granted again', async t => {
  const window = new CreditWindow(BYTES * 2)
  window.take([event(1), event(2)])
  window.clear()
  t.equal(window.fit([event(3), event(4), event(5)]), 2)
  window.take([event(3), event(4)])
  window.grant(2)
  t.equal(window.fit([event(5)]), 0, 'for what was sent before')
})

t.test('outstanding bytes never exceed the window, except for one event', async t => {
  const step = fc.oneof(
    fc.record({ send: fc.array(fc.nat(300), { minLength: 1, maxLength: 5 }) }),
    fc.record({ consume: fc.double({ min: 0, max: 1, noNaN: true }) }),
  )
  const property = fc.property(
    fc.array(step, { maxLength: 40 }),
    fc.integer({ min: 1, max: 2000 }),
    (steps, size) => {
      const window = new CreditWindow(size)
      let out: LogEvent[] = []
      let seq = 0
      for (const step of steps) {
        if ('send' in step) {
          const events = step.send.map((bytes, i) => event(seq + 1 + i, bytes))
          const fit = window.fit(events)
          assert.equal(window.take(events.slice(0, fit)), true)
          out.push(...events.slice(0, fit))
          seq += fit
          const total = out.reduce((sum, { bytes }) => sum + bytes, 0)
          assert.ok(total <= size || out.length === 1, `${total} bytes of ${size}`)
          const [next] = events.slice(fit)
          if (next) assert.ok(out.length > 0 && total + next.bytes > size, 'and no less than fits')
        } else {
          const upTo = Math.round(seq * step.consume)
          window.grant(upTo)
          out = out.filter(({ seq }) => seq > upTo)
        }
      }
    },
  )
  fc.assert(property, { seed: seedOf(t), numRuns: 300 })
  t.pass()
})
