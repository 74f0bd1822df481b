/** What one principal may do at a time, on every transport. */
import t from 'tap'
import { PrincipalUse, principalDefaults } from '../../src/auth/principal-limits.ts'
import { openSse, WsClient } from '../fixtures/wire-clients.ts'
import { byHeader, call, command, eventually, post, serve } from '../fixtures/wire-server.ts'

const ann = { 'x-user': 'ann' }
const bob = { 'x-user': 'bob' }
const event = { type: 'publish', sessionId: 's', event: { type: 'x.a', data: 1 } }

t.test('a principal is refused beyond its burst, and gets its commands again with time', async t => {
  let now = 0
  const use = new PrincipalUse({ ...principalDefaults, commandsPerSecond: 10, commandBurst: 3 }, () => now)
  for (let i = 0; i < 3; i++) use.command('ann')
  t.throws(() => use.command('ann'), { code: 'rate-limited', retryAfterMs: 100 })
  use.command('bob')
  now += 50
  t.throws(() => use.command('ann'), { code: 'rate-limited', retryAfterMs: 50 })
  now += 50
  use.command('ann')
  t.throws(() => use.command('ann'))
  now += 1_000_000
  for (let i = 0; i < 3; i++) use.command('ann')
  t.throws(() => use.command('ann'), { code: 'rate-limited' }, 'a pause gives no more than the burst')
})

t.test('commands count on every transport, and one principal leaves the others alone', async t => {
  const principalLimits = { commandsPerSecond: 0.001, commandBurst: 4 }
  const { url, server } = await serve(t, { authorize: byHeader, principalLimits })
  t.equal((await post(`${url}/v1/sessions`, { sessionId: 's' }, ann)).status, 201)
  t.equal((await command(url, 's', event, ann)).status, 200)
  const socket = await WsClient.open(url, [], { headers: ann })
  t.teardown(() => socket.close())
  t.match(await socket.command(event), { type: 'ack' })
  t.match(
    await socket.command({ type: 'subscribe', sessionId: 's' }),
    { type: 'ack' },
    'reading does not count',
  )
  t.equal(
    (await post(`${url}/v1/sessions/s/events`, { type: 'x.a', data: 1 }, ann)).status,
    200,
    'nor does ingest',
  )
  t.match(await socket.command(event), { type: 'ack' })
  const nack = await socket.command(event)
  t.match(nack, { type: 'nack', code: 'rate-limited', retryable: true })
  t.ok(Number(nack['retryAfterMs']) > 0)
  const refused = await command(url, 's', event, ann)
  t.equal(refused.status, 429)
  t.ok(refused.headers.get('retry-after'))
  t.equal((await post(`${url}/v1/sessions`, {}, ann)).status, 429)
  t.equal((await post(`${url}/v1/tickets`, {}, ann)).status, 429)
  t.equal((await command(url, 's', event, bob)).status, 200)
  t.equal((await server.journal.session('s')).head, 5)
})

t.test('sockets and subscriptions of a principal are counted while they are open', async t => {
  const { url } = await serve(t, { authorize: byHeader, principalLimits: { sockets: 1, subscriptions: 2 } })
  for (const sessionId of ['a', 'b', 'c']) await post(`${url}/v1/sessions`, { sessionId }, ann)
  const socket = await WsClient.open(url, [], { headers: ann })
  await socket.nextOf('hello')
  t.equal((await WsClient.open(url, [], { headers: ann }).then(second => second.closed)).code, 4429)
  await (await WsClient.open(url, [], { headers: bob })).nextOf('hello')
  t.match(await socket.command({ type: 'subscribe', sessionId: 'a' }), { type: 'ack' })
  const stream = await openSse(t, `${url}/v1/sessions/b/events`, { headers: ann })
  await stream.until('caught-up')
  t.match(await socket.command({ type: 'subscribe', sessionId: 'c' }), { code: 'rate-limited' })
  const page = () => call(`${url}/v1/sessions/c/events`, { headers: { ...ann, accept: 'application/json' } })
  t.equal((await page()).status, 429)
  await socket.command({ type: 'unsubscribe', sessionId: 'a' })
  t.equal((await page()).status, 200, 'what was closed is not counted')
  t.match(await socket.command({ type: 'subscribe', sessionId: 'c' }), { type: 'ack' })
  t.equal((await page()).status, 429)
  stream.close()
  await eventually(t, 'the stream is not counted', async () => (await page()).status === 200)
  socket.close()
  await eventually(t, 'the socket is not counted', async () => {
    const next = await WsClient.open(url, [], { headers: ann })
    t.teardown(() => next.close())
    return (await next.next()).message.type === 'hello'
  })
})

t.test('a server where everybody may do everything has no such limits', async t => {
  const { url } = await serve(t, { principalLimits: { commandBurst: 1, commandsPerSecond: 0.001 } })
  for (let i = 0; i < 5; i++) t.equal((await command(url, 's', event)).status, 200)
})
