/** The scenario `processes`: a small run measures both, and every subscriber has every event. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { Progress } from '../progress.ts'
import { noRedis } from '../redis.ts'
import { measureProcesses } from '../scenarios/processes.ts'

t.setTimeout(0)

const isThere = !spawnSync('redis-server', ['--version']).error

t.test('one and two processes on one Redis', { skip: isThere ? false : noRedis }, async t => {
  const sizes = { sessions: 4, subscribers: 8, events: 40, perSecond: 40 }
  const { tables, checks } = await measureProcesses(
    sizes,
    { quick: true, rounds: 1 },
    new Progress('processes'),
  )
  t.equal(checks.length, 2)
  for (const { what, holds } of checks) t.ok(holds, what)
  for (const [name, cpu, , part, p50, p99] of tables[0]?.rows ?? []) {
    for (const figure of [cpu, part, p50, p99]) t.ok((figure as number) > 0, `${name}: ${figure}`)
  }
})
