/** Requests that are ready together start in several turns of the event loop. */
import t from 'tap'
import { Turnstile } from '../../src/http/turnstile.ts'

const nextTurn = () => new Promise(resolve => setImmediate(resolve))

/** Lets requests pass and gives how many have started in each turn, from the one in which they came. */
async function startsByTurn(turnstile: Turnstile, kinds: readonly boolean[], order: number[] = []) {
  let started = 0
  for (const [i, heavy] of kinds.entries()) {
    turnstile.pass(heavy, () => {
      started++
      order.push(i)
    })
  }
  const counts = [started]
  while (order.length < kinds.length) {
    started = 0
    await nextTurn()
    counts.push(started)
  }
  return counts
}

t.test('a few short requests start in each turn, in their order', async t => {
  const order: number[] = []
  const counts = await startsByTurn(new Turnstile(), Array(10).fill(false), order)
  t.same(counts, [4, 4, 2])
  t.same(
    order,
    [...order].sort((a, b) => a - b),
  )
})

t.test('one that reads a page starts in each turn', async t => {
  t.same(await startsByTurn(new Turnstile(), [true, true, true]), [1, 1, 1])
  t.same(await startsByTurn(new Turnstile(), [false, true, false, false]), [2, 2])
})

t.test('who comes alone does not wait, and who comes later does not overtake', async t => {
  const turnstile = new Turnstile()
  for (let i = 0; i < 3; i++) {
    t.same(await startsByTurn(turnstile, [true]), [1])
    await nextTurn()
  }
  const order: number[] = []
  const first = startsByTurn(turnstile, Array(6).fill(false), order)
  let late = 0
  turnstile.pass(false, () => {
    late = order.length
  })
  await first
  await nextTurn()
  t.equal(late, 6)
})
