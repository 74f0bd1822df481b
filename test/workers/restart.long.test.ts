/** A worker's runs outlive the server: it is stopped, or it dies, and starts again. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { defineAgent } from '../../client/worker/index.ts'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import { createServer } from '../../src/server.ts'
import { freePort } from '../fixtures/redis-server.ts'
import { fetchPage } from '../fixtures/wire-clients.ts'
import { eventually, startRun, terminalOf } from '../fixtures/wire-server.ts'
import { work } from './stage.ts'

t.test('a run goes on while its server is stopped and started again', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const port = await freePort()
  const start = async () => {
    const server = await createServer({ log: await openLmdbLog({ folder }), logger: false, spreadMs: 50 })
    return { server, url: await server.listen({ port }) }
  }
  let { server, url } = await start()
  t.teardown(() => server.close({ graceMs: 0 }))

  let count = 0
  let isOver = false
  const counting = defineAgent({
    name: 'counting',
    description: 'Counts.',
    input: z.object({}),
    async *run() {
      while (!isOver) {
        yield { type: 'x.count', data: { i: count++ } }
        await new Promise(resolve => setTimeout(resolve, 1))
      }
    },
  })
  const worker = await work(t, url, { agents: [counting] })
  const run = await startRun(url, 's', 'counting', {})
  for (let restart = 0; restart < 3; restart++) {
    const before = count
    await eventually(t, 'it counts', () => count > before + 50)
    await server.close({ graceMs: 20 })
    ;({ server, url } = await start())
  }
  const before = count
  await eventually(t, 'it counts again', () => count > before + 200)
  isOver = true
  t.equal((await terminalOf(url, 's', run)).type, 'run.completed')
  const counted: unknown[] = []
  for (let after: string | undefined; ; ) {
    const page = await fetchPage(url, 's', { run, after, replay: 'full' })
    counted.push(...page.events.filter(({ type }) => type === 'x.count').map(({ data }) => data))
    if (page.caughtUp) break
    after = page.next
  }
  t.same(
    counted,
    Array.from({ length: count }, (_, i) => ({ i })),
    `${count} events, each once`,
  )
  await worker.stop()
})
