/** The open connections and what a stop does with them. */
import t from 'tap'
import type { TwinrailError } from '../../src/protocol/index.ts'
import { type Connection, Connections } from '../../src/transports/connections.ts'

function connection(connections: Connections, id = 'c') {
  const reasons: TwinrailError[] = []
  const made: Connection & { reasons: TwinrailError[] } = {
    transport: 'sse',
    id,
    principal: 'ann',
    sentBytes: 0,
    waitingBytes: 0,
    subscriptions: 1,
    reasons,
    close(reason) {
      reasons.push(reason)
      connections.remove(made)
    },
  }
  connections.add(made)
  return made
}

t.test('a stopping server refuses connections, and closeAll closes the open ones', async t => {
  const connections = new Connections(1000)
  const [one, gone] = [connection(connections), connection(connections)]
  connections.remove(gone)
  t.same([...connections], [one])
  connections.mustBeOpen()
  t.notOk(connections.stopping)
  connections.stop()
  t.ok(connections.stopping)
  t.throws(() => connections.mustBeOpen(), { code: 'restart' })
  t.same(one.reasons, [], 'it may go on for now')
  connections.closeAll()
  t.match(one.reasons, [{ code: 'restart' }])
  t.same(gone.reasons, [])
  t.same([...connections], [])
})

t.test('an open connection is found by its id', async t => {
  const connections = new Connections(1000)
  const [first, second] = [connection(connections, 'first'), connection(connections, 'second')]
  t.equal(connections.find('second'), second)
  t.equal(connections.find('first'), first)
  t.equal(connections.find('third'), undefined)
  connections.remove(first)
  t.equal(connections.find('first'), undefined)
})

t.test('requests that wait are let go with the connections, and at once after that', async t => {
  const connections = new Connections(1000)
  const released: string[] = []
  connections.wait(() => released.push('waits'))
  const over = connections.wait(() => released.push('is over'))
  over()
  t.same(released, [])
  connections.stop()
  t.same(released, [], 'a stop alone does not')
  connections.closeAll()
  t.same(released, ['waits'])
  connections.wait(() => released.push('late'))
  t.same(released, ['waits', 'late'])
})

t.test('clients get different times to reconnect within the spread', async t => {
  const connections = new Connections(1000)
  const times = Array.from({ length: 200 }, () => connections.restart().retryAfterMs as number)
  t.ok(Math.min(...times) >= 0 && Math.max(...times) <= 1000)
  t.ok(Math.max(...times) - Math.min(...times) > 500, 'not all at once')
  t.ok(times.every(Number.isInteger))
  t.equal(new Connections(0).restart().retryAfterMs, 0)
})
