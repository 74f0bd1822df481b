/** A subscription creates its session, if it asks to and may. */
import t from 'tap'
import { fetchPage, follow, openWs, transports } from '../fixtures/wire-clients.ts'
import { call, command, createSession, serve } from '../fixtures/wire-server.ts'

for (const transport of transports) {
  const create = transport === 'websocket' ? true : 1

  t.test(`${transport}: a session that does not exist yet is created and followed`, async t => {
    const { url } = await serve(t)
    const stream = await follow(t, transport, url, 'new', { create })
    await stream.until('caught-up')
    await command(url, 'new', { type: 'publish', event: { type: 'x.a', data: 1 } })
    t.match((await stream.until('x.a')).at(-1)?.message, { data: 1 })
    const again = await follow(t, transport, url, 'new', { create })
    t.match((await again.until('x.a')).at(-1)?.message, { data: 1 }, 'a session that exists stays as it is')
  })
}

t.test('without create, or with a cursor or a run, a session that does not exist is refused', async t => {
  const { url } = await serve(t)
  await createSession(url, 's')
  const { next } = await fetchPage(url, 's')
  await call(`${url}/v1/sessions/s`, { method: 'DELETE' })
  for (const params of [{}, { create: 1, after: next }, { create: 1, run: 'r' }] as const) {
    await t.rejects(fetchPage(url, 's', params), /session-not-found/, JSON.stringify(params))
  }
  const resumed = await fetch(`${url}/v1/sessions/s/events?create=1`, { headers: { 'last-event-id': next } })
  t.equal(resumed.status, 404, 'an EventSource that comes back does not create again what was deleted')
  const socket = await openWs(t, url)
  const subscribe = { type: 'subscribe', sessionId: 's' }
  t.match(await socket.command(subscribe), { type: 'nack', code: 'session-not-found' })
  t.match(await socket.command({ ...subscribe, create: true }), { type: 'ack' })
  await t.rejects(fetchPage(url, 's2', { create: 'yes' as never }), /expected 1 or 0/)
})

t.test('creating needs its right; following a session that exists does not', async t => {
  const asked: string[] = []
  const { url } = await serve(t, {
    authorize: (_, { action }) => {
      asked.push(action)
      return action === 'session.create' ? undefined : { id: 'ann' }
    },
  })
  await t.rejects(fetchPage(url, 'new', { create: 1 }), /403.*session\.create/)
  const socket = await openWs(t, url)
  const subscribe = { type: 'subscribe', sessionId: 'new', create: true }
  t.match(await socket.command(subscribe), { type: 'nack', code: 'forbidden' })
  t.equal((await fetch(`${url}/v1/sessions/new/events?create=1`)).status, 403)
  await command(url, 'new', { type: 'publish', event: { type: 'x.a', data: 1 } })
  asked.length = 0
  t.equal((await fetchPage(url, 'new', { create: 1 })).events.length, 1)
  t.same(asked, ['subscribe'])
})
