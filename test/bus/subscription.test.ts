/** A subscription without sockets, on a bus with a ring of two events: what it sends when its sink was full. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Bus, type SubscribeRequest } from '../../src/bus/bus.ts'
import type { Message } from '../../src/bus/encoding.ts'
import { Journal } from '../../src/bus/journal.ts'
import { noopObserver } from '../../src/bus/observer.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { TestSink } from '../fixtures/sink.ts'

type Request = SubscribeRequest<readonly Message[]>

/** A session whose log begins with `run.started` of the run `r`, and a subscription to it that is live. */
async function subscribed(t: Test, request: Partial<Request> = {}, log: EventLog = createMemoryLog()) {
  const journal = new Journal(log)
  await journal.append('s', [{ type: 'run.started', runId: 'r', data: { agent: 'a' } }], {
    create: true,
    once: [{ key: 'run:r' }],
  })
  let skipped = 0
  const observer = {
    ...noopObserver,
    skipped(count: number) {
      skipped += count
    },
  }
  const bus = new Bus(journal, { ringEvents: 2, observer })
  const sink = new TestSink()
  const ends: string[] = []
  const subscription = await bus.subscribe({ ...ofSession, sink, onEnd: end => ends.push(end), ...request })
  t.teardown(() => subscription.close())
  subscription.start()
  for (let turn = 0; turn < 5; turn++) await nextTurn()
  return {
    journal,
    bus,
    sink,
    ends,
    subscription,
    skipped: () => skipped,
    /** Appends `count` events of one run, or of none. */
    async numbers(count: number, runId?: string) {
      for (let n = 0; n < count; n++) await journal.append('s', [{ type: 'x.n', runId, data: n }])
    },
    append: (type: string, data: unknown, runId?: string) => journal.append('s', [{ type, runId, data }]),
    /** Lets the sink drain, and waits until nothing more is sent. */
    async drained() {
      sink.drain()
      for (let turn = 0; turn < 20; turn++) await nextTurn()
    },
  }
}

const options = { after: undefined, last: undefined, run: undefined, replay: 'full', coalesceMs: 0 } as const
const ofSession = { sessionId: 's', options }
const ofRun = { sessionId: 's', options: { ...options, run: 'r' } }
const skip = { policy: 'skip', limits: { events: 3, bytes: 1e6 } } as const

const completed = ['run.completed', { finishReason: 'stop' }, 'r'] as const

t.test('what is trimmed while a subscriber lags is reported by a gap', async t => {
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

t.test('skip sends what somebody waits for in its place', async t => {
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
  const { sink, numbers, drained, skipped } = await subscribed(t, { ...ofRun, lag: skip })
  sink.isFull = true
  await numbers(4, 'r')
  await numbers(2, 'other')
  await nextTurn()
  await drained()
  t.same(sink.seen.slice(3), ['gap 2–4 skipped', 5])
  t.equal(skipped(), 3)
})

t.test('a run’s stream ends when its terminal is reached by skipping', async t => {
  const { sink, ends, bus, numbers, append, drained } = await subscribed(t, { ...ofRun, lag: skip })
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

t.test('skip goes on when its sink is full again, and nothing waits in it meanwhile', async t => {
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

t.test('a log that is away for a while makes no hole in what skip reports', async t => {
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

t.test('what is trimmed in the middle of a jump comes after what was skipped before it', async t => {
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

t.test('a log that lost events takes back the credit of what was sent', async t => {
  const log = createMemoryLog()
  let lose = () => {}
  const losing: EventLog = {
    ...log,
    follow(sessionId, follower) {
      lose = () => follower.lost?.(1, 1)
      return log.follow(sessionId, follower)
    },
  }
  const { sink, drained } = await subscribed(t, { windowBytes: 1 }, losing)
  t.same(sink.seen, ['subscribed', 1, 'caught-up'], 'all credit is used up')
  lose()
  await drained()
  t.same(sink.seen.slice(3), ['reset', 1, 'caught-up'])
})
