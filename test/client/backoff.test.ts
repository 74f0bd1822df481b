import { getEventListeners } from 'node:events'
import t from 'tap'
import { backoffMs, defaultBackoff, sleep } from '../../client/index.ts'

const longest = { random: () => 1 }

t.test('the bound doubles from one second up to thirty', async t => {
  const bounds = [0, 1, 2, 3, 4, 5, 6, 60].map(failures => backoffMs(failures, 0, longest))
  t.same(bounds, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
})

t.test('jitter is of the whole bound, after the cap', async t => {
  t.equal(backoffMs(9, 0, { random: () => 0 }), 0)
  t.equal(backoffMs(9, 0, { random: () => 0.5 }), 15_000)
})

t.test('waits are longer than the floor, and differ', async t => {
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

t.test('by default it retries without limit, at random intervals', async t => {
  t.strictSame(defaultBackoff, {
    baseMs: 1000,
    capMs: 30_000,
    attempts: Number.POSITIVE_INFINITY,
    stableMs: 5000,
    random: Math.random,
  })
})

t.test('sleep frees its timer, the listener of its signal and what would end it early', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  const stop = new AbortController()
  let stopped = 0
  let end = () => {}
  const early = (given: () => void) => {
    end = given
    return () => {
      stopped++
    }
  }
  const listeners = () => getEventListeners(stop.signal, 'abort').length

  await sleep(1, stop.signal, early)
  t.strictSame([stopped, listeners(), timers()], [1, 0, before], 'when it was over')

  const ended = sleep(60_000, stop.signal, early)
  t.strictSame([listeners(), timers()], [1, before + 1])
  end()
  await ended
  t.strictSame([stopped, listeners(), timers()], [2, 0, before], 'when it was ended')

  const endless = sleep(60_000, undefined, early)
  end()
  await endless
  t.strictSame([stopped, timers()], [3, before], 'without a signal')

  const aborted = sleep(60_000, stop.signal, early)
  stop.abort(new Error('enough'))
  await t.rejects(aborted, /enough/)
  t.strictSame([stopped, listeners(), timers()], [4, 0, before], 'when it was aborted')

  await t.rejects(sleep(60_000, stop.signal, early), /enough/)
  t.strictSame([stopped, listeners(), timers()], [4, 0, before], 'when it never began')
})
