/** Sessions are listed by their last activity. */
import type { Test } from 'tap'
import { ACTIVITY_MS, placeOf } from '../activity.ts'
import type { EventLog, Place, SessionInfo } from '../log.ts'
import { type Setting, START, text } from './setting.ts'

const ids = (sessions: readonly SessionInfo[]) => sessions.map(({ sessionId }) => sessionId)
const grow = (log: EventLog, sessionId: string) => log.append(sessionId, [text(1, { sessionId })])

const order = async (log: EventLog) => ids(await log.recent(undefined, 500))

export async function recent(t: Test, setting: Setting): Promise<void> {
  t.test('the newest activity comes first, and of equal ones the least id', async t => {
    const { log, time } = await setting(t)
    t.same(await log.recent(undefined, 10), [])
    for (const id of ['b', 'a', 'C']) await log.create(id, { id })
    time.now += ACTIVITY_MS
    await log.append('d', [text(1, { sessionId: 'd' })], { create: true })
    t.same(await order(log), ['d', 'C', 'a', 'b'])
    t.same((await log.recent(undefined, 10))[1], await log.session('C'), 'all that is known of it')
    t.equal((await log.session('d'))?.activeAt, START + ACTIVITY_MS)

    time.now += ACTIVITY_MS
    await grow(log, 'a')
    t.same(await order(log), ['a', 'd', 'C', 'b'])
    t.equal((await log.session('a'))?.activeAt, time.now)
    t.equal((await log.session('a'))?.createdAt, START)
  })

  t.test('only events move a session, and at most once a second', async t => {
    const { log, time } = await setting(t)
    await log.create('a', {})
    await log.create('b', {})
    time.now += ACTIVITY_MS - 1
    await grow(log, 'b')
    t.equal((await log.session('b'))?.activeAt, START)
    time.now += 1
    await log.append('b', [], { once: [{ key: 'k' }], leases: [{ runId: 'r', token: 'x', ttlMs: 9 }] })
    await log.create('b', { again: true })
    await log.mark('b', 'view n', 1000)
    const { epoch } = (await log.session('b')) as SessionInfo
    await log.saveSnapshot('b', epoch, { seq: 1, state: 1 })
    await log.trim('b', epoch, 1, { seq: 1, state: 1 })
    t.same(await order(log), ['a', 'b'])
    t.equal((await log.session('b'))?.activeAt, START)
    await grow(log, 'b')
    t.same(await order(log), ['b', 'a'])
  })

  t.test('pages go on behind a place, whatever moves meanwhile', async t => {
    const { log, time } = await setting(t)
    const all = Array.from({ length: 25 }, (_, i) => `s${String(i).padStart(2, '0')}`)
    for (const [i, id] of all.entries()) {
      // Five of each time.
      if (i % 5 === 0) time.now += ACTIVITY_MS
      await log.create(id, {})
    }
    const sorted = [4, 3, 2, 1, 0].flatMap(fifth => all.slice(fifth * 5, fifth * 5 + 5))
    t.same(await order(log), sorted)
    for (const size of [1, 3, 4, 25]) {
      const found: string[] = []
      for (let after: Place | undefined; ; ) {
        const page = await log.recent(after, size)
        t.ok(page.length <= size)
        if (page.length === 0) break
        found.push(...ids(page))
        after = placeOf(page.at(-1) as SessionInfo)
      }
      t.same(found, sorted, `pages of ${size}`)
    }

    const page = await log.recent(undefined, 7)
    time.now += ACTIVITY_MS
    await grow(log, sorted[3] as string)
    await grow(log, sorted[6] as string)
    await grow(log, sorted[10] as string)
    await log.delete(sorted[8] as string)
    const rest = sorted.filter((_, i) => i >= 7 && i !== 10 && i !== 8)
    t.same(ids(await log.recent(placeOf(page.at(-1) as SessionInfo), 100)), rest)
    t.same(await log.recent(undefined, 0), [])
    t.same(
      ids(await log.recent({ activeAt: START + 2 * ACTIVITY_MS, sessionId: 's0x' }, 1)),
      ['s00'],
      'it need not be taken',
    )
  })

  t.test('a deleted session leaves the list, and one of its name enters it anew', async t => {
    const { log, time } = await setting(t)
    await log.create('a', {})
    await log.create('b', {})
    await log.delete('a')
    t.same(await order(log), ['b'])
    time.now += 10
    await log.create('a', {})
    t.same(await order(log), ['a', 'b'])
    t.equal((await log.recent(undefined, 1))[0]?.activeAt, START + 10)
  })

  t.test('many sessions that are made at once are all listed', async t => {
    const { log } = await setting(t)
    const made = Array.from({ length: 200 }, (_, i) => `m${String(i).padStart(3, '0')}`)
    await Promise.all(
      made.map((id, i) => (i % 2 ? log.create(id, {}) : log.append(id, [text(i)], { create: true }))),
    )
    t.same(await order(log), made)
  })

  t.test('an append changes the metadata that it names, or nothing', async t => {
    const { log, time } = await setting(t)
    await log.create('s', { title: 'Ü', n: [1, null] })
    const from = { title: 'Ü', n: [1, null] }
    const to = { title: '"\\\u2028', deep: { a: { b: [] } } }
    const changed = await log.append('s', [text(1)], { metadata: { from, to } })
    t.match(changed, { accepted: true, head: 1 })
    t.same((await log.session('s'))?.metadata, to)
    t.same((await log.list(undefined, 1))[0]?.metadata, to)
    t.same((await log.create('s', { other: 1 })).session.metadata, to)

    const before = await log.session('s')
    time.now += ACTIVITY_MS
    const refused = await log.append('s', [text(2)], { metadata: { from, to: {} }, once: [{ key: 'k' }] })
    t.same(refused, { accepted: false, reason: 'metadata', epoch: before?.epoch })
    t.same(await log.session('s'), before)
    t.same(await log.lookup('s', ['k']), [undefined])

    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) => log.append('s', [text(i)], { metadata: { from: to, to: { i } } })),
    )
    t.equal(all.filter(({ accepted }) => accepted).length, 1, 'one of many changes at once')
    const winner = all.findIndex(({ accepted }) => accepted)
    t.same((await log.session('s'))?.metadata, { i: winner })
    await log.append('made', [text(1)], { create: true, metadata: { from: {}, to: { new: true } } })
    t.same((await log.session('made'))?.metadata, { new: true })
  })
}
