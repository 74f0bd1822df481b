/** A server on LMDB that is killed again and again: what anybody saw stays, and every run has its end. */
import t from 'tap'
import { seedOf } from '../../src/log/contract/random.ts'
import { killServer } from '../fixtures/torture-stages.ts'

t.test('clients of a server that is killed have exactly the log', async t => {
  const clients = 6
  const { flaws, ...figures } = await killServer(t, { seed: seedOf(t), times: 3, sessions: 2, clients })
  t.comment(JSON.stringify(figures))
  t.same(flaws, [])
  t.equal(figures.delivered, figures.events * clients)
  t.ok(figures.runs['run.failed producer-lost'], 'runs died with their process')
})
