/** What an append's conditions come to, by itself: every driver judges with this one function. */
import t from 'tap'
import {
  entryOf,
  type Held,
  type HeldKey,
  type HeldLease,
  type HeldProducer,
  judge,
} from '../../src/log/conditions.ts'

const NOW = 10_000
const EPOCH = 7
const HEAD = 20

interface Holdings {
  keys?: Record<string, HeldKey>
  leases?: Record<string, HeldLease>
  producers?: Record<string, HeldProducer>
}

const session = ({ keys = {}, leases = {}, producers = {} }: Holdings = {}): Held => ({
  epoch: EPOCH,
  head: HEAD,
  key: key => keys[key],
  lease: runId => leases[runId],
  producer: id => producers[id],
  tally: () => [],
  metadata: () => ({ title: 'now', list: [1, { a: null }] }),
})

const nothing = { keys: [], leases: [], release: [] }

t.test('an append without conditions is numbered after the head', async t => {
  t.strictSame(judge(session(), 3, {}, NOW), {
    appended: { accepted: true, epoch: EPOCH, first: HEAD + 1, head: HEAD + 3 },
    writes: { ...nothing, skip: 0 },
  })
  t.strictSame(
    judge(session(), 0, {}, NOW).appended,
    { accepted: true, epoch: EPOCH, first: HEAD + 1, head: HEAD },
    'an append of nothing leaves the head',
  )
})

t.test('the epoch must be the one that is asked for', async t => {
  const refused = { appended: { accepted: false, reason: 'epoch', epoch: EPOCH } }
  t.strictSame(judge(session(), 1, { epoch: EPOCH - 1 }, NOW), refused)
  t.strictSame(judge(session(), 1, { epoch: EPOCH + 1 }, NOW), refused)
  t.equal(judge(session(), 1, { epoch: EPOCH }, NOW).appended.accepted, true)
})

t.test('a key expires at the moment that it names', async t => {
  const held = { seq: 4, note: 'n', expiresAt: NOW }
  t.equal(entryOf(held, NOW), undefined)
  t.strictSame(entryOf(held, NOW - 1), { seq: 4, note: 'n' }, 'without the moment')
  t.equal(entryOf(undefined, NOW), undefined)
})

t.test('a key is taken once', async t => {
  const keys = {
    mine: { seq: 4, note: 'theirs', expiresAt: NOW + 1 },
    old: { seq: 5, note: 'gone', expiresAt: NOW },
  }
  const refused = (key: string, entry: object) => ({
    appended: { accepted: false, reason: 'key', epoch: EPOCH, key, entry },
  })

  await t.test('a taken key refuses and names its event, an expired key does not', async t => {
    const held = refused('mine', { seq: 4, note: 'theirs' })
    t.strictSame(judge(session({ keys }), 1, { once: [{ key: 'mine' }] }, NOW), held)
    t.strictSame(judge(session({ keys }), 1, { absent: ['free', 'mine'] }, NOW), held)
    t.equal(judge(session({ keys }), 1, { once: [{ key: 'old' }] }, NOW).appended.accepted, true)
    t.equal(judge(session({ keys }), 1, { absent: ['old', 'free'] }, NOW).appended.accepted, true)
  })

  await t.test('twice in one call refuses, with the first note', async t => {
    const once = [
      { key: 'free', note: 'first' },
      { key: 'free', note: 'second' },
    ]
    t.strictSame(judge(session(), 1, { once }, NOW), refused('free', { seq: 0, note: 'first' }))
  })

  await t.test('in one call a key that must be free may be taken as well', async t => {
    t.equal(judge(session(), 1, { once: [{ key: 'a' }], absent: ['a'] }, NOW).appended.accepted, true)
  })

  await t.test('it points to its event and lasts as long as asked', async t => {
    const once = [
      { key: 'a' },
      { key: 'b', index: 2, note: { by: 'ann' }, ttlMs: 50 },
      { key: 'c', ttlMs: 0 },
    ]
    t.strictSame(judge(session(), 3, { once }, NOW).writes?.keys, [
      ['a', { seq: HEAD + 1, note: undefined, expiresAt: Number.POSITIVE_INFINITY }],
      ['b', { seq: HEAD + 3, note: { by: 'ann' }, expiresAt: NOW + 50 }],
      ['c', { seq: HEAD + 1, note: undefined, expiresAt: NOW }],
    ])
    t.strictSame(
      judge(session(), 0, { once: [{ key: 'a', note: 1 }] }, NOW).writes?.keys,
      [['a', { seq: 0, note: 1, expiresAt: Number.POSITIVE_INFINITY }]],
      'to 0 where nothing is appended',
    )
  })
})

t.test('a lease belongs to its token', async t => {
  const leases = { r: { token: 'mine', expiresAt: NOW } }
  const accepts = (lease: { token: string; from?: string }, now = NOW) =>
    judge(session({ leases }), 1, { leases: [{ runId: 'r', ttlMs: 30, ...lease }] }, now).appended
  const refused = { accepted: false, reason: 'lease', epoch: EPOCH }

  t.equal(accepts({ token: 'mine' }).accepted, true, 'the holder')
  t.equal(accepts({ token: 'mine' }, NOW + 1).accepted, true, 'the holder, though it ran out')
  t.strictSame(accepts({ token: 'other' }), refused, 'another, though it ran out')
  t.equal(accepts({ token: 'other', from: 'mine' }).accepted, true, 'who names it, once it ran out')
  t.strictSame(accepts({ token: 'other', from: 'mine' }, NOW - 1), refused, 'who names it before')
  t.strictSame(accepts({ token: 'other', from: 'third' }), refused, 'who names another')

  const both = [
    { runId: 'free', token: 'x', ttlMs: 30 },
    { runId: 'r', token: 'mine', ttlMs: 40 },
  ]
  t.strictSame(judge(session({ leases }), 1, { leases: both, release: ['free'] }, NOW).writes, {
    skip: 0,
    keys: [],
    leases: [
      ['free', { token: 'x', expiresAt: NOW + 30 }],
      ['r', { token: 'mine', expiresAt: NOW + 40 }],
    ],
    release: ['free'],
  })
  const oneWrong = [...both, { runId: 'r', token: 'other', ttlMs: 40 }]
  t.strictSame(judge(session({ leases }), 1, { leases: oneWrong }, NOW).appended, refused, 'each is judged')
})

t.test('a producer’s events are numbered', async t => {
  // The log has its events 1 and 2 as 10 and 11, and 3, 4 and 5 as 15, 16 and 17.
  const stretches: [number, number][] = [
    [1, 10],
    [3, 15],
  ]
  const known = { next: 6, stretches }
  const held = session({ producers: { p: known }, keys: { k: { seq: 15, note: 1, expiresAt: Infinity } } })
  const call = (seq: number, count: number, more = {}) =>
    judge(held, count, { producer: { id: 'p', seq }, ...more }, NOW)
  const accepted = (first: number, head: number) => ({ accepted: true, epoch: EPOCH, first, head })

  await t.test('the numbers that follow are appended, and remembered', async t => {
    t.strictSame(call(6, 2), {
      appended: accepted(HEAD + 1, HEAD + 2),
      writes: { ...nothing, skip: 0, producer: ['p', { next: 8, stretches: [...stretches, [6, HEAD + 1]] }] },
    })
  })

  await t.test('a call that is in the log as a whole writes nothing, whatever else it asks for', async t => {
    const writes = { ...nothing, skip: 3 }
    const more = { once: [{ key: 'k' }], absent: ['k'], release: ['r'] }
    t.strictSame(call(3, 3, more), { appended: accepted(15, HEAD), writes })
    t.strictSame(call(4, 2), { appended: accepted(16, HEAD), writes: { ...nothing, skip: 2 } }, 'a part')
    t.strictSame(call(1, 2), { appended: accepted(10, HEAD), writes: { ...nothing, skip: 2 } }, 'earlier')
    t.strictSame(call(0, 2), { appended: accepted(0, HEAD), writes: { ...nothing, skip: 2 } }, 'unknown')
  })

  await t.test('of a call that is in the log in part only the rest is appended', async t => {
    t.strictSame(call(3, 5), {
      appended: accepted(15, HEAD + 2),
      writes: { ...nothing, skip: 3, producer: ['p', { next: 8, stretches: [...stretches, [6, HEAD + 1]] }] },
    })
    t.strictSame(call(4, 5), {
      appended: accepted(16, HEAD + 3),
      writes: { ...nothing, skip: 2, producer: ['p', { next: 9, stretches: [...stretches, [6, HEAD + 1]] }] },
    })
  })

  await t.test('keys of the part that is in the log are not asked for again', async t => {
    const once = [{ key: 'k' }, { key: 'l', index: 2 }, { key: 'm', index: 3 }, { key: 'n', index: 4 }]
    t.strictSame(call(3, 5, { once }).writes?.keys, [
      ['m', { seq: HEAD + 1, note: undefined, expiresAt: Number.POSITIVE_INFINITY }],
      ['n', { seq: HEAD + 2, note: undefined, expiresAt: Number.POSITIVE_INFINITY }],
    ])
    const refused = call(3, 5, { once: [{ key: 'k', index: 3 }] }).appended
    t.match(refused, { accepted: false, reason: 'key', key: 'k' }, 'those of the rest are')
    t.match(call(6, 1, { once: [{ key: 'k' }] }).appended, { reason: 'key' }, 'and those of a new call')
  })

  await t.test('a hole is refused with the expected number', async t => {
    const refused = (expected: number) => ({
      appended: { accepted: false, reason: 'producer', epoch: EPOCH, expected },
    })
    t.strictSame(call(7, 1), refused(6))
    const unknown = (seq: number) => judge(session(), 1, { producer: { id: 'q', seq } }, NOW)
    t.strictSame(unknown(2), refused(1))
    t.strictSame(unknown(99), refused(1))
  })

  await t.test('one that the log does not know begins at 0 or 1', async t => {
    for (const seq of [0, 1]) {
      t.strictSame(judge(session(), 1, { producer: { id: 'q', seq } }, NOW), {
        appended: accepted(HEAD + 1, HEAD + 1),
        writes: {
          ...nothing,
          skip: 0,
          producer: ['q', { next: seq + 1, stretches: [[seq, HEAD + 1]] }],
        },
      })
    }
  })

  await t.test('a call without events leaves the producer as it was', async t => {
    t.strictSame(call(6, 0), { appended: accepted(HEAD + 1, HEAD), writes: { ...nothing, skip: 0 } })
    t.strictSame(call(3, 0).writes, { ...nothing, skip: 0 }, 'and is no repetition')
  })
})

t.test('conditions are judged in their order', async t => {
  const held = session({
    keys: {
      once: { seq: 1, note: 0, expiresAt: Infinity },
      absent: { seq: 2, note: 0, expiresAt: Infinity },
    },
    leases: { r: { token: 'other', expiresAt: Infinity } },
  })
  const all = {
    epoch: EPOCH + 1,
    once: [{ key: 'once' }],
    absent: ['absent'],
    leases: [{ runId: 'r', token: 'mine', ttlMs: 1 }],
    producer: { id: 'p', seq: 9 },
  }
  const reason = (conditions: object) => judge(held, 1, conditions, NOW).appended
  const { epoch: _epoch, ...noEpoch } = all
  const { once: _once, ...noOnce } = noEpoch
  const { absent: _absent, ...noAbsent } = noOnce
  const { leases: _leases, ...noLeases } = noAbsent
  t.match(reason(all), { reason: 'epoch' })
  t.match(reason(noEpoch), { reason: 'key', key: 'once' })
  t.match(reason(noOnce), { reason: 'key', key: 'absent' })
  t.match(reason(noAbsent), { reason: 'lease' })
  t.match(reason(noLeases), { reason: 'producer' })
})

t.test('metadata changes from what it is now', async t => {
  const to = { title: 'then' }
  const same = { title: 'now', list: [1, { a: null }] }
  t.strictSame(judge(session(), 1, { metadata: { from: same, to } }, NOW).writes, {
    ...nothing,
    skip: 0,
    metadata: to,
  })
  t.strictSame(judge(session(), 1, { metadata: { from: { title: 'now' }, to } }, NOW), {
    appended: { accepted: false, reason: 'metadata', epoch: EPOCH },
  })
})
