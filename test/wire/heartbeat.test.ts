/** The clock that writes note their time by. */
import t from 'tap'
import { Heartbeats } from '../../src/transports/heartbeat.ts'
import { eventually } from '../fixtures/wire-server.ts'

t.test(
  'what a write notes is never in the past: not before the first connection, nor after the last',
  async t => {
    const heartbeats = new Heartbeats()
    const connection = { wroteAt: 0, heartbeatMs: 60_000, beat: () => t.fail('it was written to just now') }
    for (let i = 0; i < 2; i++) {
      const before = heartbeats.now()
      connection.wroteAt = heartbeats.lately
      t.ok(connection.wroteAt >= before, 'nothing ticks')
      heartbeats.add(connection)
      const noted = heartbeats.lately
      t.ok(noted >= before, 'it ticks')
      await eventually(t, 'a tick later it has moved on', () => heartbeats.lately > noted)
      heartbeats.remove(connection)
      await eventually(t, 'the last tick is over', () => heartbeats.now() > noted + 500)
    }
  },
)
