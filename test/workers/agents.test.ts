/** The agents of workers that a node knows. */
import t from 'tap'
import type { WorkerAgent } from '../../src/protocol/index.ts'
import { WorkerAgents } from '../../src/sessions/workers/worker-agents.ts'

const agent = (name: string, description = '') => ({ name, description }) as WorkerAgent

t.test('an agent is known while a connection has it, and for some time after', async t => {
  const kept = new WorkerAgents(60_000)
  kept.join(agent('a'), 1)
  kept.join(agent('a'), 2)
  kept.leave('a')
  t.same(
    [...kept.own()].map(({ agent, at }) => [agent.name, at]),
    [['a', 2]],
    'another connection has it',
  )
  kept.leave('a')
  kept.leave('b')
  t.same([...kept.own()], [])
  t.match(kept.get('a'), { name: 'a' })
  t.equal(kept.get('b'), undefined)

  const forgets = new WorkerAgents(-1)
  forgets.join(agent('a'), 1)
  forgets.heard(agent('b'), 1)
  t.match(forgets.list(), [{ name: 'a' }], 'what another node had is over')
  forgets.leave('a')
  t.equal(forgets.get('a'), undefined)
  t.same(forgets.list(), [])
})

t.test('of several registrations the latest counts', async t => {
  const agents = new WorkerAgents(60_000)
  agents.heard(agent('a', 'second'), 2)
  agents.heard(agent('a', 'first'), 1)
  t.match(agents.get('a'), { description: 'second' })
  agents.heard(agent('a', 'again'), 2)
  t.match(agents.get('a'), { description: 'again' })
})

t.test('a node knows at most 1000', async t => {
  const agents = new WorkerAgents(60_000)
  for (let i = 0; i < 1000; i++) agents.join(agent(`a${i}`), 1)
  t.throws(() => agents.join(agent('more'), 1), {
    code: 'rate-limited',
    message: /knows 1000 agents of workers.*stop some workers/,
    retryAfterMs: 10_000,
    details: { limit: 'agents' },
  })
  agents.heard(agent('more'), 1)
  t.equal(agents.list().length, 1000)
  agents.join(agent('a7'), 2)

  const forgets = new WorkerAgents(-1)
  for (let i = 0; i < 1000; i++) forgets.heard(agent(`a${i}`), 1)
  forgets.join(agent('more'), 1)
  t.equal(forgets.list().length, 1, 'those whose time is over make room')
})
