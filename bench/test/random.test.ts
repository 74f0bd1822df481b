import t from 'tap'
import { seeded, shuffled } from '../random.ts'
import { deltas, messages, take } from '../text.ts'

t.test('equal seeds give equal orders, other seeds other orders', async t => {
  const items = Array.from({ length: 20 }, (_, i) => i)
  const once = shuffled(items, seeded(7))
  t.same(shuffled(items, seeded(7)), once)
  t.notSame(shuffled(items, seeded(8)), once)
  t.same(
    [...once].sort((a, b) => a - b),
    items,
  )
  t.same(items[0], 0, 'the given order stays')
})

t.test('equal seeds give equal events', async t => {
  t.same(take(deltas(3), 5), take(deltas(3), 5))
  t.notSame(take(deltas(3), 5), take(deltas(4), 5))
})

t.test('messages are as many events as asked for, each message with its beginning and end', async t => {
  const all = [...messages(1000, 7)]
  t.equal(all.length, 1000)
  for (const type of ['text.start', 'text.end']) t.equal(all.filter(body => body.type === type).length, 7)
  t.equal(all[0]?.type, 'text.start')
  t.equal(all.at(-1)?.type, 'text.end')
})
