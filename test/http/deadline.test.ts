/** Deadlines of a process that stood still. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { startDeadline } from '../../src/http/deadline.ts'

t.test('what came in time but was not read holds a deadline off', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  const outcome = new Promise(resolve => {
    const cancel = startDeadline(50, () => resolve('late'))
    socket.once('data', () => {
      cancel()
      resolve('read')
    })
  })
  client.write('x')
  // The whole process stands still until the deadline is over.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  t.equal(await outcome, 'read')
})

t.test('a deadline is over when nothing came, and is cancelled until then', async t => {
  const cancel = startDeadline(1, () => t.fail('it was cancelled'))
  cancel()
  await new Promise<void>(resolve => startDeadline(5, resolve))
})
