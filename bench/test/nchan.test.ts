/** Nchan as a peer: all its subscribers get every event, and its CPU is counted. */
import t from 'tap'
import type { CommandLoadHandlers } from '../load/command-load-process.ts'
import { hasNchan, noNchan, startNchan } from '../peers/nchan.ts'
import { comparePaced } from '../scenarios/fanout-paced.ts'
import { startWorker } from '../worker.ts'

t.setTimeout(0)
const options = { skip: hasNchan() ? false : noNchan }

t.test('the paced part of fanout measures it beside ours', options, async t => {
  const sizes = { subscribers: 20, rounds: 1, turns: 10, turnsPerSecond: 20 }
  const { tables, checks } = await comparePaced(sizes, () => {})
  t.equal(checks.length, 4)
  for (const { what, holds } of checks) t.ok(holds, what)
  t.equal(tables.length, 2)
  for (const { rows } of tables) for (const [name, cpu] of rows) t.ok((cpu as number) > 0, `${name}: ${cpu}`)
})

t.test('members of a room get what one of them posts, once each', options, async t => {
  const nchan = await startNchan()
  t.teardown(() => nchan.stop())
  await using load = startWorker<CommandLoadHandlers>('load/command-load-process')
  await load.call.open({ server: 'nchan', port: nchan.port, sessions: 3, members: 4 })
  const before = nchan.cpuUs()
  t.match(await load.call.work('post', 20, 4), { count: 60, delivered: 240, faults: 0 })
  t.ok(nchan.cpuUs() > before)
  await load.call.close()
})
