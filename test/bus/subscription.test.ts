/** The life of a subscription without sockets: its start and its end, in every order; lag policies; a log that lost events. */
import t from 'tap'
import type { Journal } from '../../src/bus/journal.ts'
import { noPeers, type Peers } from '../../src/bus/peers.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { completed, subscribed } from '../fixtures/subscribed.ts'

t.test('one that was not started has sent nothing, and begins where it was made', async t => {
  const { sink, subscription, numbers, turns } = await subscribed(t, { isNew: true })
  await numbers(2)
  await turns(5)
  t.same(sink.seen, [])
  subscription.start()
  await turns(20)
  t.same(sink.seen, ['subscribed', 1, 'caught-up', 2, 3], '`caught-up` marks where the log was then')
  subscription.start()
  await turns(5)
  t.equal(sink.seen.length, 5, 'a second start does nothing')
})

t.test('one whose session is deleted before its start ends when it starts', async t => {
  const { sink, ends, bus, journal, subscription, turns } = await subscribed(t, { isNew: true })
  await journal.delete('s')
  await turns(5)
  t.same(sink.seen, [])
  t.same(ends, [])
  subscription.start()
  t.same(sink.seen, ['subscribed', 'end'])
  t.same(ends, ['deleted'])
  t.equal(bus.topics, 0)
})

t.test('a deleted session ends the subscription in every state', async t => {
  for (const isFull of [false, true]) {
    const { sink, ends, journal, numbers, turns } = await subscribed(t)
    sink.isFull = isFull
    await numbers(1)
    await turns(5)
    await journal.delete('s')
    await turns(5)
    t.equal(sink.seen.at(-1), 'end', `full: ${isFull}`)
    t.same(ends, ['deleted'])
    sink.drain()
    await turns(5)
    t.equal(sink.seen.at(-1), 'end', 'nothing comes after it')
  }
})

t.test('a closed subscription sends nothing more and leaves its topic', async t => {
  const { sink, ends, bus, numbers, subscription, turns } = await subscribed(t)
  sink.isFull = true
  await numbers(2)
  await turns(5)
  subscription.close()
  subscription.close()
  subscription.end('deleted')
  sink.drain()
  await numbers(1)
  await turns(5)
  t.same(sink.seen, ['subscribed', 1, 'caught-up'])
  t.same(ends, [])
  t.equal(bus.topics, 0)
  t.same(subscription.lag, { events: 0, bytes: 0 })
})

t.test('a live subscription that closes gets no further events, although its topic continues', async t => {
  const { sink, bus, subscription, numbers, turns } = await subscribed(t)
  t.teardown(await bus.follow('s'))
  await numbers(1)
  subscription.close()
  await numbers(1)
  await turns(5)
  t.same(sink.seen, ['subscribed', 1, 'caught-up'])
})

t.test('a subscription counts as a viewer of its session or run until it ends', async t => {
  for (const run of [undefined, 'r']) {
    const viewers: string[] = []
    const addViewer = (sessionId: string, seenRun: string | undefined) => {
      viewers.push(`+${sessionId} ${seenRun}`)
      return () => viewers.push(`-${sessionId} ${seenRun}`)
    }
    const { subscription } = await subscribed(t, {
      ...(run && { run }),
      isNew: true,
      bus: { peers: { ...noPeers, addViewer } },
    })
    t.same(viewers, [`+s ${run}`])
    subscription.close()
    subscription.close()
    t.same(viewers, [`+s ${run}`, `-s ${run}`])
  }
})

t.test('events that were trimmed before its start are reported by a gap', async t => {
  const { sink } = await subscribed(t, {
    after: 0,
    before: async journal => {
      for (let n = 0; n < 4; n++) await journal.append('s', [{ type: 'x.n', data: n }])
      const { epoch } = await journal.session('s')
      await journal.trim('s', epoch, 3, { seq: 5, state: {} })
    },
  })
  t.same(sink.seen, ['subscribed', 'gap 1–3 trimmed', 4, 5, 'caught-up'])
})

t.test('a subscription of an ended run gets the missing events, then the end', async t => {
  const before = (journal: Journal) => {
    const [type, data, runId] = completed
    return journal.append('s', [{ type, data, runId }], { once: [{ key: 'end:r' }] })
  }
  const all = await subscribed(t, { run: 'r', before })
  t.same(all.sink.seen, ['subscribed', 1, 2, 'caught-up', 'end'])
  t.same(all.ends, ['run-ended'])
  t.equal(all.bus.topics, 0)

  const nothing = await subscribed(t, { run: 'r', after: 2, before, isNew: true })
  t.ok(nothing.subscription.isExhausted)
  nothing.subscription.start()
  t.same(nothing.sink.seen, ['subscribed', 'end'], 'there is nothing to catch up on')
  t.same(nothing.ends, ['run-ended'])

  const ahead = await subscribed(t, { run: 'r', after: 9, replay: 'none', before, isNew: true })
  t.notOk(ahead.subscription.isExhausted, 'its cursor means nothing, which it must be told')
  ahead.subscription.start()
  t.same(ahead.sink.seen, ['subscribed', 'reset', 'caught-up', 'end'])
})

t.test('lag counts the events that the subscriber lacks, and is 0 once it is live', async t => {
  const { sink, journal, epoch, subscription, numbers, turns, drained } = await subscribed(t)
  await numbers(2)
  await turns(2)
  sink.isFull = true
  await numbers(3)
  await turns(2)
  const page = await journal.read('s', 3, { events: 10, bytes: 1e6 })
  const bytes = page?.events.reduce((sum, { json }) => sum + json.length, 0)
  t.ok(subscription.isLagging)
  t.same(subscription.lag, { events: 3, bytes })
  await drained()
  t.notOk(subscription.isLagging)
  t.same(subscription.lag, { events: 0, bytes: 0 })
  subscription.grant({ epoch, seq: 6 })
  t.notOk(subscription.isLagging, 'credit changes nothing for one that is live')
})

t.test('lag counts the events that a window holds back', async t => {
  const { journal, epoch, subscription, numbers, turns, drained } = await subscribed(t, { windowBytes: 250 })
  await numbers(8)
  await drained()
  const sizes =
    (await journal.read('s', 0, { events: 100, bytes: 1e6 }))?.events.map(({ json }) => json.length) ?? []
  const left = (events: number) => sizes.slice(sizes.length - events).reduce((sum, size) => sum + size, 0)
  for (let seq = 0; seq <= 9; seq++) {
    subscription.grant({ epoch, seq })
    await turns(5)
    const { events, bytes } = subscription.lag
    t.equal(bytes, left(events), `${events} events behind after a grant of ${seq}`)
  }
  t.equal(subscription.lag.events, 0)
})

t.test('disconnect closes it when its limit is reached, not before', async t => {
  for (const [limits, count] of [
    [{ events: 3, bytes: 1e6 }, 3],
    [{ events: 1000, bytes: 250 }, 3],
  ] as const) {
    let tooSlow = 0
    const { sink, ends, bus, numbers, turns } = await subscribed(t, {
      lag: { policy: 'disconnect', limits },
      onTooSlow: () => tooSlow++,
    })
    sink.isFull = true
    await numbers(count - 1)
    await turns(3)
    t.equal(tooSlow, 0, JSON.stringify(limits))
    await numbers(1)
    await turns(3)
    await numbers(5)
    await turns(3)
    t.equal(tooSlow, 1)
    t.same(sink.seen, ['subscribed', 1, 'caught-up'])
    t.same(ends, [], 'the transport ends the connection')
    t.equal(bus.topics, 0)
  }
})

t.test('a long replay is no lag: disconnect does not count it', async t => {
  let tooSlow = 0
  const { sink, subscription, numbers, drained, turns } = await subscribed(t, {
    lag: { policy: 'disconnect', limits: { events: 3 } },
    onTooSlow: () => tooSlow++,
    before: async journal => {
      for (let n = 0; n < 10; n++) await journal.append('s', [{ type: 'x.n', data: n }])
    },
    isNew: true,
  })
  sink.isFull = true
  subscription.start()
  await numbers(1)
  await turns(3)
  t.equal(tooSlow, 0)
  await drained()
  t.equal(sink.seen.at(-1), 12)
})

t.test('wait holds producers from four fifths of the limit to three tenths of it', async t => {
  const { sink, bus, numbers, turns, drained } = await subscribed(t, {
    lag: { policy: 'wait', limits: { events: 10 } },
  })
  sink.isFull = true
  await numbers(7)
  await turns(3)
  t.equal(bus.admitted('s'), undefined)
  await numbers(1)
  await turns(3)
  const held = bus.admitted('s')
  t.ok(held)
  await drained()
  await held
  t.equal(bus.admitted('s'), undefined)
})

t.test('wait lets producers go while it still catches up', async t => {
  const { sink, bus, epoch, subscription, numbers, turns } = await subscribed(t, {
    lag: { policy: 'wait', limits: { events: 10 } },
    windowBytes: 110,
  })
  await numbers(9)
  await turns(10)
  t.ok(bus.admitted('s'), 'one event is outstanding, eight or nine wait')
  const heldAt: number[] = []
  for (let seq = 1; seq < 10; seq++) {
    subscription.grant({ epoch, seq })
    await turns(10)
    if (bus.admitted('s')) heldAt.push(subscription.lag.events)
  }
  t.equal(Math.min(...heldAt), 3, 'held down to three tenths')
  t.equal(sink.seen.at(-1), 10)
})

t.test('one that closes does not hold producers any more', async t => {
  const { sink, bus, subscription, numbers, turns } = await subscribed(t, {
    lag: { policy: 'wait', limits: { events: 2 } },
  })
  const release = await bus.follow('s')
  t.teardown(release)
  sink.isFull = true
  await numbers(2)
  await turns(3)
  const held = bus.admitted('s')
  t.ok(held)
  subscription.close()
  await held
  t.equal(bus.admitted('s'), undefined)
})

/** A log that loses events when told to, and is away or has lost the session as long as the test says. */
function losing() {
  const log = createMemoryLog()
  const control = { lose: () => {}, failures: 0, isGone: false, reads: 0, gate: Promise.resolve() }
  const made: EventLog = {
    ...log,
    follow(sessionId, follower) {
      control.lose = () => follower.lost?.(1, 1)
      return log.follow(sessionId, follower)
    },
    async session(sessionId) {
      control.reads++
      await control.gate
      if (control.isGone) return undefined
      if (control.failures > 0) {
        control.failures--
        throw new TwinrailError('unavailable', 'the log is away')
      }
      return log.session(sessionId)
    },
  }
  return { log: made, control }
}

t.test('a log that lost events: reset, and all that is left, with all credit', async t => {
  const { log, control } = losing()
  let open = 0
  const peers: Peers = {
    ...noPeers,
    open(...args) {
      open++
      return { ...noPeers.open(...args), close: () => open-- }
    },
  }
  const { sink, subscription, bus, numbers, drained } = await subscribed(
    t,
    { windowBytes: 1, bus: { peers } },
    log,
  )
  t.same(sink.seen, ['subscribed', 1, 'caught-up'], 'all credit is used up')
  sink.history = { events: () => [] }
  control.lose()
  t.same(subscription.lag, { events: 0, bytes: 0 })
  await drained()
  t.same(sink.seen.slice(3), ['reset', 1, 'caught-up'])
  t.equal(bus.topics, 1)
  t.equal(open, 1, 'the old topic is let go')
  t.equal(sink.history, undefined, 'batches of the new topic do not refer to those of the old')
  subscription.grant({ epoch: (await log.session('s'))?.epoch ?? 0, seq: 1 })
  await numbers(1)
  await drained()
  t.equal(sink.seen.at(-1), 2, 'and it is live')
})

t.test('events that are lost before the start: it starts over at once', async t => {
  const { log, control } = losing()
  const { sink, subscription, turns } = await subscribed(t, { isNew: true }, log)
  control.lose()
  t.same(sink.seen, [])
  subscription.start()
  await turns(20)
  t.same(sink.seen, ['subscribed', 'reset', 1, 'caught-up'])
})

t.test('the log is asked until it answers', async t => {
  const { log, control } = losing()
  const { sink } = await subscribed(t, {}, log)
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  control.failures = 1
  control.reads = 0
  const again = new Promise<void>(resolve => {
    sink.onWrite = () => {
      if (sink.seen.filter(it => it === 'caught-up').length === 2) resolve()
    }
  })
  control.lose()
  await again
  t.equal(control.reads, 3, 'one that failed, then two: a session that is not followed yet is read twice')
  t.same(sink.seen.slice(3), ['reset', 1, 'caught-up'])
})

t.test('the subscription ends when its session is deleted', async t => {
  const { log, control } = losing()
  const { sink, ends, bus, turns } = await subscribed(t, {}, log)
  control.isGone = true
  control.lose()
  await turns(5)
  t.same(sink.seen.slice(3), ['end'])
  t.same(ends, ['deleted'])
  t.equal(bus.topics, 0)
})

t.test('closed while it starts over, it lets both topics go', async t => {
  const { log, control } = losing()
  const { sink, ends, bus, subscription, turns } = await subscribed(t, {}, log)
  let answer = () => {}
  control.gate = new Promise(resolve => {
    answer = resolve
  })
  control.lose()
  subscription.close()
  answer()
  await turns(10)
  t.same(sink.seen, ['subscribed', 1, 'caught-up'])
  t.same(ends, [])
  t.equal(bus.topics, 0)
})
