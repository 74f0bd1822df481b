/** Tickets and revocations between two nodes whose only link is Redis. */
import t from 'tap'
import { createRedisLog } from '../../src/log/redis.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { openSse, WsClient } from '../fixtures/wire-clients.ts'
import { call, post, serve } from '../fixtures/wire-server.ts'
import { admin, bearer, byToken, seconds } from './stage.ts'

t.test('two nodes on one Redis', { skip: noRedis }, async t => {
  const { url: redis } = await RedisServer.start(t)
  const node = async () =>
    serve(t, { authorize: byToken, log: await createRedisLog({ url: redis, warn: () => {} }) })
  const [one, two] = [await node(), await node()]
  const ann = await bearer('ann')
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, ann)
  const eventsOf = (url: string) => `${url}/v1/sessions/s/events`
  const ticketOf = async () =>
    (await post(`${one.url}/v1/tickets`, {}, ann)).body['ticket' as never] as string

  t.test('a ticket of one node is used on both at once: one wins', async t => {
    for (let i = 0; i < 5; i++) {
      const ticket = await ticketOf()
      const statuses = await Promise.all(
        Array.from({ length: 40 }, async (_, n) => {
          const { url } = n % 2 === 0 ? one : two
          const accept = { accept: 'application/json' }
          return (await call(`${eventsOf(url)}?ticket=${ticket}`, { headers: accept })).status
        }),
      )
      t.equal(statuses.filter(status => status === 200).length, 1)
      t.equal(statuses.filter(status => status === 401).length, 39)
    }
  })

  t.test('a revocation on one node ends what is open on the other within a second', async t => {
    const sse = await openSse(t, eventsOf(two.url), { headers: ann })
    const byTicket = await openSse(t, `${eventsOf(two.url)}?ticket=${await ticketOf()}`)
    const socket = await WsClient.open(two.url, [], { headers: ann })
    await socket.nextOf('hello')
    for (const stream of [sse, byTicket]) await stream.until('caught-up')
    const poll = call(`${eventsOf(two.url)}?last=0&wait=30000`, {
      headers: { ...ann, accept: 'application/json' },
    })
    const started = performance.now()
    t.equal((await post(`${one.url}/v1/revocations`, { principal: 'ann' }, await admin())).status, 204)
    for (const stream of [sse, byTicket]) t.match(await stream.nextOf('closing'), { code: 'unauthorized' })
    t.equal((await socket.closed).code, 4401)
    t.equal((await poll).status, 401)
    t.comment(`all had ended after ${Math.round(performance.now() - started)} ms`)
    const three = await node()
    for (const { url } of [one, two, three]) {
      t.equal((await call(`${url}/v1/sessions/s`, { headers: ann })).status, 401)
      const fresh = await bearer('ann', { iat: seconds() + 2 })
      t.equal((await call(`${url}/v1/sessions/s`, { headers: fresh })).status, 200)
    }
    const listed = await call(`${one.url}/v1/sessions`, {
      headers: await bearer('ann', { iat: seconds() + 2 }),
    })
    t.equal(listed.body.sessions?.length, 1)
  })
})
