/** What is open in a session is counted, and more than the maximum is refused. */
import type { Test } from 'tap'
import type { AppendConditions, Appended, EventLog, Opening } from '../log.ts'
import { put, readAll, reasonOf, type Setting, text, texts } from './setting.ts'

/** Opens `id` until `end:<id>` is taken. */
const opening = (id: string, more: Partial<Opening> = {}): Opening => ({
  tally: 'runs',
  until: [`end:${id}`],
  max: 3,
  ...more,
})

const open = (log: EventLog, id: string, more: Partial<Opening> = {}, conditions: AppendConditions = {}) =>
  log.append('s', [text(id)], { create: true, opens: [opening(id, more)], ...conditions })

const end = (log: EventLog, id: string) => put(log, [text(`end ${id}`)], { once: [{ key: `end:${id}` }] })

const full = (more = {}) => ({ accepted: false, reason: 'open', tally: 'runs', max: 3, ...more })

export async function counting(t: Test, setting: Setting): Promise<void> {
  t.test('as many are open as may be, and one that ends makes room for one', async t => {
    const { log } = await setting(t)
    for (const id of ['a', 'b', 'c']) t.equal(reasonOf(await open(log, id)), 'accepted')
    const { epoch } = (await log.session('s'))!
    t.strictSame(await open(log, 'd'), full({ epoch }), 'the refusal names the tally and its maximum')
    t.match(await log.session('s'), { head: 3 }, 'and changes nothing')
    await end(log, 'b')
    t.equal(reasonOf(await open(log, 'd')), 'accepted')
    t.match(await open(log, 'e'), full())
    t.equal(reasonOf(await open(log, 'e', { max: 4 })), 'accepted', 'the maximum is the append’s own')
    t.match(await open(log, 'f'), full(), 'also where more are open than may be')
  })

  t.test('a maximum may be infinite', async t => {
    const { log } = await setting(t)
    const unlimited = { max: Infinity, size: 1, maxSize: Infinity, group: 'g', maxInGroup: Infinity }
    for (const id of ['a', 'b', 'c', 'd']) t.equal(reasonOf(await open(log, id, unlimited)), 'accepted')
    t.match(await open(log, 'e'), full(), 'they count towards others')
  })

  t.test('a group has a maximum of its own', async t => {
    const { log } = await setting(t)
    const ask = (id: string, group?: string) => open(log, id, { group, max: 5, maxInGroup: 2 })
    t.equal(reasonOf(await ask('a', 'g')), 'accepted')
    t.equal(reasonOf(await ask('b', 'g')), 'accepted')
    t.match(await ask('c', 'g'), { reason: 'open', tally: 'runs', group: 'g', max: 2 })
    t.equal(reasonOf(await ask('c', '')), 'accepted', 'an empty name is a group as any')
    t.equal(reasonOf(await ask('d', '')), 'accepted')
    t.match(await ask('e', ''), { reason: 'open', group: '', max: 2 })
    t.equal(reasonOf(await ask('e')), 'accepted', 'without a group only the tally counts')
    const refused = await ask('f', 'h')
    t.match(refused, { reason: 'open', max: 5 })
    t.notOk('group' in refused, 'the maximum of the tally names no group')
    await end(log, 'a')
    t.equal(reasonOf(await ask('f', 'g')), 'accepted')
  })

  t.test('the sizes of what is open have a maximum of their own', async t => {
    const { log } = await setting(t)
    const take = (id: string, size = 0) => open(log, id, { max: 5, size, maxSize: 100 })
    t.equal(reasonOf(await take('a', 60)), 'accepted')
    t.equal(reasonOf(await take('b', 40)), 'accepted')
    t.match(await take('c', 1), { reason: 'open', tally: 'runs', max: 100, isSize: true })
    t.equal(reasonOf(await take('c')), 'accepted', 'without a size it takes nothing')
    await end(log, 'b')
    t.match(await take('d', 41), { reason: 'open', isSize: true })
    t.equal(reasonOf(await take('d', 40)), 'accepted', 'what ends makes room')
    await open(log, 'e', { max: 5, size: 1000 })
    const refused = await open(log, 'f', { max: 4 })
    t.match(refused, { reason: 'open', max: 4 })
    t.notOk('isSize' in refused, 'too many is another refusal')
    await end(log, 'a')
    t.match(await take('f', 1), { reason: 'open', isSize: true }, 'the maximum is the append’s own')
    const large = 2 ** 40
    await end(log, 'e')
    t.equal(reasonOf(await open(log, 'f', { max: 9, size: large, maxSize: large + 40 })), 'accepted')
    t.match(await open(log, 'g', { max: 9, size: 1, maxSize: large + 40 }), { max: large + 40, isSize: true })
    t.equal(reasonOf(await open(log, 'g', { max: 9, size: 1, maxSize: large + 41 })), 'accepted')
  })

  t.test('any of several keys ends it, and one key ends all that wait for it', async t => {
    const { log } = await setting(t)
    const until = (id: string) => ({ until: [`end:${id}`, 'end:run'] })
    for (const id of ['a', 'b', 'c']) await open(log, id, until(id))
    t.match(await open(log, 'd', until('d')), full())
    await end(log, 'a')
    t.equal(reasonOf(await open(log, 'd', until('d'))), 'accepted')
    await end(log, 'run')
    for (const id of ['e', 'f', 'g']) t.equal(reasonOf(await open(log, id)), 'accepted')
    t.match(await open(log, 'h'), full())
  })

  t.test('only a later event ends it', async t => {
    const { log } = await setting(t)
    await log.create('s', {})
    await end(log, 'a')
    await put(log, [], { once: [{ key: 'end:b' }] })
    for (const id of ['a', 'b']) t.equal(reasonOf(await open(log, id)), 'accepted')
    const self = await open(log, 'c', {}, { once: [{ key: 'end:c' }] })
    t.equal(reasonOf(self), 'accepted')
    t.match(await open(log, 'd'), full(), 'all three are open')
    const ends = { once: ['e', 'f', 'g'].map(id => ({ key: `until:${id}` })) }
    const opens = ['e', 'f', 'g'].map(id => opening(id, { tally: 'others', until: [`until:${id}`] }))
    await put(log, [text(1)], { opens })
    const more = [opening('h', { tally: 'others' })]
    t.match(await log.append('s', [], { ...ends, opens: more }), { accepted: true }, 'nothing is opened')
    t.match(
      await log.append('s', [text(2)], { opens: more }),
      full({ tally: 'others' }),
      'a key without an event ends nothing',
    )
  })

  t.test('tallies and sessions count for themselves', async t => {
    const { log } = await setting(t)
    for (const tally of ['runs', 'inputs', 'Ü ']) {
      for (const id of ['a', 'b', 'c']) t.equal(reasonOf(await open(log, id, { tally })), 'accepted')
      t.match(await open(log, 'd', { tally }), full({ tally }))
    }
    const elsewhere = await log.append('s2', [text(1)], { create: true, opens: [opening('a')] })
    t.equal(reasonOf(elsewhere), 'accepted')
    const opens = [opening('x', { tally: 'new' }), opening('d'), opening('e', { tally: 'inputs' })]
    t.match(await log.append('s', [text(1)], { opens }), full(), 'of several the first in order is told')
    for (const id of ['x', 'y', 'z']) t.equal(reasonOf(await open(log, id, { tally: 'new' })), 'accepted')
  })

  t.test('a call is judged as a whole, in the order of its events', async t => {
    const { log } = await setting(t)
    await log.create('s', {})
    const opens = (ids: string[], step = 1) => ids.map((id, i) => opening(id, { index: i * step }))
    const many = ['a', 'b', 'c', 'd']
    t.match(await log.append('s', texts(1, 4), { opens: opens(many) }), full())
    t.match(await log.session('s'), { head: 0 })
    const ends = (ids: string[]) => ids.map((id, i) => ({ key: `end:${id}`, index: 2 * i + 1 }))
    const pairs = Array.from({ length: 500 }, (_, i) => `p${i}`)
    const inTurn = { opens: opens(pairs, 2), once: ends(pairs).reverse() }
    t.equal(reasonOf(await log.append('s', texts(1, 1000), inTurn)), 'accepted', 'one after the other fits')
    for (const id of ['a', 'b', 'c']) t.equal(reasonOf(await open(log, id)), 'accepted', 'and none is left')
    const tooEarly = { opens: [opening('d'), opening('e', { index: 2 })], once: [{ key: 'end:b', index: 1 }] }
    t.match(await log.append('s', texts(1, 3), tooEarly), full(), 'room that comes later is none')
    const inTime = { opens: [opening('d', { index: 1 })], once: [{ key: 'end:b' }] }
    t.equal(reasonOf(await log.append('s', texts(1, 2), inTime)), 'accepted')
  })

  t.test('the other conditions come first', async t => {
    const { log } = await setting(t)
    const { epoch } = await put(log, [text(0)], { create: true, once: [{ key: 'run:a' }] })
    for (const id of ['a', 'b', 'c']) await open(log, id)
    const lease = { leases: [{ runId: 'r', token: 'a', ttlMs: 1000 }] }
    await put(log, [], lease)
    const reasons: [string, AppendConditions][] = [
      ['epoch', { epoch: epoch + 1 }],
      ['key', { once: [{ key: 'run:a' }] }],
      ['key', { absent: ['run:a'] }],
      ['lease', { leases: [{ runId: 'r', token: 'b', ttlMs: 1 }] }],
      ['producer', { producer: { id: 'p', seq: 7 } }],
      ['open', { once: [{ key: 'run:d' }], ...lease, producer: { id: 'p', seq: 1 } }],
    ]
    for (const [reason, conditions] of reasons) {
      t.equal(reasonOf(await open(log, 'd', {}, conditions)), reason)
    }
    t.same(await log.lookup('s', ['run:d']), [undefined], 'and the refusal takes no key')
  })

  t.test('what refuses makes no session', async t => {
    const { log } = await setting(t)
    t.match(await open(log, 'a', { max: 0 }), full({ max: 0 }))
    t.equal(await log.session('s'), undefined)
  })

  t.test('what a producer repeats is not counted twice', async t => {
    const { log } = await setting(t)
    const call = (seq: number, ids: string[]) =>
      log.append(
        's',
        ids.map(id => text(id)),
        {
          create: true,
          opens: ids.map((id, index) => opening(id, { index })),
          producer: { id: 'p', seq },
        },
      )
    const first = await call(1, ['a', 'b'])
    t.same(await call(1, ['a', 'b']), first, 'a repeated call')
    t.match(await call(1, ['a', 'b', 'c']), { accepted: true, head: 3 }, 'and one that goes on')
    t.match(await call(1, ['a', 'b', 'c', 'd']), full())
    t.same(await call(3, ['c']), await call(3, ['c']), 'a repetition is done, though the tally is full')
    await end(log, 'a')
    t.match(await call(1, ['a', 'b', 'c', 'd']), { accepted: true, head: 5 })
  })

  t.test('of many who race as many win as may', async t => {
    const { log } = await setting(t)
    await log.create('s', {})
    const appended = await Promise.all(Array.from({ length: 40 }, (_, i) => open(log, `r${i}`, { max: 10 })))
    const isOpen = (one: Appended) => one.accepted
    t.equal(appended.filter(isOpen).length, 10)
    t.equal((await readAll(log)).length, 10)
    for (const one of appended) if (!isOpen(one)) t.match(one, full({ max: 10 }))
  })

  t.test('trimming forgets nothing that is open, deleting forgets all', async t => {
    const { log } = await setting(t)
    for (const id of ['a', 'b', 'c']) await open(log, id)
    const { epoch, head } = (await log.session('s'))!
    await log.trim('s', epoch, head, { seq: head, state: {} })
    t.match(await open(log, 'd'), full())
    await end(log, 'a')
    t.equal(reasonOf(await open(log, 'd')), 'accepted')
    await log.delete('s')
    for (const id of ['a', 'b', 'c']) t.equal(reasonOf(await open(log, id)), 'accepted')
  })

  t.test('a thousand may be open', async t => {
    const { log } = await setting(t)
    const ids = Array.from({ length: 1000 }, (_, i) => `run-${i}`)
    const opens = ids.map((id, index) => opening(id, { index, max: 1000, group: id, maxInGroup: 1 }))
    t.equal(reasonOf(await log.append('s', texts(1, 1000), { create: true, opens })), 'accepted')
    t.match(await open(log, 'more', { max: 1000 }), full({ max: 1000 }))
    await put(log, texts(1, 999), { once: ids.slice(1).map((id, index) => ({ key: `end:${id}`, index })) })
    t.equal(reasonOf(await open(log, 'more', { max: 2 })), 'accepted')
    t.match(await open(log, 'one', { max: 2 }), full({ max: 2 }))
  })
}
