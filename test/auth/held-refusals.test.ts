/** Refusals by a limit leave no faster than the limit allows uses, and what they occupy is bounded. */
import t from 'tap'
import { HeldRefusals } from '../../src/auth/held-refusals.ts'
import { LimitError } from '../../src/auth/quotas.ts'

const MiB = 1024 * 1024

const refusal = (line: string, everyMs: number, retryAfterMs = everyMs) =>
  new LimitError('too much', { details: {}, retryAfterMs }, line, everyMs)

t.test('those of one line leave one after the other, those of another beside them', async t => {
  const held = new HeldRefusals()
  const left: string[] = []
  const hold = async (name: string, line: string, everyMs: number) => {
    await held.hold(refusal(line, everyMs), 0)
    left.push(name)
  }
  // Those of ann leave after 100, 200 and 300 ms, the only one of bob after 215: these may be late by 80 ms.
  await Promise.all([
    hold('a1', 'ann', 100),
    hold('a2', 'ann', 100),
    hold('a3', 'ann', 100),
    hold('b', 'bob', 215),
  ])
  t.same(left, ['a1', 'a2', 'b', 'a3'])
})

t.test('a held refusal says how long to wait when it leaves', async t => {
  const held = new HeldRefusals()
  const [short, long] = [refusal('ann', 20), refusal('bob', 20, 60_000)]
  await Promise.all([held.hold(short, 0), held.hold(long, 0)])
  t.ok(short.retryAfterMs >= 1 && short.retryAfterMs < 20, `${short.retryAfterMs}`)
  t.ok(long.retryAfterMs < 60_000 && long.retryAfterMs > 30_000, `${long.retryAfterMs}`)
})

t.test('none is held for long, whatever the limit', { timeout: 20_000 }, async t => {
  const held = new HeldRefusals()
  await Promise.all([held.hold(refusal('ann', 3_600_000), 0), held.hold(refusal('ann', 3_600_000), 0)])
  t.pass('both have left')
})

t.test('what there is no room for is not held', async t => {
  const held = new HeldRefusals()
  const waiting = Array.from({ length: 15 }, () => held.hold(refusal('ann', 1e6), MiB))
  const fits = held.hold(refusal('ann', 1e6), MiB / 2)
  let hasLeft = false
  void fits.then(() => {
    hasLeft = true
  })
  await held.hold(refusal('bob', 1e6), MiB)
  t.notOk(hasLeft, 'the one without room leaves before one that fits')
  held.close()
  await Promise.all([...waiting, fits])
})

t.test('all leave when the server stops, and none is held after that', { timeout: 20_000 }, async t => {
  const held = new HeldRefusals()
  const left: string[] = []
  const waiting = held.hold(refusal('ann', 1e6), 0).then(() => left.push('first'))
  const later = new HeldRefusals().hold(refusal('ann', 200), 0).then(() => left.push('later'))
  held.close()
  await Promise.all([waiting, later])
  t.same(left, ['first', 'later'])
  for (let i = 0; i < 100; i++) await held.hold(refusal('ann', 1e6), 0)
})

t.test('the room of those that have left is free again', async t => {
  const held = new HeldRefusals()
  for (let i = 0; i < 40; i++) await held.hold(refusal('ann', 1), MiB)
  const last = refusal('ann', 15, 1000)
  await held.hold(last, MiB)
  t.ok(last.retryAfterMs < 1000, 'it was held')
})
