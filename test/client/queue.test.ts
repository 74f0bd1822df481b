import t from 'tap'
import { EventQueue, type SessionEvent } from '../../client/index.ts'
import { between, random, seedOf } from '../../src/log/contract/random.ts'

const delta = (seq: number, text: string, partId = 'p') =>
  ({
    offset: `7-${seq}`,
    sessionId: 's',
    runId: 'r',
    type: 'text.delta',
    time: 1,
    data: { partId, delta: text },
  }) as const
const status = (seq: number) =>
  ({
    offset: `7-${seq}`,
    sessionId: 's',
    runId: 'r',
    type: 'run.status',
    time: 1,
    data: { status: 'x' },
  }) as const
const ephemeral = () => ({ sessionId: 's', type: 'x.typing', time: 1, ephemeral: true, data: 1 }) as const

t.test('a full queue folds deltas instead of dropping the oldest', async t => {
  const queue = new EventQueue(10)
  for (let seq = 1; seq <= 1000; seq += 1) queue.push(delta(seq, `${seq} `))
  t.ok(queue.length <= 10)
  const taken = queue.take() as (ReturnType<typeof delta> & { from?: string })[]
  t.equal(
    taken.map(({ data }) => data.delta).join(''),
    Array.from({ length: 1000 }, (_, i) => `${i + 1} `).join(''),
  )
  t.equal(queue.dropped, 0)
  t.equal(queue.folded, 1000 - taken.length)
  t.equal(taken[0]!.from, '7-1')
  t.equal(taken.at(-1)!.offset, '7-1000')
})

t.test('the terminal event and plans are never dropped', async t => {
  const queue = new EventQueue(3)
  const kept = [1, 2, 3, 4, 5, 6].map(status)
  for (const event of kept) queue.push(event)
  t.same(queue.take(), kept)
  t.equal(queue.dropped, 0)
})

t.test('only ephemeral events are dropped, and counted', async t => {
  const queue = new EventQueue(3)
  queue.push(status(1))
  for (let i = 0; i < 8; i += 1) queue.push(ephemeral())
  queue.push(status(2))
  queue.push(status(3))
  const taken: SessionEvent[] = queue.take()
  t.same(
    taken.filter(event => !('ephemeral' in event)),
    [1, 2, 3].map(status),
  )
  t.equal(queue.dropped + taken.length, 11)
})

t.test('still full, the stream is no longer read', async t => {
  const queue = new EventQueue(2)
  queue.push(status(1))
  await queue.room()
  queue.push(status(2))
  let room = false
  const waiting = queue.room().then(() => (room = true))
  await new Promise(setImmediate)
  t.notOk(room)
  queue.take()
  await waiting
  t.ok(room)
})

t.test('taking costs the same at any length, and no timer runs', async t => {
  const queue = new EventQueue(1e6)
  // The best of some rounds, against what pushing took: the machine may do something else in any of them.
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const began = performance.now()
    for (let seq = 1; seq <= 200_000; seq += 1) queue.push(status(seq))
    const pushed = performance.now()
    t.equal(queue.take().length, 200_000)
    best = Math.min(best, (performance.now() - pushed) / (pushed - began))
  }
  t.ok(best < 0.1, `taking all takes ${best.toFixed(4)} of what pushing it took`)
  t.same(queue.take(), [])
})

t.test('folds only neighbours of one part, up to 64 KiB', async t => {
  const next = random(seedOf(t))
  const queue = new EventQueue(1)
  const expected: Record<string, string> = {}
  const order: string[] = []
  for (let seq = 1; seq <= 400; seq += 1) {
    const partId = `p${between(next, 1, 2)}`
    const text = 'x'.repeat(between(next, 1, 2000))
    expected[partId] = (expected[partId] ?? '') + text
    if (order.at(-1) !== partId) order.push(partId)
    queue.push(delta(seq, text, partId))
  }
  const got: Record<string, string> = {}
  let seq = 0
  for (const event of queue.take() as (ReturnType<typeof delta> & { from?: string })[]) {
    const { partId, delta } = event.data
    t.equal(Number((event.from ?? event.offset).slice(2)), seq + 1)
    seq = Number(event.offset.slice(2))
    got[partId] = (got[partId] ?? '') + delta
    t.ok(delta.length <= 65_536)
  }
  t.same(got, expected)
})
