import assert from 'node:assert/strict'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { ssePlain, websocket } from '../../src/bus/encoding.ts'
import { type KeptPage, PageBudget } from '../../src/bus/page-budget.ts'
import { Pages } from '../../src/bus/pages.ts'
import { Ring } from '../../src/bus/ring.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { encodeEvent } from '../../src/log/event.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'

/** Where shared pages end. */
const EVENTS = 2048
const BUDGET = 16 * 1024 * 1024

/** A log with `pages` times `count` deltas of one size, and how often it was read. */
async function filled(t: Test, pages: number, deltaSize = 4, count = EVENTS) {
  const log = createMemoryLog()
  t.teardown(() => log.close())
  const {
    session: { epoch },
  } = await log.create('s', {})
  const text = encodeEvent({
    sessionId: 's',
    runId: 'r',
    type: 'text.delta',
    time: 1,
    data: { partId: 'p', delta: 'x'.repeat(deltaSize) },
  })
  for (let page = 0; page < pages; page++) await log.append('s', Array<string>(count).fill(text))
  const reads = { count: 0, fail: false }
  const counted: EventLog = Object.assign(Object.create(log) as EventLog, {
    read: (...args: Parameters<EventLog['read']>) => {
      reads.count++
      return reads.fail ? Promise.reject(new Error('the log is away')) : log.read(...args)
    },
  })
  const make = (budget: PageBudget) => new Pages(counted, 's', new Ring({ events: 1, bytes: 1 }), budget)
  return { epoch, head: pages * count, reads, make }
}

t.test('a page is folded and encoded once for all subscribers that need it, at any distance', async t => {
  const { epoch, head, reads, make } = await filled(t, 40)
  const pages = make(new PageBudget(BUDGET))
  const first = []
  for (let cursor = 0; cursor < head; cursor += EVENTS) first.push(await pages.folded(epoch, cursor, head))
  t.equal(reads.count, 40)
  for (let cursor = 0; cursor < head; cursor += EVENTS) {
    const [page, again] = [first[cursor / EVENTS], await pages.folded(epoch, cursor, head)]
    if (page !== again) t.fail(`the page after ${cursor} was made twice`)
    t.equal(again?.encoded(websocket), page?.encoded(websocket), 'the same bytes')
  }
  t.equal(reads.count, 40)
  const [one, other] = await Promise.all([pages.folded(epoch, 0, head), pages.folded(epoch, 0, head)])
  t.equal(one, other)
})

t.test('a page is encoded once for each wire', async t => {
  const { epoch, head, make } = await filled(t, 1)
  const page = await make(new PageBudget(BUDGET)).folded(epoch, 0, head)
  const [frames, text] = [page?.encoded(websocket), page?.encoded(ssePlain)]
  t.same(frames, websocket.events(page?.events ?? []))
  t.same(text, ssePlain.events(page?.events ?? []))
  t.equal(page?.encoded(websocket), frames)
  t.equal(page?.encoded(ssePlain), text)
})

t.test('two concurrent requests share one read', async t => {
  const { epoch, head, reads, make } = await filled(t, 1)
  const pages = make(new PageBudget(BUDGET))
  const [one, other] = await Promise.all([pages.folded(epoch, 0, head), pages.folded(epoch, 0, head)])
  t.ok(one)
  t.equal(one, other)
  t.equal(reads.count, 1)
})

t.test('pages of all sessions share one budget; those not used for longest go', async t => {
  const { epoch, head, reads, make } = await filled(t, 4)
  const budget = new PageBudget(BUDGET)
  const pages = make(budget)
  for (let cursor = 0; cursor < head; cursor += EVENTS) await pages.folded(epoch, cursor, head)
  const small = new PageBudget(budget.bytes)
  const [mine, others] = [make(small), make(small)]
  for (let cursor = 0; cursor < head; cursor += EVENTS) await mine.folded(epoch, cursor, head)
  await mine.folded(epoch, 0, head)
  t.equal(small.bytes, budget.bytes, 'all fit')
  await others.folded(epoch, 0, head)
  t.ok(small.bytes <= budget.bytes, 'no more than the budget')
  reads.count = 0
  await mine.folded(epoch, 0, head)
  t.equal(reads.count, 0, 'what was used lately is still there')
  await mine.folded(epoch, EVENTS, head)
  t.equal(reads.count, 1, 'the oldest had to go')
  mine.close()
  others.close()
  t.equal(small.bytes, 0, 'who is closed keeps nothing')
})

t.test('events that are too large to share are not folded twice', async t => {
  const { epoch, head, reads, make } = await filled(t, 1, 200)
  const budget = new PageBudget(BUDGET)
  const pages = make(budget)
  const page = await pages.folded(epoch, 0, head)
  t.ok(page && page.last < EVENTS, 'a smaller page of its own')
  t.equal(reads.count, 2)
  await pages.folded(epoch, 0, head)
  t.equal(reads.count, 3, 'only its own')
  t.ok(budget.bytes < 10_000, `${budget.bytes} bytes are kept`)
})

t.test('a log that is away is asked again', async t => {
  const { epoch, head, reads, make } = await filled(t, 1)
  const budget = new PageBudget(BUDGET)
  const pages = make(budget)
  reads.fail = true
  await t.rejects(pages.folded(epoch, 0, head), { message: 'the log is away' })
  t.equal(budget.bytes, 0)
  reads.fail = false
  t.ok(await pages.folded(epoch, 0, head))
})

t.test('a subscriber that closes while a page is made holds no memory of it', async t => {
  const { epoch, head, make } = await filled(t, 1)
  const budget = new PageBudget(BUDGET)
  const pages = make(budget)
  const asked = pages.folded(epoch, 0, head)
  pages.close()
  t.ok(await asked, 'who waits gets it')
  t.equal(budget.bytes, 0)
})

t.test('for any order of use the budget keeps the longest run of latest pages that fits', async t => {
  const property = fc.property(
    fc.array(fc.tuple(fc.nat(9), fc.boolean()), { maxLength: 100 }),
    fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 10, maxLength: 10 }),
    fc.integer({ min: 0, max: 200 }),
    (steps, sizes, limit) => {
      const budget = new PageBudget(limit)
      let model: number[] = []
      const dropped = new Set<number>()
      const pages: KeptPage[] = sizes.map((bytes, i) => ({ bytes, drop: () => void dropped.add(i) }))
      const total = () => model.reduce((sum, i) => sum + (sizes[i] as number), 0)
      for (const [i, uses] of steps) {
        const page = pages[i] as KeptPage
        const before = model
        model = model.filter(other => other !== i)
        dropped.clear()
        if (uses) {
          model.push(i)
          while (total() > limit) model.shift()
          budget.use(page)
          const gone = [...before, i].filter(one => !model.includes(one))
          assert.deepEqual([...dropped].sort(), [...new Set(gone)].sort())
        } else {
          budget.release(page)
          assert.equal(dropped.size, 0)
        }
        assert.equal(budget.bytes, total())
        assert.ok(budget.bytes <= limit)
      }
    },
  )
  fc.assert(property, { seed: seedOf(t) })
})

t.test('subscribers at one cursor share a page while it is read', async t => {
  const { epoch, head, reads, make } = await filled(t, 1)
  const budget = new PageBudget(BUDGET)
  const pages = make(budget)
  const [one, other] = await Promise.all([pages.raw(epoch, 10, head), pages.raw(epoch, 10, head)])
  t.equal(one, other)
  t.equal(reads.count, 1)
  const [folded, again] = await Promise.all([pages.folded(epoch, 10, head), pages.folded(epoch, 10, head)])
  t.equal(folded, again)
  t.equal(folded?.encoded(websocket), again?.encoded(websocket), 'folded and encoded once')
  t.equal(reads.count, 2, 'it is not kept')
  t.equal(budget.bytes, 0)
})

t.test('a page that ends where the log ended is read again when the log has grown', async t => {
  const { epoch, make } = await filled(t, 1)
  const pages = make(new PageBudget(BUDGET))
  t.equal((await pages.raw(epoch, 0, 5))?.last, 5)
  t.equal((await pages.raw(epoch, 0, 9))?.last, 9)
  t.equal((await pages.raw(epoch, 0, 7))?.last, 7, 'and one that goes too far')
  const [full, same, short] = await Promise.all([
    pages.raw(epoch, 0, EVENTS),
    pages.raw(epoch, 0, EVENTS - 1),
    pages.raw(epoch, 0, 5),
  ])
  t.ok(full && full.last < EVENTS, 'a full page')
  t.equal(same, full, 'is the same wherever the log ends')
  t.equal(short?.last, 5, 'but not when it goes too far')
  t.equal((await pages.raw(epoch, 0, 5))?.last, 5)
})

t.test('a page whose read failed is read again', async t => {
  const { epoch, head, reads, make } = await filled(t, 1)
  const pages = make(new PageBudget(BUDGET))
  reads.fail = true
  await t.rejects(Promise.resolve(pages.raw(epoch, 10, head)), /away/)
  reads.fail = false
  t.ok(await pages.raw(epoch, 10, head))
})

t.test('a page of large events that only one subscriber reads is not kept', async t => {
  const { epoch, head, reads, make } = await filled(t, 1, 500_000, 3)
  const budget = new PageBudget(4_000_000)
  const pages = make(budget)
  for (let cursor = 0; cursor < head; cursor++) await pages.raw(epoch, cursor, head)
  t.equal(reads.count, 3)
  t.ok(budget.bytes < 10_000, `${budget.bytes} bytes are kept`)
  pages.close()
  t.equal(budget.bytes, 0)
})

t.test('a page of large events that two ask for is kept within the budget, and encoded once', async t => {
  const { epoch, head, reads, make } = await filled(t, 1, 500_000, 3)
  const budget = new PageBudget(4_000_000)
  const pages = make(budget)
  const twice = (cursor: number) =>
    Promise.all([pages.raw(epoch, cursor, head), pages.raw(epoch, cursor, head)]).then(([page]) => page)
  const first = await twice(0)
  t.equal(await pages.raw(epoch, 0, head), first)
  t.equal(await pages.folded(epoch, 0, head), first, 'of which nothing can be folded')
  t.equal(reads.count, 1)
  t.ok(budget.bytes > 1_500_000, `${budget.bytes} bytes are kept`)

  await pages.raw(epoch, 1, head)
  const later = await pages.raw(epoch, 1, head)
  t.equal(reads.count, 3, 'it is read again for the second who asks after the reading')
  t.equal(await pages.raw(epoch, 1, head), later)
  t.equal(reads.count, 3, 'and is kept from then on')

  await pages.raw(epoch, 0, head)
  await twice(2)
  t.equal(reads.count, 4)
  t.ok(budget.bytes < 4_000_000)
  t.equal(await pages.raw(epoch, 0, head), first, 'what was used lately is still there')
  await pages.raw(epoch, 1, head)
  t.equal(reads.count, 5, 'the oldest had to go')

  const reading = pages.raw(epoch, 1, 2)
  pages.close()
  t.equal((await reading)?.last, 2)
  t.equal(budget.bytes, 0, 'who is closed keeps nothing')
})

t.test('a kept page that ends where the log ended makes room for the page that was read next', async t => {
  const { epoch, reads, make } = await filled(t, 1, 20_000, 3)
  const budget = new PageBudget(BUDGET)
  const pages = make(budget)
  const twice = (through: number) =>
    Promise.all([pages.raw(epoch, 0, through), pages.raw(epoch, 0, through)]).then(([page]) => page)
  t.equal((await twice(1))?.last, 1)
  const { bytes } = budget
  t.ok(bytes > 60_000, `${bytes} bytes are kept`)
  t.equal((await twice(2))?.last, 2)
  t.equal(reads.count, 2)
  t.ok(budget.bytes < 2.1 * bytes, 'the first is not counted any more')
  pages.close()
  t.equal(budget.bytes, 0)
})
