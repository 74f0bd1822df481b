/** The gate that makes a session's producers wait for slow subscribers. */
import t from 'tap'
import { type HoldBounds, ProducerGate } from '../../src/bus/producer-gate.ts'

const LONG: HoldBounds = { holdMs: 60_000, windowMs: 120_000 }

function gate(bounds: HoldBounds) {
  const calls: string[] = []
  const made = new ProducerGate(
    bounds,
    () => calls.push('held'),
    () => {
      calls.push('announced')
      return () => calls.push('withdrawn')
    },
  )
  return { gate: made, calls }
}

t.test('producers wait until the last holder lets go', async t => {
  const { gate: made } = gate(LONG)
  const [one, two] = [{ fullness: 1 }, { fullness: 1 }]
  t.equal(made.held, undefined)
  t.equal(made.hold(one), true)
  t.equal(made.hold(one), true, 'twice is once')
  t.equal(made.hold(two), true)
  const { held } = made
  made.release(one)
  t.equal(made.held, held, 'the other still holds')
  made.release(two)
  await held
  t.equal(made.held, undefined)
})

t.test('other nodes are notified once, of local holders only', async t => {
  const { gate: made, calls } = gate(LONG)
  const [here, there] = [{ fullness: 1 }, { fullness: 1, isRemote: true }]
  made.hold(there)
  t.same(calls, ['held'])
  made.hold(here)
  made.hold({ fullness: 1 })
  t.same(calls, ['held', 'announced'])
  made.close()
  t.same(calls, ['held', 'announced', 'withdrawn'])
  t.equal(made.held, undefined)
})

t.test(
  'when the time is used up, holders are dropped until producers continue, and may not hold for a while',
  async t => {
    const { gate: made } = gate({ holdMs: 20, windowMs: 60_000 })
    const [slow, slower] = [{ fullness: 1 }, { fullness: 2 }]
    made.hold(slow)
    made.hold(slower)
    await made.held
    t.equal(made.hold(slow), false, 'it cools down')
    t.equal(made.hold(slower), false)
    t.equal(made.hold({ fullness: 1 }), false, 'no time is left for anybody else')
    t.equal(made.held, undefined)
  },
)

t.test('the slowest is dropped first', async t => {
  const [slow, slower] = [{ fullness: 1, isRemote: true }, { fullness: 2 }]
  let slowHolds: boolean | undefined
  const made: ProducerGate = new ProducerGate(
    { holdMs: 20, windowMs: 60_000 },
    () => {},
    () => () => {
      // Other nodes are told that nobody holds here any more: the slower one has been dropped.
      slowHolds = made.hold(slow)
    },
  )
  made.hold(slow)
  made.hold(slower)
  await made.held
  t.equal(slowHolds, true, 'the other one still held then')
})

t.test('time that was used counts until its window is over', async t => {
  let now = 1000
  t.intercept(performance, 'now', { value: () => now })
  const { gate: made } = gate({ holdMs: 40, windowMs: 200 })
  made.hold({ fullness: 1 })
  now = 1040
  await made.held
  const later = { fullness: 1 }
  for (now of [1040, 1100, 1200])
    t.equal(made.hold(later), false, `at ${now} the window has 40 ms of holding`)
  now = 1201
  t.equal(made.hold(later), true, 'one of them is out of it')
  t.ok(made.held)
  made.close()
})
