import t from 'tap'
import { mustNotSkip, Skipper } from '../../src/bus/skip.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'

const event = (seq: number, type = 'text.delta') =>
  new LogEvent(1, seq, encodeEvent({ sessionId: 's', runId: 'r', type, time: 1, data: {} }))

t.test('terminal events and questions are never skipped', async t => {
  const kept = ['run.completed', 'run.failed', 'run.cancelled', 'input.requested', 'input.answered']
  for (const type of kept) t.equal(mustNotSkip(event(1, type)), true, type)
  for (const type of ['run.started', 'run.status', 'text.delta', 'x.answered']) {
    t.equal(mustNotSkip(event(1, type)), false, type)
  }
})

t.test('of a stretch only the newest is sent, after one gap', async t => {
  const skipper = new Skipper()
  for (const seq of [3, 4, 5]) t.equal(skipper.classify(event(seq)), undefined)
  const newest = skipper.newest()
  t.strictSame(newest?.gap, { from: 3, to: 4, count: 2 })
  t.equal(newest?.event.seq, 5)
  t.equal(skipper.newest(), undefined, 'once')
  t.equal(skipper.leaveOut(), undefined, 'and nothing is left')
})

t.test('a single event is sent without a gap', async t => {
  const skipper = new Skipper()
  skipper.classify(event(3))
  const newest = skipper.newest()
  t.equal(newest?.gap, undefined)
  t.equal(newest?.event.seq, 3)
})

t.test('no events give no events', async t => {
  const skipper = new Skipper()
  t.equal(skipper.newest(), undefined)
  t.equal(skipper.leaveOut(), undefined)
})

t.test('an event that is kept comes after the gap, and the next gap begins behind it', async t => {
  const skipper = new Skipper()
  const answered = event(9, 'input.answered')
  // Numbers are missing where only one run's events are seen.
  for (const seq of [3, 7]) skipper.classify(event(seq))
  t.strictSame(skipper.classify(answered), { gap: { from: 3, to: 7, count: 2 }, event: answered })
  t.strictSame(skipper.classify(answered), { gap: undefined, event: answered }, 'with nothing before it')
  t.equal(skipper.newest(), undefined, 'it is not sent twice')
  for (const seq of [10, 11]) skipper.classify(event(seq))
  t.strictSame(skipper.leaveOut(), { from: 10, to: 11, count: 2 })
  t.equal(skipper.newest(), undefined, 'what is left out is not sent')
})
