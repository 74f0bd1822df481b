/** The scenario `dialects`: a quick run is complete, and its check of events finds what is missing. */
import t from 'tap'
import type { DialectReaderHandlers } from '../load/dialect-reader-process.ts'
import { Progress } from '../progress.ts'
import { dialects } from '../scenarios/dialects.ts'
import type { DialectsHandlers } from '../server/dialects-process.ts'
import { startWorker } from '../worker.ts'

t.setTimeout(0)

t.test('a quick run measures every form, and every event arrives', async t => {
  const { checks, tables } = await dialects({ quick: true, rounds: 1 }, new Progress('dialects'))
  t.match(checks, [{ holds: true }])
  const [streams] = tables
  t.equal(streams?.rows.length, 12)
  for (const [name, cpu] of streams?.rows ?? []) t.ok(Number.isFinite(cpu), `${name}: ${cpu}`)
})

t.test('a stream that lacks events is found', async t => {
  await using server = startWorker<DialectsHandlers>('server/dialects-process')
  await using reader = startWorker<DialectReaderHandlers>('load/dialect-reader-process')
  const { twinrail } = await server.call.urls()
  await server.call.prepare(150, 1)
  t.match(await reader.call.read(twinrail, 'ag-ui', 'a', 151), /"" where "w150 " is due/)
})
