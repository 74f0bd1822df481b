/** The network of the example `training`: it learns, and its seed determines everything. */
import t from 'tap'
import { parseMessage } from '../../examples/training/events.ts'
import { Network, seeded, spirals } from '../../examples/training/network.ts'

function train(seed: number, steps: number): number[] {
  const random = seeded(seed)
  const points = spirals(60, 0.03, random)
  const network = new Network([8, 8], random)
  return Array.from({ length: steps }, () => network.learn(points, 0.03).loss)
}

t.test('the gradient is that of the loss', async t => {
  const random = seeded(3)
  const points = spirals(20, 0.05, random)
  // One step down the slope makes the loss smaller, whatever the weights.
  for (let seed = 1; seed <= 20; seed++) {
    const network = new Network([6, 5], seeded(seed))
    const before = network.learn(points, 0.001).loss
    t.ok(network.measure(points).loss < before, `seed ${seed}`)
  }
})

t.test('it learns, and the same seed gives the same curve', async t => {
  const curve = train(1, 300)
  t.ok(curve.at(-1)! < curve[0]! / 4, `${curve[0]} to ${curve.at(-1)}`)
  t.same(train(1, 300), curve)
  t.notSame(train(2, 3), curve.slice(0, 3))
})

t.test('messages of people', async t => {
  t.same(parseMessage('pause'), { paused: true })
  t.same(parseMessage('resume'), { paused: false })
  t.same(parseMessage('rate 0.03'), { learningRate: 0.03 })
  for (const text of ['', 'rate', 'rate 2', 'rate 0', 'rate 1e3', 'stop', 'pause now']) {
    t.equal(parseMessage(text), undefined, text)
  }
})
