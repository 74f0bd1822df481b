/** What a copy of a session keeps of the log's records, which were read after its head was. */
import t from 'tap'
import type { SessionRecord } from '../../src/log/log.ts'
import { upTo } from '../../src/sessions/archive/copies.ts'

const producer = (next: number, stretches?: [own: number, seq: number][]): SessionRecord => ({
  kind: 'producer',
  name: 'p',
  next,
  ...(stretches && { stretches }),
})

t.test('a key is kept when its event is', async t => {
  const key = { kind: 'key', name: 'k', seq: 5, note: 1 } as const
  t.same(upTo(key, 5), key)
  t.same(upTo(key, 4), undefined)
})

t.test('a tally counts what was open', async t => {
  const [a, b, c] = [4, 5, 6].map(seq => ({ seq, until: [] }))
  const tally = { kind: 'tally', name: 'runs', open: [a, b, c] } as SessionRecord
  t.same(upTo(tally, 5), { ...tally, open: [a, b] })
})

t.test('a producer goes on behind the last of its events that is kept', async t => {
  // Its events 1 to 4 have the numbers 2 to 5 of the log, 5 to 7 have 8 to 10.
  const all = producer(8, [
    [1, 2],
    [5, 8],
  ])
  for (const [head, next] of [
    [2, 2],
    [4, 4],
    [5, 5],
    [7, 5],
    [8, 6],
    [10, 8],
    [20, 8],
  ] as const) {
    const stretches =
      head < 8
        ? [[1, 2]]
        : [
            [1, 2],
            [5, 8],
          ]
    t.same(upTo(all, head), { ...all, next, stretches }, `head ${head}`)
  }
  t.same(upTo(all, 1), undefined, 'none of its events is kept')
  t.same(upTo(producer(8), 1), producer(8), 'one whose events are not known is kept as it is')
})

t.test('a lease is kept', async t => {
  const lease = { kind: 'lease', name: 'r', token: 'x', expiresAt: 1 } as const
  t.same(upTo(lease, 1), lease)
})
