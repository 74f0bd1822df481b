/** Catching up without sockets, from a ring of two events or the log: what a subscriber gets whose sink was full. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { completed, range, subscribed } from '../fixtures/subscribed.ts'

const skip = { policy: 'skip', limits: { events: 3, bytes: 1e6 } } as const

t.test('events that are trimmed while a subscriber lags are reported by a gap', async t => {
  const { journal, sink, numbers, drained } = await subscribed(t)
  sink.isFull = true
  await numbers(10)
  await nextTurn()
  const { epoch } = await journal.session('s')
  await journal.trim('s', epoch, 6, { seq: 11, state: {} })
  await drained()
  t.same(sink.seen, ['subscribed', 1, 'caught-up', 'gap 2–6 trimmed', 7, 8, 9, 10, 11])
})

t.test('skip leaves out all but the newest event, which is sent', async t => {
  const { sink, numbers, drained, skipped } = await subscribed(t, { lag: skip })
  sink.isFull = true
  await numbers(10)
  await nextTurn()
  await drained()
  t.same(sink.seen, ['subscribed', 1, 'caught-up', 'gap 2–10 skipped', 11])
  t.equal(skipped(), 9, 'the metrics count what was left out')
  await numbers(1)
  await drained()
  t.equal(sink.seen.at(-1), 12, 'and it is live again')
})

t.test('skip leaves nothing out before its limit is reached', async t => {
  for (const [count, expected] of [
    [2, [2, 3]],
    [3, ['gap 2–3 skipped', 4]],
  ] as const) {
    const { sink, numbers, turns, drained } = await subscribed(t, { lag: skip })
    sink.isFull = true
    await numbers(count)
    await turns(2)
    await drained()
    t.same(sink.seen.slice(3), expected)
  }
})

t.test('skip sends terminal events and questions in place', async t => {
  const { sink, numbers, append, drained } = await subscribed(t, { lag: skip })
  sink.isFull = true
  await numbers(3)
  await append('input.requested', { requestId: 'q', kind: 'question', message: '?' }, 'r')
  await numbers(1)
  await append(...completed)
  await nextTurn()
  await drained()
  t.same(sink.seen.slice(3), ['gap 2–4 skipped', 5, 'gap 6–6 skipped', 7], 'the newest is one of them')
})

t.test('a stream of one run skips to the newest event of that run', async t => {
  const { sink, numbers, drained, skipped } = await subscribed(t, { run: 'r', lag: skip })
  sink.isFull = true
  await numbers(4, 'r')
  await numbers(2, 'other')
  await nextTurn()
  await drained()
  t.same(sink.seen.slice(3), ['gap 2–4 skipped', 5])
  t.equal(skipped(), 3)
})

t.test('a run’s stream ends when its terminal is reached by skipping', async t => {
  const { sink, ends, bus, numbers, append, drained } = await subscribed(t, { run: 'r', lag: skip })
  sink.isFull = true
  await numbers(10, 'r')
  await append(...completed)
  await numbers(3, 'r')
  await nextTurn()
  await drained()
  t.same(ends, ['run-ended'])
  t.same(sink.seen, ['subscribed', 1, 'caught-up', 'gap 2–11 skipped', 12, 'end'])
  t.equal(bus.topics, 0, 'and the topic is let go')
})

t.test('skip continues after its sink was full again, and queues nothing in between', async t => {
  const { sink, numbers, append, drained } = await subscribed(t, { lag: skip })
  sink.isFull = true
  for (let n = 0; n < 3; n++) {
    await numbers(3)
    await append('input.answered', { requestId: `q${n}`, value: 1 }, 'r')
  }
  await numbers(3)
  await nextTurn()
  sink.onWrite = () => {
    sink.isFull = typeof sink.seen.at(-1) === 'number'
  }
  const before = ['subscribed', 1, 'caught-up']
  const steps = ['gap 2–4 skipped', 5, 'gap 6–8 skipped', 9, 'gap 10–12 skipped', 13]
  for (let sent = 2; sent <= steps.length; sent += 2) {
    await drained()
    t.same(sink.seen, [...before, ...steps.slice(0, sent)])
  }
})

t.test('skip sends no more than the window of credit holds', async t => {
  const { sink, subscription, journal, numbers, append, drained } = await subscribed(t, {
    lag: skip,
    windowBytes: 1,
  })
  const { epoch } = await journal.session('s')
  await numbers(5)
  await append('input.answered', { requestId: 'q', value: 1 }, 'r')
  await numbers(5)
  await drained()
  const grant = async (seq: number) => {
    subscription.grant({ epoch, seq })
    await drained()
    return sink.seen.slice(3)
  }
  t.same(sink.seen.slice(3), ['gap 2–6 skipped'], 'one event is outstanding')
  t.same(await grant(1), ['gap 2–6 skipped', 7, 'gap 8–11 skipped'])
  t.same(await grant(7), ['gap 2–6 skipped', 7, 'gap 8–11 skipped', 12])
})

t.test('a log that is unavailable for a while leaves no hole in the gaps of skip', async t => {
  const log = createMemoryLog()
  let reads = 0
  const flaky: EventLog = {
    ...log,
    async read(...args) {
      // The first page of the jump comes, the second does not at first.
      if (++reads === 2) throw new Error('the log is away')
      return log.read(...args)
    },
  }
  const { sink, append } = await subscribed(t, { lag: skip }, flaky)
  sink.isFull = true
  for (let n = 0; n < 5; n++) await append('x.large', 'x'.repeat(40_000))
  await nextTurn()
  reads = 0
  // The subscription's own timer does not keep the process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const sent = new Promise<void>(resolve => {
    sink.onWrite = () => {
      if (sink.seen.at(-1) === 6) resolve()
    }
  })
  sink.drain()
  await sent
  t.ok(reads > 2, 'the log was asked again')
  t.same(sink.seen.slice(3), ['gap 2–5 skipped', 6])
})

t.test('a gap for events trimmed during a jump comes after the gap for events skipped before', async t => {
  const log = createMemoryLog()
  let trim: (() => Promise<unknown>) | undefined
  const trimming: EventLog = {
    ...log,
    async read(...args) {
      const page = await log.read(...args)
      await trim?.()
      trim = undefined
      return page
    },
  }
  const { sink, journal, append, drained } = await subscribed(t, { lag: skip }, trimming)
  const { epoch } = await journal.session('s')
  sink.isFull = true
  for (let n = 0; n < 6; n++) await append('x.large', 'x'.repeat(40_000))
  await nextTurn()
  trim = () => log.trim('s', epoch, 4, { seq: 7, state: {} })
  await drained()
  t.same(sink.seen.slice(3), ['gap 2–2 skipped', 'gap 3–4 trimmed', 'gap 5–6 skipped', 7])
})

t.test('a long backlog leaves turns to others', async t => {
  const { sink, append, subscription } = await subscribed(t, { replay: 'compact' })
  sink.isFull = true
  for (let n = 0; n < 20; n++) await append('x.large', 'x'.repeat(50_000))
  await nextTurn()
  const perTurn: number[] = []
  let before = sink.seen.length
  sink.drain()
  while (subscription.isLagging) {
    await nextTurn()
    perTurn.push(sink.seen.length - before)
    before = sink.seen.length
  }
  t.same(sink.seen.slice(3), range(2, 21))
  // 256 K units, and the page that goes beyond it.
  t.ok(Math.max(...perTurn) <= 7, `events in each turn: ${perTurn}`)
  t.ok(Math.max(...perTurn) >= 4, `several pages in one turn: ${perTurn}`)
})

t.test('a failed read of the log is repeated at the subscriber’s cursor', async t => {
  const log = createMemoryLog()
  let failures = 0
  const failing: EventLog = {
    ...log,
    async read(...args) {
      if (failures > 0) {
        failures--
        throw new Error('the log is away')
      }
      return log.read(...args)
    },
  }
  const { sink, numbers, subscription } = await subscribed(t, {}, failing)
  sink.isFull = true
  await numbers(5)
  await nextTurn()
  failures = 1
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const done = new Promise<void>(resolve => {
    sink.onWrite = () => {
      if (sink.seen.at(-1) === 6) resolve()
    }
  })
  sink.drain()
  await nextTurn()
  t.ok(subscription.isLagging, 'it waits')
  await done
  t.same(sink.seen.slice(3), [2, 3, 4, 5, 6])
})

t.test('a page that the credit does not cover is sent in parts', async t => {
  const { sink, epoch, subscription, numbers, drained } = await subscribed(t, { windowBytes: 250 })
  await numbers(4)
  await drained()
  const before = sink.seen.length
  t.same(sink.seen.slice(3, before), range(2, before - 2))
  t.ok(before < 7, 'not everything fits')
  subscription.grant({ epoch: epoch + 1, seq: 100 })
  await drained()
  t.equal(sink.seen.length, before, 'a position of another epoch gives no credit')
  for (let seq = 1; seq <= 5; seq++) {
    subscription.grant({ epoch, seq })
    await drained()
  }
  t.same(sink.seen.slice(3), [2, 3, 4, 5])
  t.notOk(subscription.isLagging)
})

t.test('a fold is no larger than the window of credit', async t => {
  const { sink, epoch, subscription, append, turns, drained } = await subscribed(t, {
    replay: 'compact',
    windowBytes: 400,
  })
  sink.isFull = true
  for (let n = 0; n < 20; n++) await append('text.delta', { partId: 'p', delta: 'x'.repeat(100) }, 'r')
  await turns(2)
  await drained()
  for (let seq = 0; seq <= 21; seq++) {
    subscription.grant({ epoch, seq })
    await turns(5)
  }
  t.equal(sink.seen.at(-1), 21)
  const sizes = sink.got.flatMap(message => ('event' in message ? [message.event.bytes] : []))
  t.ok(Math.max(...sizes) <= 400 && sizes.length < 21, `${sizes}`)
})

t.test('deltas that one subscriber catches up on alone are folded', async t => {
  const { sink, append, drained } = await subscribed(t, { run: 'r', replay: 'compact' })
  sink.isFull = true
  for (const delta of ['a', 'b', 'c']) await append('text.delta', { partId: 'p', delta }, 'r')
  await nextTurn()
  await drained()
  t.same(sink.seen.slice(3), [4], 'one event, with the number of the last')
})

/** A log whose reads wait until the test lets them go on. */
function waiting() {
  const log = createMemoryLog()
  const control = { waits: false, isGone: false, release: () => {} }
  const made: EventLog = {
    ...log,
    async read(...args) {
      if (control.waits) {
        await new Promise<void>(resolve => {
          control.release = resolve
        })
      }
      return control.isGone ? undefined : log.read(...args)
    },
  }
  return { log: made, control }
}

t.test('a page that comes after the close is not sent', async t => {
  for (const lag of [undefined, skip]) {
    const { log, control } = waiting()
    const { sink, subscription, numbers, turns } = await subscribed(t, { lag }, log)
    sink.isFull = true
    await numbers(10)
    await turns(2)
    control.waits = true
    sink.drain()
    await turns(2)
    subscription.close()
    control.release()
    await turns(5)
    t.same(sink.seen, ['subscribed', 1, 'caught-up'])
  }
})

t.test('a session that is gone when its log is read ends the subscription', async t => {
  for (const lag of [undefined, skip]) {
    const { log, control } = waiting()
    const { sink, ends, bus, numbers, turns } = await subscribed(t, { lag }, log)
    sink.isFull = true
    await numbers(10)
    await turns(2)
    control.isGone = true
    sink.drain()
    await turns(5)
    t.same(sink.seen.slice(3), ['end'])
    t.same(ends, ['deleted'])
    t.equal(bus.topics, 0)
  }
})
