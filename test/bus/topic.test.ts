/** A topic and its live groups without sockets: what the log hands them, and what their members get. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { Journal } from '../../src/bus/journal.ts'
import { noopObserver } from '../../src/bus/observer.ts'
import { PageBudget } from '../../src/bus/page-budget.ts'
import { noPeers, type Peers } from '../../src/bus/peers.ts'
import { defaultHoldBounds } from '../../src/bus/producer-gate.ts'
import type { Member, Subscriber } from '../../src/bus/tail.ts'
import { Topic } from '../../src/bus/topic.ts'
import { LogEvent } from '../../src/log/event.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { type Message, messages, TestSink } from '../fixtures/sink.ts'

const text = (runId: string, type = 'x.n') =>
  `{"sessionId":"s","runId":"${runId}","type":"${type}","time":1,"data":null}`

async function topic(peers: Peers = noPeers) {
  const log = createMemoryLog()
  const journal = new Journal(log)
  const { session } = await journal.create('s', {})
  const { epoch } = session
  const made = new Topic('s', {
    journal,
    peers,
    ring: { events: 100, bytes: 1e6 },
    hold: defaultHoldBounds,
    pageBudget: new PageBudget(1e6),
    observer: noopObserver,
  })
  await made.reach(epoch, 0)
  const event = (seq: number, runId = 'r', type = 'x.n') => new LogEvent(epoch, seq, text(runId, type))
  return { topic: made, journal, epoch, event }
}

/** A live member of a group. */
function member(made: Topic, run?: string) {
  const sink = new TestSink()
  const ends: string[] = []
  const live: Member<readonly Message[]> & Subscriber = {
    sink,
    window: undefined,
    isLagging: false,
    lag: { events: 0, bytes: 0 },
    view: undefined,
    fallBehind: () => {},
    checkLag: () => {},
    lost: () => {},
    end: reason => ends.push(reason),
  }
  const spec = { encoding: messages, run, coalesceMs: 0, folds: false }
  const group = made.enter(live, spec)
  group.join(live)
  return { sink, ends, leave: () => made.leave(live, group, spec) }
}

t.test('events that come twice are delivered once', async t => {
  const { topic: made, epoch, event } = await topic()
  const { sink } = member(made)
  made.events(epoch, [event(1), event(2)])
  made.events(epoch, [event(2), event(1), event(3)])
  await nextTurn()
  t.same(sink.seen, [1, 2, 3])
  made.close()
})

t.test('a hole is filled from the log', async t => {
  const { topic: made, journal, epoch, event } = await topic()
  const { sink } = member(made)
  made.events(epoch, [event(3)])
  await journal.appendTexts(
    's',
    [1, 2, 3].map(() => text('r')),
  )
  for (let turn = 0; turn < 5; turn++) await nextTurn()
  t.same(sink.seen, [1, 2, 3])
  made.close()
})

t.test('an ephemeral event of a run reaches the members of the session and of that run only', async t => {
  const { topic: made } = await topic()
  const [all, one, other] = [member(made), member(made, 'one'), member(made, 'other')]
  made.ephemeral('{"sessionId":"s","runId":"one","type":"x.here","time":1,"ephemeral":true,"data":null}')
  made.ephemeral('{"sessionId":"s","type":"x.there","time":1,"ephemeral":true,"data":null}')
  await nextTurn()
  t.same(all.sink.seen, ['x.here', 'x.there'])
  t.same(one.sink.seen, ['x.here'])
  t.same(other.sink.seen, [])
  made.close()
})

t.test('the members of one group end with their run', async t => {
  const { topic: made, epoch, event } = await topic()
  const [one, other] = [member(made, 'one'), member(made, 'other')]
  made.events(epoch, [event(1, 'one'), event(2, 'one', 'run.completed')])
  await nextTurn()
  t.same([one.sink.seen, one.ends], [[1, 2], ['run-ended']])
  t.same([other.sink.seen, other.ends], [[], []])
  made.close()
})

t.test('a member that left gets nothing more', async t => {
  const { topic: made, epoch, event } = await topic()
  const [gone, here] = [member(made), member(made)]
  made.events(epoch, [event(1)])
  gone.leave()
  await nextTurn()
  t.same(gone.sink.seen, [])
  t.same(here.sink.seen, [1])
  made.close()
})

t.test(
  'listeners get each event once, in order, and those that one of them adds after the others',
  async t => {
    const { topic: made, epoch, event } = await topic()
    const seen: string[] = []
    const listener = (name: string) => ({
      event({ seq }: LogEvent) {
        seen.push(`${name}${seq}`)
        if (name === 'a' && seq === 1) made.events(epoch, [event(3)])
      },
      deleted: () => seen.push(`${name} deleted`),
      lost: () => seen.push(`${name} lost`),
    })
    made.listen(listener('a'))
    const stop = made.listen(listener('b'))
    made.events(epoch, [event(1), event(2)])
    t.same(seen, ['a1', 'b1', 'a2', 'b2', 'a3', 'b3'])
    stop()
    made.events(epoch, [])
    made.events(epoch, [event(4)])
    t.same(seen.slice(6), ['a4'])
    made.deleted()
    made.deleted()
    made.events(epoch, [event(5)])
    t.same(seen.slice(7), ['a deleted'], 'and nothing after that')
    t.equal(made.head, 4)
    made.close()
  },
)

for (const end of ['deleted', 'lost'] as const) {
  t.test(
    `a listener that comes after the topic was ${end} is told so, once, and not from within its call`,
    async t => {
      const { topic: made } = await topic()
      const seen: string[] = []
      const listener = { event() {}, deleted: () => seen.push('deleted'), lost: () => seen.push('lost') }
      made[end]()
      made.listen(listener)
      const stop = made.listen({ ...listener })
      stop()
      t.same(seen, [])
      await Promise.resolve()
      t.same(seen, [end])
      made.close()
    },
  )
}

t.test('events of another epoch mean that the session was deleted', async t => {
  const { topic: made, epoch, event } = await topic()
  const { sink, ends } = member(made)
  made.events(epoch, [event(1)])
  await nextTurn()
  made.events(epoch + 1, [new LogEvent(epoch + 1, 1, text('r'))])
  await nextTurn()
  t.same(sink.seen, [1])
  t.same(ends, ['deleted'])
  t.ok(made.isOver)
  made.close()
})

t.test('a topic that has not read the log yet takes the events that come first as its beginning', async t => {
  const journal = new Journal(createMemoryLog())
  await journal.create('s', {})
  const made = new Topic('s', {
    journal,
    peers: noPeers,
    ring: { events: 100, bytes: 1e6 },
    hold: defaultHoldBounds,
    pageBudget: new PageBudget(1e6),
    observer: noopObserver,
  })
  made.events(8, [])
  made.events(7, [new LogEvent(7, 5, text('r')), new LogEvent(7, 6, text('r'))])
  t.equal(made.epoch, 7)
  t.equal(made.head, 6)
  t.same(
    made.ring.after(4, 6)?.map(({ seq }) => seq),
    [5, 6],
  )
  t.equal(made.ring.after(3, 6), undefined)
  made.close()
})

t.test('marks that the log notifies update the peer marks', async t => {
  const marks: unknown[] = []
  const { topic: made } = await topic({
    ...noPeers,
    open: (...args) => ({ ...noPeers.open(...args), marked: (name, ttlMs) => marks.push([name, ttlMs]) }),
  })
  made.marked('view a', 15)
  t.same(marks, [['view a', 15]])
  made.close()
})

t.test('subscribers of other nodes hold producers until their node says otherwise', async t => {
  let onHold: (node: string, holds: boolean) => void = () => {}
  let announced = 0
  const { topic: made } = await topic({
    ...noPeers,
    open(sessionId, listener) {
      t.equal(sessionId, 's')
      onHold = listener
      return noPeers.open(sessionId, listener)
    },
    addHold: () => {
      announced++
      return () => {}
    },
  })
  t.equal(made.admitted(), undefined)
  onHold('a', true)
  onHold('a', true)
  onHold('b', true)
  onHold('a', false)
  const held = made.admitted()
  t.ok(held, 'b still holds')
  onHold('b', false)
  await held
  t.equal(made.admitted(), undefined)
  t.equal(announced, 0, 'each node announces its own')
  onHold('c', false)
  t.equal(made.admitted(), undefined)
  made.close()
})
