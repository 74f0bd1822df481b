/** Publishes of a session share calls of the log, and keep their order. */
import t from 'tap'
import { JointAppends } from '../../src/bus/joint-appends.ts'
import { Journal } from '../../src/bus/journal.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { limits, TwinrailError } from '../../src/protocol/index.ts'

/** A journal over a log in memory that notes the number of events of each append. */
function counted(change: Partial<EventLog> = {}) {
  const memory = createMemoryLog()
  const calls: number[] = []
  const log: EventLog = {
    ...memory,
    append(sessionId, texts, conditions) {
      calls.push(texts.length)
      return memory.append(sessionId, texts, conditions)
    },
    ...change,
  }
  return { journal: new Journal(log), calls }
}

const note = (n: number) => ({ type: 'x.note', data: n })

async function held(journal: Journal, sessionId = 's'): Promise<unknown[]> {
  const page = await journal.read(sessionId, 0, { events: 1000, bytes: 1e9 })
  return (page?.events ?? []).map(({ event }) => event.data)
}

t.test('publishes that come together share one call, and each learns its own place', async t => {
  const { journal, calls } = counted()
  const growths: number[][] = []
  journal.onAppended(({ first, head }) => growths.push([first, head]))
  const appended = await Promise.all([1, 2, 3].map(n => journal.publish('s', note(n), `user ${n}`)))
  t.strictSame(calls, [3])
  t.match(appended, [
    { accepted: true, first: 1, head: 1 },
    { accepted: true, first: 2, head: 2 },
    { accepted: true, first: 3, head: 3 },
  ])
  t.strictSame(growths, [[1, 3]])
  t.strictSame(await held(journal), [1, 2, 3])
  t.equal((await journal.session('s')).createdBy, 'user 1', 'who came first has created the session')
  await journal.publish('s', note(4), 'ann')
  t.strictSame(calls, [3, 1])
})

t.test('what comes while a call is under way shares the next one, of its own session', async t => {
  const begun: (readonly string[])[] = []
  const ends: (() => void)[] = []
  const joint = new JointAppends(async (sessionId, texts) => {
    begun.push([sessionId, ...texts])
    await new Promise<void>(resolve => ends.push(resolve))
    return { accepted: true, epoch: 7, first: 1, head: texts.length }
  })
  const order: string[] = []
  const add = (sessionId: string, text: string) =>
    joint.add(sessionId, text, undefined).then(() => order.push(text))
  const all = [add('s', 'a')]
  await new Promise(resolve => setImmediate(resolve))
  all.push(add('s', 'b'), add('other', 'x'), add('s', 'c'))
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(begun, [
    ['s', 'a'],
    ['other', 'x'],
  ])
  ends[0]?.()
  await all[0]
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(begun.slice(2), [['s', 'b', 'c']])
  for (const end of ends) end()
  await Promise.all(all)
  t.strictSame(
    order.filter(text => text !== 'x'),
    ['a', 'b', 'c'],
  )
})

t.test('a call is bounded in size, and an event that is too large fails alone', async t => {
  const { journal, calls } = counted()
  const large = (n: number, length: number) => ({ type: 'x.note', data: `${n}${'x'.repeat(length)}` })
  const [, refused] = await Promise.allSettled([
    journal.publish('s', large(1, 30_000), 'ann'),
    journal.publish('s', large(2, limits.eventBytes), 'ann'),
    journal.publish('s', large(3, 30_000), 'ann'),
    journal.publish('s', large(4, 100_000), 'ann'),
    journal.publish('s', large(5, 10), 'ann'),
  ])
  t.match(refused, { status: 'rejected', reason: { code: 'too-large' } })
  t.strictSame(calls, [2, 1, 1])
  t.strictSame(
    (await held(journal)).map(data => (data as string)[0]),
    ['1', '3', '4', '5'],
  )
})

t.test('a failure reaches each event of its call, and the next call is made', async t => {
  const memory = createMemoryLog()
  let failures = 1
  const { journal } = counted({
    async append(sessionId, texts, conditions) {
      if (failures-- > 0) throw new TwinrailError('unavailable', 'the log is away')
      return memory.append(sessionId, texts, conditions)
    },
    read: (...args) => memory.read(...args),
  })
  const both = await Promise.allSettled([1, 2].map(n => journal.publish('s', note(n), 'ann')))
  t.match(both, [{ reason: { code: 'unavailable' } }, { reason: { code: 'unavailable' } }])
  await journal.publish('s', note(3), 'ann')
  t.strictSame(await held(journal), [3])
})
