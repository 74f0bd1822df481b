/** A live group by itself: no topic, no sockets. What its members get, and when they stop being served. */
import t from 'tap'
import { CreditWindow } from '../../src/bus/credit-window.ts'
import { type Encoding, EphemeralEvent, type LiveEncoder, type WireEvent } from '../../src/bus/encoding.ts'
import { type GroupSpec, LiveGroup } from '../../src/bus/live-group.ts'
import { noopObserver } from '../../src/bus/observer.ts'
import { Ring } from '../../src/bus/ring.ts'
import type { Sink } from '../../src/bus/sink.ts'
import type { Member, Tail } from '../../src/bus/tail.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'

/** What the encodings of this test make: an object for each call, so that sharing shows as identity. */
interface Batch {
  readonly events: readonly WireEvent[]
  /** Given by a live encoder only. */
  readonly continued?: boolean
}

const plain: Encoding<Batch> = {
  name: 'plain',
  events: events => ({ events: [...events] }),
  control: () => ({ events: [] }),
}

/** An encoding whose batches refer to those before them. */
const referring: Encoding<Batch> = {
  ...plain,
  name: 'referring',
  live: () => ({ events: (events, continued) => ({ events: [...events], continued }) }),
}

/** The end of a log as a topic would show it, with a ring of ten events. */
class TestTail implements Tail {
  readonly epoch = 1
  readonly ring = new Ring({ events: 10, bytes: 1e6 })
  readonly delayMs = 7
  readonly batches: { events: number; receivers: number; delayMs: number }[] = []
  head = 0
  written = 0
  dropped = 0
  readonly observer = {
    ...noopObserver,
    batch: (events: number, receivers: number, delayMs: number) => {
      this.batches.push({ events, receivers, delayMs })
    },
    dropped: (count: number) => {
      this.dropped += count
    },
  }

  /** Adds an event of a run, or of none; text is the delta of one part. */
  add(runId?: string, type = 'x.n', data: unknown = null): void {
    const event = new LogEvent(1, ++this.head, encodeEvent({ sessionId: 's', runId, type, time: 1, data }))
    this.ring.push(event)
    this.written += event.json.length
  }

  addText(delta: string): void {
    this.add('r', 'text.delta', { partId: 'p', delta })
  }
}

class TestMember implements Member<Batch>, Sink<Batch> {
  readonly sink = this
  readonly encoding = plain
  window: CreditWindow | undefined
  history: LiveEncoder<Batch> | undefined
  isFull = false
  readonly batches: Batch[] = []
  /** Where the group left it. */
  readonly left: { cursor: number; written: number }[] = []
  readonly ends: string[] = []
  onWrite = () => {}

  ready(): boolean {
    return !this.isFull
  }

  write(batch: Batch, history?: LiveEncoder<Batch>): void {
    this.batches.push(batch)
    this.history = history
    this.onWrite()
  }

  control(): void {}
  whenReady(): void {}

  fallBehind(cursor: number, written: number): void {
    this.left.push({ cursor, written })
  }

  end(reason: string): void {
    this.ends.push(reason)
  }

  /** What came: for each batch the numbers of its events, or the types of those that are not logged. */
  get seen(): (number | string)[][] {
    return this.batches.map(({ events }) =>
      events.map(({ offset, json }) => (offset ? Number(offset.split('-')[1]) : JSON.parse(json).type)),
    )
  }
}

function group(spec: Partial<GroupSpec<Batch>> = {}) {
  const tail = new TestTail()
  const made = new LiveGroup(tail, { encoding: plain, run: undefined, coalesceMs: 0, folds: true, ...spec })
  return {
    tail,
    group: made,
    join(): TestMember {
      const member = new TestMember()
      made.attach(member)
      made.join(member)
      return member
    },
  }
}

const ephemeral = (type: string) => new EphemeralEvent(JSON.stringify({ type }))

t.test('members share one batch of the events since the last flush, in order', async t => {
  const { tail, group: made, join } = group()
  const [one, two] = [join(), join()]
  for (let n = 0; n < 3; n++) tail.add()
  made.due()
  tail.add()
  made.flush()
  t.same(one.seen, [[1, 2, 3], [4]])
  t.equal(one.batches[0], two.batches[0], 'encoded once')
  t.equal(one.batches[1], two.batches[1])
  t.equal(one.history, undefined, 'later batches do not refer to it')
  t.equal(made.flushed, 4)
  t.same(tail.batches, [
    { events: 3, receivers: 2, delayMs: 7 },
    { events: 1, receivers: 2, delayMs: 7 },
  ])
})

t.test('without new events nothing is written', async t => {
  const { tail, group: made, join } = group()
  const member = join()
  tail.add()
  made.flush()
  made.due()
  made.flush()
  t.same(member.seen, [[1]])
  t.equal(tail.batches.length, 1)
})

t.test('a group begins at the head of its topic', async t => {
  const tail = new TestTail()
  tail.add()
  tail.add()
  const made = new LiveGroup(tail, { encoding: plain, run: undefined, coalesceMs: 0, folds: false })
  t.equal(made.flushed, 2)
  const member = new TestMember()
  made.join(member)
  tail.add()
  member.isFull = true
  const before = tail.written - (tail.ring.after(2, 3)?.[0]?.json.length ?? 0)
  made.flush()
  t.same(member.left, [{ cursor: 2, written: before }])
})

t.test('members come and go within a turn', async t => {
  const { tail, group: made, join } = group()
  const [gone, stays] = [join(), join()]
  const waiting = new TestMember()
  made.attach(waiting)
  t.equal(made.users, 3)
  tail.add()
  made.remove(gone)
  t.equal(made.users, 2)
  made.flush()
  const late = join()
  tail.add()
  made.flush()
  t.same(gone.seen, [])
  t.same(stays.seen, [[1], [2]])
  t.same(late.seen, [[2]], 'what was flushed before it joined is not sent again')
  t.same(waiting.seen, [], 'one that still catches up gets nothing from the group')
  for (const member of [stays, waiting, late]) made.remove(member)
  t.equal(made.users, 0)
})

t.test('without members a group moves on', async t => {
  const { tail, group: made, join } = group()
  tail.add()
  made.flush()
  t.equal(made.flushed, 1)
  made.addEphemeral(ephemeral('x.early'), undefined)
  const member = join()
  tail.add()
  made.flush()
  t.same(member.seen, [[2]], 'an ephemeral event is for those who are there when it comes')
})

t.test('a member with a full sink falls behind at its own cursor, and the others continue', async t => {
  const { tail, group: made, join } = group()
  const [slow, quick] = [join(), join()]
  tail.add()
  made.flush()
  const { written } = tail
  slow.isFull = true
  tail.add()
  made.flush()
  t.same(slow.left, [{ cursor: 1, written }])
  t.equal(made.users, 2, 'it still belongs to the group')
  t.same(tail.batches.at(-1), { events: 1, receivers: 1, delayMs: 7 })

  slow.isFull = false
  tail.add()
  made.flush()
  t.same(slow.seen, [[1]], 'it gets nothing before it has caught up')
  t.same(quick.seen, [[1], [2], [3]])

  made.join(slow)
  tail.add()
  made.flush()
  t.same(slow.seen, [[1], [4]])
  t.equal(slow.left.length, 1)
})

t.test('a full sink is not written to without need', async t => {
  const { tail, group: made, join } = group({ run: 'r' })
  const slow = join()
  slow.isFull = true
  tail.add('other')
  made.flush()
  t.same(slow.left, [], 'there was nothing for it')
  t.equal(made.flushed, 1)
  t.same(tail.batches, [])
})

t.test('a member whose credit is used up falls behind; a full sink costs no credit', async t => {
  const { tail, group: made, join } = group()
  const [poor, slow] = [join(), join()]
  poor.window = new CreditWindow(1)
  slow.window = new CreditWindow(1)
  slow.isFull = true
  tail.add()
  made.flush()
  t.same(poor.seen, [[1]], 'one event always fits')
  tail.add()
  made.flush()
  t.same(poor.seen, [[1]])
  t.equal(poor.left[0]?.cursor, 1)
  t.same(slow.left[0]?.cursor, 0)
  const [event] = tail.ring.after(0, 1) as [LogEvent]
  t.equal(slow.window.fit([event]), 1, 'nothing was counted as sent')
  t.equal(poor.window.fit([event]), 0)
})

t.test('when the topic has passed over a hole all members read on from the log', async t => {
  const { tail, group: made, join } = group()
  const [one, two] = [join(), join()]
  tail.add()
  made.flush()
  const { written } = tail
  for (let n = 0; n < 11; n++) tail.add()
  made.flush()
  t.same(one.seen, [[1]])
  t.same([one.left, two.left], [[{ cursor: 1, written }], [{ cursor: 1, written }]])
  t.equal(made.flushed, 12)
  tail.add()
  made.flush()
  t.equal(one.left.length, 1, 'and are members no more')
})

t.test('ephemeral events follow the events of their flush, once', async t => {
  const { tail, group: made, join } = group()
  const member = join()
  made.addEphemeral(ephemeral('x.a'), undefined)
  tail.add()
  made.addEphemeral(ephemeral('x.b'), 'r')
  made.flush()
  made.addEphemeral(ephemeral('x.c'), undefined)
  made.flush()
  made.flush()
  t.same(member.seen, [[1, 'x.a', 'x.b'], ['x.c']])
  t.same(
    tail.batches.map(({ events }) => events),
    [3, 1],
  )
})

t.test('ephemeral events need no ring', async t => {
  const tail = new TestTail()
  tail.head = 5
  const made = new LiveGroup(tail, { encoding: plain, run: undefined, coalesceMs: 0, folds: false })
  const member = new TestMember()
  made.join(member)
  made.addEphemeral(ephemeral('x.a'), undefined)
  made.flush()
  t.same(member.seen, [['x.a']])
  t.same(member.left, [])
})

t.test('a group of one run takes the ephemeral events of that run only', async t => {
  const { group: made, join } = group({ run: 'r' })
  const member = join()
  made.addEphemeral(ephemeral('x.session'), undefined)
  made.addEphemeral(ephemeral('x.other'), 'other')
  made.addEphemeral(ephemeral('x.run'), 'r')
  made.flush()
  t.same(member.seen, [['x.run']])
})

t.test('a thousand ephemeral events wait for a flush, and more are dropped', async t => {
  const { tail, group: made, join } = group()
  const member = join()
  for (let n = 0; n < 1002; n++) made.addEphemeral(ephemeral(`x.${n}`), undefined)
  made.flush()
  t.equal(member.seen[0]?.length, 1000)
  t.equal(member.seen[0]?.at(-1), 'x.999', 'the newest are dropped')
  t.equal(tail.dropped, 2)
  made.addEphemeral(ephemeral('x.later'), undefined)
  made.flush()
  t.same(member.seen[1], ['x.later'])
})

t.test('a group of one run sends that run’s events and ends with its terminal', async t => {
  const { tail, group: made, join } = group({ run: 'r' })
  const [one, two] = [join(), join()]
  tail.add('r')
  tail.add('other')
  tail.add()
  tail.add('other', 'run.completed')
  made.flush()
  t.same(one.seen, [[1]])
  t.same(one.ends, [])
  tail.add('other')
  tail.add('r', 'run.failed')
  made.flush()
  t.same(
    [one.seen, two.seen],
    [
      [[1], [6]],
      [[1], [6]],
    ],
  )
  t.same([one.ends, two.ends], [['run-ended'], ['run-ended']])
})

t.test('a member that fell behind at the terminal is not ended by the group', async t => {
  const { tail, group: made, join } = group({ run: 'r' })
  const [slow, quick] = [join(), join()]
  slow.isFull = true
  tail.add('r', 'run.completed')
  made.flush()
  t.same([slow.left.length, slow.ends], [1, []])
  t.same(quick.ends, ['run-ended'])
})

t.test('a group of the whole session continues after a terminal event', async t => {
  const { tail, group: made, join } = group()
  const member = join()
  tail.add('r', 'run.completed')
  made.flush()
  t.same(member.seen, [[1]])
  t.same(member.ends, [])
})

/** Resolves with the member's next batch. */
const written = (member: TestMember) =>
  new Promise<void>(resolve => {
    member.onWrite = resolve
  })

/** The folded text of a batch. */
const textOf = (batch: Batch | undefined) => batch?.events.map(({ json }) => JSON.parse(json).data.delta)

t.test('a coalescing window collects and folds the events within it', async t => {
  const { tail, group: made, join } = group({ coalesceMs: 5 })
  const member = join()
  const flushed = written(member)
  tail.addText('a')
  made.due()
  tail.addText('b')
  made.due()
  t.same(member.seen, [], 'the window is open')
  await flushed
  t.same(member.seen, [[2]])
  t.same(textOf(member.batches[0]), ['ab'])
  t.same(tail.batches[0]?.events, 1)

  const again = written(member)
  made.addEphemeral(ephemeral('x.a'), undefined)
  made.due()
  await again
  t.same(member.seen[1], ['x.a'], 'ephemeral events open a window, too')
})

t.test('nothing is folded without a coalescing window, or when that was not asked for', async t => {
  for (const spec of [
    { coalesceMs: 0, folds: true },
    { coalesceMs: 5, folds: false },
  ]) {
    const { tail, group: made, join } = group(spec)
    const member = join()
    tail.addText('a')
    tail.addText('b')
    made.flush()
    t.same(textOf(member.batches[0]), ['a', 'b'])
  }
})

t.test('a flush closes the window; without news none is opened', async t => {
  const { tail, group: made, join } = group({ coalesceMs: 5 })
  const idle = group({ coalesceMs: 5 })
  const other = group({ coalesceMs: 50 })
  let flushes = 0
  for (const counted of [made, idle.group]) {
    const flush = counted.flush.bind(counted)
    counted.flush = () => {
      flushes++
      flush()
    }
  }
  idle.join()
  idle.group.due()
  join()
  tail.add()
  made.due()
  made.flush()
  tail.add()
  made.due()
  made.close()
  const last = other.join()
  const over = written(last)
  other.tail.add()
  other.group.due()
  // Timers fire in the order of their delays, so any of the others would have fired by then.
  await over
  t.equal(flushes, 1, 'only the one that was called')
})

t.test('a batch refers to the one before when every receiver has had that last', async t => {
  const { tail, group: made, join } = group({ encoding: referring })
  const continued: (boolean | undefined)[] = []
  const one = join()
  const flush = () => {
    tail.add()
    made.flush()
    continued.push(one.batches.at(-1)?.continued)
  }
  flush()
  flush()
  t.same(continued, [false, true])
  const two = join()
  flush()
  flush()
  t.same(continued.slice(2), [false, true], 'a newcomer lacks the batch before')
  t.equal(one.batches[3], two.batches[1], 'encoded once')
  t.equal(one.history, two.history)
  one.history = undefined
  flush()
  t.same(continued[4], false, 'something else was written to one of them')
})

t.test('a member that misses a batch has no history, and is not asked about it', async t => {
  const { tail, group: made, join } = group({ encoding: referring })
  const [slow, quick] = [join(), join()]
  tail.add()
  made.flush()
  slow.isFull = true
  tail.add()
  made.flush()
  t.equal(slow.history, undefined)
  t.equal(slow.left[0]?.cursor, 1)
  t.equal(quick.batches[1]?.continued, true, 'the others had the batch before')
  slow.isFull = false
  made.join(slow)
  tail.add()
  made.flush()
  t.equal(quick.batches[2]?.continued, false)
  t.equal(slow.batches.at(-1), quick.batches[2])
})
