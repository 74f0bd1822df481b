import t from 'tap'
import { backoffMs, sleep } from '../../client/index.ts'

const longest = { random: () => 1 }

t.test('the bound doubles from one second up to thirty', async t => {
  const bounds = [0, 1, 2, 3, 4, 5, 6, 60].map(failures => backoffMs(failures, 0, longest))
  t.same(bounds, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
})

t.test('jitter is of the whole bound, after the cap', async t => {
  t.equal(backoffMs(9, 0, { random: () => 0 }), 0)
  t.equal(backoffMs(9, 0, { random: () => 0.5 }), 15_000)
})

t.test('nobody comes back before the floor, nor all at the floor', async t => {
  t.equal(backoffMs(0, 5000, { random: () => 0 }), 5000)
  t.equal(backoffMs(0, 5000, longest), 6000)
})

t.test('sleep ends with the signal’s reason', async t => {
  const stop = new AbortController()
  const sleeping = sleep(60_000, stop.signal)
  stop.abort(new Error('enough'))
  await t.rejects(sleeping, /enough/)
  await t.rejects(sleep(60_000, stop.signal), /enough/)
  await sleep(1)
})
