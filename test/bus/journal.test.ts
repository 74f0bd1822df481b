/** The journal: how large an event may be, walks over the log, and what it refuses. */
import t from 'tap'
import { type Growth, Journal } from '../../src/bus/journal.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { limits } from '../../src/protocol/index.ts'
import { range } from '../fixtures/subscribed.ts'

/** What the offset may add to an event: its name, and two numbers of 16 digits. */
const OFFSET_BYTES = '"offset":"",'.length + 33

async function session() {
  const journal = new Journal(createMemoryLog())
  const { session } = await journal.create('s', {})
  return { journal, epoch: session.epoch }
}

t.test('an event may be as large as the limit with its offset, counted in bytes', async t => {
  const { journal } = await session()
  for (const letter of ['x', 'é', '語']) {
    const empty = Buffer.byteLength(journal.encode('s', { type: 'x.n', data: '' }, 'ann'))
    const room = limits.eventBytes - OFFSET_BYTES - empty
    const size = Buffer.byteLength(letter)
    const filler = 'a'.repeat(room % size)
    const largest = { type: 'x.n', data: filler + letter.repeat((room - filler.length) / size) }
    const text = journal.encode('s', largest, 'ann')
    t.equal(Buffer.byteLength(text), limits.eventBytes - OFFSET_BYTES, letter)
    t.throws(() => journal.encode('s', { ...largest, data: `${largest.data}a` }, 'ann'), {
      code: 'too-large',
      message: /1048576 bytes/,
    })
  }
  const tooLarge = { type: 'x.n', data: 'x'.repeat(limits.eventBytes) }
  await t.rejects(journal.append('s', [{ type: 'x.n', data: 1 }, tooLarge]), { code: 'too-large' })
  t.equal((await journal.session('s')).head, 0, 'nothing is appended then')
})

t.test('an ephemeral event has the same limit, and reaches the followers', async t => {
  const { journal } = await session()
  const got: string[] = []
  const unfollow = journal.follow('s', {
    events: () => {},
    ephemeral: json => got.push(json),
    deleted: () => {},
  })
  await journal.publishEphemeral('s', { type: 'x.here', runId: 'r', data: 1 }, 'ann')
  t.match(JSON.parse(got[0] as string), {
    sessionId: 's',
    runId: 'r',
    type: 'x.here',
    by: 'ann',
    ephemeral: true,
    data: 1,
  })
  const body = (length: number) => ({ type: 'x.n', data: 'x'.repeat(length) })
  await journal.publishEphemeral('s', body(0))
  const empty = Buffer.byteLength(got[1] as string)
  await journal.publishEphemeral('s', body(limits.eventBytes - empty))
  await t.rejects(journal.publishEphemeral('s', body(limits.eventBytes - empty + 1)), { code: 'too-large' })
  t.equal(got.length, 3)
  unfollow()
})

t.test('a walk gives all events in order, page by page, up to its end', async t => {
  const { journal } = await session()
  const texts = range(1, 2500).map(n => journal.encode('s', { type: 'x.n', data: n }))
  await journal.appendTexts('s', texts)
  const walk = async (after: number, through?: number) => {
    const seen: number[] = []
    for await (const { seq } of journal.events('s', after, through)) seen.push(seq)
    return seen
  }
  t.same(await walk(0), range(1, 2500))
  t.same(await walk(2490), range(2491, 2500))
  t.same(await walk(900, 2100), range(901, 2100))
  t.same(await walk(5, 5), [])
  t.same(await walk(2500), [])
  t.equal((await journal.event('s', 1234))?.seq, 1234)
  t.equal(await journal.event('s', 2501), undefined)
  const none: number[] = []
  for await (const { seq } of journal.events('none', 0)) none.push(seq)
  t.same(none, [])
})

t.test('listeners are called with the new events before the append resolves', async t => {
  const { journal, epoch } = await session()
  const heard: Growth[] = []
  const stop = journal.onAppended(growth => heard.push(growth))
  await journal.append('s', [
    { type: 'x.n', data: 1 },
    { type: 'x.n', data: 2 },
  ])
  t.same(heard, [{ sessionId: 's', epoch, first: 1, head: 2, taken: [], runs: [] }])
  await journal.append('s', [], { once: [{ key: 'k' }] })
  await journal.append('s', [{ type: 'x.n', data: 3 }], { once: [{ key: 'k' }] })
  t.equal(heard.length, 1, 'nothing was added')
  const once = [{ key: 'end:r', note: { type: 'run.failed' } }, { key: 'answer:q' }]
  const leases = [
    { runId: 'r', token: 'a', ttlMs: 1000 },
    { runId: 'q', token: 'b', ttlMs: 1000, from: 'a' },
  ]
  await journal.append('s', [{ type: 'x.n', data: 4 }], { once, leases })
  t.same(heard[1]?.taken, once, 'the keys that were taken')
  t.same(heard[1]?.runs, ['r'], 'the runs whose holders append, without those that are taken over')
  stop()
  await journal.append('s', [{ type: 'x.n', data: 3 }])
  t.equal(heard.length, 2)
})

t.test('marks last as long as they are said to', async t => {
  const { journal } = await session()
  await journal.mark('s', 'view a', 60_000)
  await journal.mark('s', 'view b', 60_000)
  await journal.mark('s', 'view a', 0)
  t.match(await journal.marks('s'), [{ name: 'view b' }])
})

t.test('sessions are listed and deleted; a run and its place are found', async t => {
  const { journal } = await session()
  await journal.create('a', {})
  await journal.create('z', {})
  const ids = async (after: string | undefined, limit: number) =>
    (await journal.list(after, limit)).map(({ sessionId }) => sessionId)
  t.same(await ids(undefined, 10), ['a', 's', 'z'])
  t.same(await ids('a', 1), ['s'])
  t.equal(await journal.delete('a'), true)
  t.equal(await journal.delete('a'), false)
  t.equal(await journal.findSession('a'), undefined)
  await t.rejects(journal.session('a'), { code: 'session-not-found', details: { sessionId: 'a' } })

  await journal.append('s', [{ type: 'run.started', runId: 'r', data: { agent: 'a' } }], {
    once: [{ key: 'run:r' }],
  })
  t.same(await journal.run('s', 'r'), { start: 1, end: undefined })
  await journal.append('s', [{ type: 'x.n', data: 1 }])
  await journal.append('s', [{ type: 'run.completed', runId: 'r', data: { finishReason: 'stop' } }], {
    once: [{ key: 'end:r' }],
  })
  t.same(await journal.run('s', 'r'), { start: 1, end: 3 })
  await t.rejects(journal.run('s', 'q'), { code: 'run-not-found', details: { runId: 'q' } })
})
