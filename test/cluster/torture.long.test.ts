/** Short tortures: a cut now and then on one node; three nodes and their Redis, killed and paused. */
import t, { type Test } from 'tap'
import type { Agent } from '../../src/agents/agent.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { noRedis } from '../fixtures/redis-server.ts'
import { counting } from '../fixtures/resumable.ts'
import { torture } from '../fixtures/torture.ts'
import type { TortureResult } from '../fixtures/torture-scene.ts'
import { troubleCluster } from '../fixtures/torture-stages.ts'
import { agents, serve } from '../fixtures/wire-server.ts'

function tell(t: Test, { flaws, ...figures }: TortureResult): void {
  t.same(flaws, [])
  t.comment(JSON.stringify(figures))
}

const cluster = { times: 1, sessions: 2, clients: 5 }

t.test('clients cut off again and again have the whole log, once and in order', async t => {
  const { url } = await serve(t, { agents: [...agents, counting] as Agent[] })
  const result = await torture({
    seed: seedOf(t),
    urls: [url],
    sessions: 2,
    events: 1500,
    clients: 8,
    stretch: 150,
    runs: true,
  })
  tell(t, result)
  t.equal(result.delivered, result.events * 8)
  t.ok(result.cuts > 50, `${result.cuts} cuts`)
  t.ok(result.switches > 20, `${result.switches} switches`)
})

t.test('also while nodes and Redis are killed and paused', { skip: noRedis }, async t => {
  const result = await troubleCluster(t, { seed: seedOf(t), ...cluster }, false)
  tell(t, result)
  t.equal(result.delivered, result.events * cluster.clients)
  t.equal(result.resets, 0, 'nothing was lost, so nobody is reset')
})

t.test('and while Redis forgets', { skip: noRedis }, async t => {
  const result = await troubleCluster(t, { seed: seedOf(t), ...cluster }, true)
  tell(t, result)
  t.ok(result.resets > 0, 'something was lost')
  t.equal(result.epochs, 1 + cluster.times, 'one new epoch each time')
})
