/** Pages that several requests ask for are read once, and never out of date. */
import t, { type Test } from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import { Journal } from '../../src/bus/journal.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { Presence } from '../../src/presence/presence.ts'
import { type PageRequest, readPage } from '../../src/transports/long-poll-page.ts'
import { SharedPages } from '../../src/transports/shared-pages.ts'

/** A log that counts how often it is read. */
async function stage(t: Test) {
  let reads = 0
  const readAfter: number[] = []
  const memory = createMemoryLog()
  const log: EventLog = {
    ...memory,
    async read(...args) {
      reads++
      readAfter.push(args[1])
      return memory.read(...args)
    },
  }
  const journal = new Journal(log)
  const presence = new Presence(journal)
  const context = {
    journal,
    presence,
    bus: new Bus(journal, { peers: presence }),
    pages: new SharedPages(),
  }
  t.teardown(() => log.close())
  await journal.create('s', {})
  const none = { after: undefined, last: undefined, run: undefined, replay: 'compact' } as const
  return {
    context,
    log,
    append: (data: unknown, type = 'x.n', runId?: string) =>
      journal.append(
        's',
        [{ type, data, runId }],
        type === 'run.started' ? { once: [{ key: `run:${runId}` }] } : {},
      ),
    page: (options: Partial<PageRequest['options']> = {}, more: Partial<PageRequest> = {}) =>
      readPage(context, { sessionId: 's', options: { ...none, ...options }, ...more }),
    reads: () => reads,
    /** The numbers after which the log was read since the last call. */
    readAfter: () => readAfter.splice(0),
  }
}

t.test('equal requests share one page', async t => {
  const { page, append, reads } = await stage(t)
  await append(1)
  const [first, ...others] = await Promise.all(Array.from({ length: 20 }, () => page()))
  t.equal(reads(), 1)
  for (const other of others) t.equal(other, first)
  t.equal(await page(), first, 'also later ones')
})

t.test('whatever a page depends on parts requests', async t => {
  const { page, append, log } = await stage(t)
  for (const n of [1, 2, 3]) await append(n)
  const first = await page()
  const numbers = ({ events }: { events: readonly { seq: number }[] }) => events.map(({ seq }) => seq)
  t.same(numbers(first), [1, 2, 3])
  t.same(numbers(await page({ last: 1 })), [3])
  t.same(numbers(await page({ after: first.events[0]?.offset })), [2, 3])
  t.same(numbers(await page({}, { limit: 1 })), [1])
  t.not(await page({ replay: 'full' }), first)
  await append(4)
  t.same(numbers(await page()), [1, 2, 3, 4], 'a new event')
  const { epoch, head } = (await log.session('s'))!
  await log.trim('s', epoch, 2, { seq: head, state: {} })
  const trimmed = await page()
  t.same(numbers(trimmed), [3, 4], 'a trim')
  t.match(trimmed.controls, [{ type: 'gap' }])
  await log.delete('s')
  await t.rejects(page(), { code: 'session-not-found' })
  await log.create('s', {})
  t.same(numbers(await page()), [], 'another life of the session')
})

t.test('requests that wait for the same event share its page', async t => {
  const { page, append, reads, context } = await stage(t)
  t.teardown(await context.bus.follow('s'))
  let began = 0
  const aroundWait = { begin: () => void began++, end: async () => {} }
  const waiting = Array.from({ length: 20 }, () => page({}, { waitMs: 20_000, aroundWait }))
  while (began < 20) await new Promise(resolve => setImmediate(resolve))
  const before = reads()
  await append('x'.repeat(1000))
  const [first, ...others] = await Promise.all(waiting)
  t.equal(first?.events.length, 1)
  for (const other of others) t.equal(other, first)
  t.equal(reads(), before + 1)
})

t.test('a page that could not be read is not kept', async t => {
  const { page, append, log } = await stage(t)
  await append(1)
  const { read } = log
  log.read = async () => {
    throw new Error('away')
  }
  await t.rejects(page(), { message: 'away' })
  log.read = read
  t.equal((await page()).events.length, 1)
})

t.test('a page goes when a newer one has the same place', async t => {
  const { page, append, context } = await stage(t)
  await append('x'.repeat(1_000_000))
  await page()
  const { bytes } = context.pages
  t.ok(bytes > 2_000_000)
  for (let i = 0; i < 3; i++) {
    await append(i)
    t.equal((await page()).events.length, i + 2)
  }
  t.ok(context.pages.bytes < bytes + 1000, `${context.pages.bytes} bytes`)
})

t.test('a page of large events is read on behind those that an earlier request read', async t => {
  const { page, append, readAfter } = await stage(t)
  await append('x'.repeat(300_000))
  await append('x'.repeat(300_000))
  const first = await page()
  await append(3)
  readAfter()
  const second = await page()
  t.same(readAfter(), [2])
  t.equal(second.events[0], first.events[0])
  await append(4)
  const reading = page()
  await append(5)
  t.equal((await page()).events.length, 5)
  await reading
  t.ok(
    readAfter().every(after => after >= 2),
    'also while one is being read',
  )
  await append(6)
  await page({ last: 2 })
  t.same(readAfter(), [4], 'what begins elsewhere is read from there')
})

t.test('small events are read anew: kept longer, they would cost more than a reading', async t => {
  const { page, append, readAfter } = await stage(t)
  for (let i = 0; i < 10; i++) await append('x'.repeat(5000))
  await page()
  await append(1)
  readAfter()
  t.equal((await page()).events.length, 11)
  t.same(readAfter(), [0])
})

t.test('pages that are read on equal those that are read at once', async t => {
  const { page, append, context } = await stage(t)
  const asked: [Partial<PageRequest['options']>, Partial<PageRequest>?][] = [
    [{}],
    [{ replay: 'full' }],
    [{ replay: 'full' }, { limit: 2 }],
    [{}, { limit: 3 }],
    [{ last: 3 }],
    [{ run: 'r' }],
    [{ run: 'r', replay: 'full' }, { limit: 2 }],
  ]
  await append({ agent: 'a', input: null }, 'run.started', 'r')
  const sizes = [200_000, 10, 10, 400_000, 10, 300_000, 200_000, 10, 900_000, 10]
  for (const [i, size] of sizes.entries()) {
    const delta = { partId: 'p', delta: 'x'.repeat(size) }
    await append(delta, 'text.delta', i % 3 === 0 ? 'other' : 'r')
    for (const [options, more] of asked) {
      const kept = await page(options, more)
      const shared = context.pages
      context.pages = new SharedPages()
      const fresh = await page(options, more)
      context.pages = shared
      t.same(kept.events, fresh.events)
      t.equal(kept.head, fresh.head)
      // Behind the events of the run, one that the filter drops may be looked at in addition.
      if (options.run === undefined) t.same([kept.next, kept.caughtUp], [fresh.next, fresh.caughtUp])
    }
  }
})

t.test('kept pages are bounded, and dropped after a while', async t => {
  const { page, append, context } = await stage(t)
  await append('x'.repeat(1_000_000))
  for (let limit = 1; limit <= 20; limit++) {
    await page({}, { limit })
    t.ok(context.pages.bytes <= 8 * 1024 * 1024)
  }
  t.ok(context.pages.bytes > 6 * 1024 * 1024, 'as many as there is room for')
  while (context.pages.bytes > 0) await new Promise(resolve => setTimeout(resolve, 10))
})
