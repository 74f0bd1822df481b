import t from 'tap'
import { median, quantile, ratio, slope, spread, trimmed } from '../stats.ts'

t.test('a quantile is interpolated between the samples around it', async t => {
  t.equal(quantile([4, 1, 3, 2], 0), 1)
  t.equal(quantile([4, 1, 3, 2], 1), 4)
  t.equal(quantile([4, 1, 3, 2], 0.5), 2.5)
  t.equal(quantile([10, 20], 0.25), 12.5)
  t.equal(quantile([7], 0.9), 7)
})

t.test('a quantile of no samples throws', async t => {
  t.throws(() => quantile([], 0.5), RangeError)
})

t.test('samples are not reordered in place', async t => {
  const samples = [3, 1, 2]
  t.equal(median(samples), 2)
  trimmed(samples, 0.4)
  t.same(samples, [3, 1, 2])
})

t.test('trimming takes the same number of samples from each end', async t => {
  t.same(trimmed([10, 1, 9, 2, 8, 3, 7, 4, 6, 5], 0.1), [2, 3, 4, 5, 6, 7, 8, 9])
  t.same(trimmed([3, 1, 2], 0.1), [1, 2, 3])
  t.same(trimmed([2, 1], 0.5), [1, 2], 'but never all of them')
})

t.test('a spread is median and quartiles after trimming', async t => {
  const outlier = [1000, 1, 2, 3, 4, 5, 6, 7, 8, -1000]
  t.same(spread(outlier), { low: 2.75, median: 4.5, high: 6.25, samples: 8 })
  t.same(spread([5]), { low: 5, median: 5, high: 5, samples: 1 })
})

t.test('a ratio is made within each group, so noise that affects both cancels out', async t => {
  const groups = [1, 10, 100].map(noise => ({ a: 2 * noise, b: 4 * noise }))
  t.same(ratio(groups, 'a', 'b'), { low: 0.5, median: 0.5, high: 0.5, samples: 3 })
})

t.test('groups that lack one of the two are left out of a ratio', async t => {
  t.equal(ratio([{ a: 1 }, { a: 1, b: 2 }, { b: 5 }], 'a', 'b').samples, 1)
  t.throws(() => ratio([{ a: 1 }], 'a', 'b'), RangeError)
})

t.test('a slope does not depend on the intercept', async t => {
  const line = [0, 1000, 5000].map(x => ({ x, y: 70e6 + 12_288 * x }))
  t.ok(Math.abs(slope(line) - 12_288) < 1e-6)
  t.equal(
    slope([
      { x: 0, y: 0 },
      { x: 1, y: 3 },
      { x: 2, y: 0 },
    ]),
    0,
  )
  t.throws(() => slope([{ x: 1, y: 1 }]), RangeError)
})
