/** The ids of the memory driver's sessions are in order at any time, so that a list does not sort them. */
import fc from 'fast-check'
import t from 'tap'
import { between, random, seedOf } from '../../src/log/contract/random.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { SortedIds } from '../../src/log/sorted-ids.ts'

t.test('after any additions and removals the ids are in order', async t => {
  const id = fc.string({ minLength: 1, maxLength: 2, unit: fc.constantFrom('a', 'b', 'A', '-', '9') })
  const property = fc.property(fc.array(fc.tuple(fc.boolean(), id)), id, fc.nat(5), (steps, after, limit) => {
    const ids = new SortedIds()
    const held = new Set<string>()
    for (const [adds, one] of steps) {
      if (adds === held.has(one)) continue
      if (adds) ids.add(one)
      else ids.remove(one)
      if (adds) held.add(one)
      else held.delete(one)
    }
    const sorted = [...held].sort()
    const behind = sorted.filter(one => one > after)
    return (
      JSON.stringify([ids.after(undefined, 1000), ids.after(after, limit)]) ===
      JSON.stringify([sorted, behind.slice(0, limit)])
    )
  })
  fc.assert(property, { seed: seedOf(t) })
})

t.test('so they are when there are many', async t => {
  const ids = new SortedIds()
  const next = random(seedOf(t))
  const all = [...new Set(Array.from({ length: 5000 }, () => `s${between(next, 0, 1e9)}`))]
  for (const id of all) ids.add(id)
  const gone = new Set(all.filter(() => next() < 0.8))
  const sorted = [...all].sort()
  t.same(ids.after(undefined, 5000), sorted)
  for (const id of gone) ids.remove(id)
  const left = sorted.filter(id => !gone.has(id))
  t.same(ids.after(undefined, 5000), left)
  for (const id of sorted) {
    const behind = left.filter(one => one > id)
    if (JSON.stringify(ids.after(id, 3)) !== JSON.stringify(behind.slice(0, 3))) t.fail(`after ${id}`)
  }
  for (const id of left) ids.remove(id)
  t.same(ids.after(undefined, 1), [])
})

t.test('the work of a list does not grow with the number of sessions', async t => {
  const quickest = async (sessions: number) => {
    const log = createMemoryLog()
    for (let i = 0; i < sessions; i++) await log.create(`s${i}`, {})
    let best = Infinity
    for (let round = 0; round < 50; round++) {
      const from = performance.now()
      for (let i = 0; i < 4; i++) await log.list('s5', 3)
      best = Math.min(best, performance.now() - from)
    }
    return best
  }
  const [few, many] = [await quickest(100), await quickest(20_000)]
  // Sorting all of them takes more than a thousand times as long.
  t.ok(many < 50 * few, `${many} ms with 20 000 sessions, ${few} ms with 100`)
})
