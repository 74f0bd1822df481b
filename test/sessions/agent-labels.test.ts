/** Names of agents in metrics: bounded, whatever clients ask for. */
import t from 'tap'
import { AgentLabels } from '../../src/sessions/agent-labels.ts'

t.test('own agents and known ones have their names, others are `other`', async t => {
  const known = new Set(['of a worker'])
  const labels = new AgentLabels(['echo'], agent => known.has(agent))
  t.equal(labels.of('echo'), 'echo')
  t.equal(labels.of('of a worker'), 'of a worker')
  t.equal(labels.of('made up'), 'other')
  known.clear()
  t.equal(labels.of('of a worker'), 'of a worker', 'also once its worker is gone')
  known.add('made up')
  t.equal(labels.of('made up'), 'made up', 'once there is such an agent')
})

t.test('there are at most 100 names', async t => {
  const names = Array.from({ length: 150 }, (_, i) => `agent ${i}`)
  const many = new AgentLabels(names, () => true)
  t.same(new Set(names.map(name => many.of(name))).size, 101)
  const grows = new AgentLabels(names.slice(0, 99), () => true)
  t.equal(grows.of('the hundredth'), 'the hundredth')
  t.equal(grows.of('one more'), 'other')
})
