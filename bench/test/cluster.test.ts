/** The scenario `cluster`: a small run fills sessions over one master and over three, and each holds what was written. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { Progress } from '../progress.ts'
import { noRedis } from '../redis.ts'
import { measureCluster } from '../scenarios/cluster.ts'

t.setTimeout(0)

const isThere = !spawnSync('redis-server', ['--version']).error

t.test('one master and three', { skip: isThere ? false : noRedis }, async t => {
  const sizes = { writers: 2, sessions: 6, events: 500, perCall: 10, inFlight: 16 }
  const { tables, checks } = await measureCluster(sizes, { quick: true, rounds: 1 }, new Progress('cluster'))
  t.equal(checks.length, 2)
  for (const { what, holds } of checks) t.ok(holds, what)
  for (const [masters, rate, , gain, , writers] of tables[0]?.rows ?? []) {
    for (const figure of [rate, gain, writers]) t.ok((figure as number) > 0, `${masters}: ${figure}`)
  }
})
