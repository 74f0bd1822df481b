/** The scenario `connections`: a small run is complete, and a server that has lost its log is found. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { IdleLoadHandlers } from '../load/idle-process.ts'
import { freePort } from '../peers/peer.ts'
import { Progress } from '../progress.ts'
import { measureConnections } from '../scenarios/connections.ts'
import type { IdleServerHandlers } from '../server/idle-process.ts'
import { startWorker } from '../worker.ts'

t.setTimeout(0)

t.test('a small run measures each server, and every client comes back with what it missed', async t => {
  const sizes = {
    connections: 100,
    sessions: 10,
    loads: 2,
    restMs: 1500,
    heartbeatMs: 1000,
    settleMs: 100,
    spreadMs: 300,
  }
  const { tables, checks } = await measureConnections(sizes, { quick: true }, new Progress('connections'))
  for (const { what, holds, detail } of checks) t.ok(holds, `${what}: ${detail}`)
  t.equal(checks.length, 4)
  for (const { columns, rows, title } of tables) {
    for (const [name, ...figures] of rows) {
      for (const [i, figure] of figures.entries()) {
        if (typeof figure !== 'number') continue
        const column = columns[i + 1]
        // What so few connections take can be less than what a collection frees meanwhile.
        const isFine = column === 'KiB each' ? Number.isFinite(figure) : figure > 0
        t.ok(isFine, `${title}, ${name}: ${column} ${figure}`)
      }
    }
  }
})

t.test('a server that comes back without its log is found', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-connections-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const options = { heartbeatMs: 1000, sessions: ['a'], spreadMs: 100 }
  const port = await freePort()
  await using clients = startWorker<IdleLoadHandlers>('load/idle-process')
  await using server = startWorker<IdleServerHandlers>('server/idle-process')
  await server.call.start('twinrail', { ...options, port, folder: join(folder, 'a'), events: 3 })
  const wire = 'twinrail WebSocket' as const
  await clients.call.begin({ wire, port, localAddress: '127.0.0.2', spreadMs: 100, heartbeatMs: 1000 }, ['a'])
  await clients.call.grow(4)
  const returned = clients.call.returned()
  await server.call.stop()
  await using other = startWorker<IdleServerHandlers>('server/idle-process')
  await other.call.start('twinrail', { ...options, port, folder: join(folder, 'b'), events: 1 })
  await returned
  t.match(await clients.call.seen(), { current: 4, faults: 4 })
})
