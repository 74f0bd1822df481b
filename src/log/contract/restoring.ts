/** Copies of sessions: the records of one session make another that does the same. */
import type { Test } from 'tap'
import type { EventLog, SessionRecord } from '../log.ts'
import {
  jsons,
  observe,
  put,
  Recorder,
  readAll,
  reasonOf,
  type Setting,
  START,
  text,
  texts,
} from './setting.ts'

async function recordsOf(log: EventLog, epoch: number): Promise<SessionRecord[]> {
  const found: SessionRecord[] = []
  for await (const record of log.records('s', epoch)) found.push(record)
  const nameOf = ({ kind, name }: SessionRecord) => `${kind} ${name}`
  return found.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
}

export async function restoring(t: Test, setting: Setting): Promise<void> {
  t.test('a session that is restored from its records is the same', async t => {
    const { log, time } = await setting(t)
    const { epoch } = (await log.create('s', { title: 'Ü' }, 'ann')).session
    await put(log, texts(1, 10), {
      once: [
        { key: 'plain' },
        { key: 'noted %3A \n', note: { by: 'ann', list: [1, null] }, index: 3 },
        { key: 'brief', ttlMs: 60_000, note: 'text' },
        { key: 'gone', ttlMs: 10 },
      ],
      leases: [
        { runId: 'r1', token: 'a b', ttlMs: 30_000 },
        { runId: 'r2', token: 'a', ttlMs: 90_000 },
      ],
      producer: { id: 'p', seq: 1 },
      opens: [
        { tally: 'runs', until: ['end'], max: 3 },
        { tally: 'runs', index: 1, until: ['a', 'b'], max: 3, group: '', size: 5 },
        { tally: 'closed', until: [], max: 1 },
      ],
    })
    await put(log, [text('between')])
    await put(log, texts(11, 12), { producer: { id: 'p', seq: 11 } })
    await log.trim('s', epoch, 2, { seq: 5, state: { folded: 5 } })
    time.now += 1000
    await put(log, [text('last')])

    const keys = ['plain', 'noted %3A \n', 'brief', 'gone']
    const records = await recordsOf(log, epoch)
    t.match(records, [
      { kind: 'key', name: 'brief', seq: 1, note: 'text', expiresAt: START + 60_000 },
      { kind: 'key', name: 'noted %3A \n', seq: 4, note: { by: 'ann', list: [1, null] } },
      { kind: 'key', name: 'plain', seq: 1 },
      { kind: 'lease', name: 'r1', token: 'a b', expiresAt: START + 30_000 },
      { kind: 'lease', name: 'r2', token: 'a', expiresAt: START + 90_000 },
      {
        kind: 'producer',
        name: 'p',
        next: 13,
        stretches: [
          [1, 1],
          [11, 12],
        ],
      },
      { kind: 'tally', name: 'closed', open: [{ seq: 1, until: [] }] },
      { kind: 'tally', name: 'runs' },
    ])
    t.same(await recordsOf(log, epoch + 1), [], 'another epoch has no records')

    const before = await observe({ log, time }, keys, ['p', 'q'])
    const session = await log.session('s')
    const stored = jsons(await readAll(log)).map(json => `{${json.slice(json.indexOf(',') + 1)}`)

    const { log: copy, time: then } = await setting(t)
    then.now = time.now + 20_000
    const {
      createdAt,
      activeAt = 0,
      createdBy,
      metadata,
      earliest,
    } = session ?? { createdAt: 0, earliest: 0, metadata: {} }
    const snapshot = await log.loadSnapshot('s', epoch)
    const restored = { epoch, earliest, createdAt, createdBy, metadata, snapshot }
    t.same(await copy.restore('s', restored), { restored: true, epoch })
    t.match(await copy.session('s'), { epoch, earliest: 3, head: 2 })
    for (const half of [stored.slice(0, 4), stored.slice(4)]) await put(copy, half, { epoch })
    for (const record of records) await copy.restoreRecords('s', epoch, [record], activeAt)
    await copy.restoreRecords('s', epoch, records, activeAt)
    await copy.restoreRecords('s', epoch + 1, [{ kind: 'key', name: 'no', seq: 1, note: 1 }], activeAt)

    t.strictSame(await observe({ log: copy, time: then }, keys, ['p', 'q']), before)
    t.strictSame(await recordsOf(copy, epoch), records)
    t.strictSame(await copy.session('s'), session)
    t.equal(await copy.countCreated('ann'), 1)
    t.same(await copy.lookup('s', ['no']), [undefined])

    then.now = START + 30_000
    t.match(await copy.expired(9), [{ sessionId: 's', epoch, runId: 'r1', token: 'a b' }])
    const lease = { runId: 'r2', token: 'other', ttlMs: 1000 }
    t.equal(reasonOf(await copy.append('s', [text(1)], { leases: [lease] })), 'lease')
    t.equal(reasonOf(await copy.append('s', [text(1)], { once: [{ key: 'plain' }] })), 'key')
    const opens = (max: number) => [{ tally: 'runs', until: ['more'], max }]
    t.equal(reasonOf(await copy.append('s', [text(1)], { opens: opens(2) })), 'open')
    const follower = new Recorder()
    t.teardown(copy.follow('s', follower))
    t.match(await put(copy, [text(14)], { opens: opens(3), once: [{ key: 'end' }] }), { first: 15, head: 15 })
    t.match(await put(copy, [text(15)], { opens: opens(3) }), { first: 16 }, 'what was closed makes room')
    await follower.has(2)
    t.match(await copy.append('s', texts(11, 12), { producer: { id: 'p', seq: 11 } }), {
      accepted: true,
      first: 12,
    })
    then.now = START + 60_000
    t.same(await copy.lookup('s', ['brief']), [undefined])
  })

  t.test('a restored session has its place in the order of activity', async t => {
    const { log, time } = await setting(t)
    await log.create('new', {})
    time.now += 5000
    const made = await log.restore('s', { earliest: 1, createdAt: START - 9000, metadata: {} })
    if (!made.restored) throw new Error(made.reason)
    await put(log, texts(1, 3))
    await log.restoreRecords('s', made.epoch, [], START - 5000)
    const order = async () => (await log.recent(undefined, 9)).map(({ sessionId }) => sessionId)
    t.same(await order(), ['new', 's'])
    t.match(await log.session('s'), { createdAt: START - 9000, activeAt: START - 5000, head: 3 })
    await put(log, texts(4, 4))
    t.same(await order(), ['s', 'new'])
  })

  t.test('no session is replaced, and epochs go on behind that of a copy', async t => {
    const { log, time } = await setting(t)
    const { epoch } = (await log.create('s', { is: 'here' })).session
    await put(log, texts(1, 2))
    const copy = { epoch: epoch + 1000, earliest: 1, createdAt: START, createdBy: 'eve', metadata: {} }
    t.same(await log.restore('s', copy), { restored: false, reason: 'session' })
    t.match(await log.session('s'), { epoch, head: 2, metadata: { is: 'here' } })
    t.equal(await log.countCreated('eve'), 0)
    t.same(await log.restore('copy', copy), { restored: true, epoch: epoch + 1000 })
    time.now += 1
    t.ok((await log.create('next', {})).session.epoch > epoch + 1000)
  })

  t.test('a session that was deleted is restored under its epoch', async t => {
    const { log } = await setting(t)
    const { epoch } = (await log.create('s', {})).session
    await put(log, texts(1, 2000), { once: [{ key: 'k' }], producer: { id: 'p', seq: 1 } })
    await log.delete('s')
    const copy = { epoch, earliest: 1, createdAt: START, metadata: {} }
    t.same(await log.restore('s', copy), { restored: true, epoch })
    t.match(await put(log, texts(1, 3), { epoch }), { first: 1, head: 3 })
    t.same(await log.lookup('s', ['k']), [undefined])
    t.same(await recordsOf(log, epoch), [])
    t.equal((await readAll(log)).length, 3)
  })

  t.test('without an epoch a restored session gets a new one', async t => {
    const { log } = await setting(t)
    const { epoch } = (await log.create('other', {})).session
    const made = await log.restore('s', { earliest: 4, createdAt: START, metadata: {} })
    t.match(made, { restored: true })
    t.ok(made.restored && made.epoch > epoch)
    t.match(await put(log, [text(4)]), { first: 4, head: 4 })
  })
}
