/** Two principals whose producers have the same id. */
import t from 'tap'
import { createServer } from '../../src/server.ts'

t.test('producers of two principals with the same id are numbered separately', async t => {
  const server = await createServer()
  t.teardown(() => server.close({ graceMs: 0 }))
  const event = (data: number) => ({ type: 'x.n', data })
  const producer = { id: 'p', seq: 1 }
  const ann = await server.sessions.ingest('s', [event(1), event(2)], { id: 'ann' }, producer)
  const bob = await server.sessions.ingest('s', [event(3)], { id: 'bob' }, producer)
  t.not(bob.first, ann.first)
  const again = await server.sessions.ingest('s', [event(1), event(2)], { id: 'ann' }, producer)
  t.equal(again.count, 2)
  const page = await server.journal.read('s', 0, { events: 10, bytes: 1e6 })
  t.strictSame(
    page?.events.map(({ event }) => event.data),
    [1, 2, 3],
  )
})
