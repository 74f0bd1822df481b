/** The door: one hook that every route, upgrade and command passes. */
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import type { Action } from '../../src/auth/actions.ts'
import type { Authorize } from '../../src/auth/authorize.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { createServer } from '../../src/server.ts'
import { fetchPage, openSse, openWs, WsClient } from '../fixtures/wire-clients.ts'
import { type Answer, call, command, ingest, post, serve } from '../fixtures/wire-server.ts'

const userOf = (request: FastifyRequest) => request.headers['x-user']

/** Everybody is who they say; `guest` may only look, and nobody sees sessions that begin with `hidden`. */
const byName: Authorize = (request, { action, sessionId }) => {
  const id = userOf(request)
  if (typeof id !== 'string') throw new TwinrailError('unauthorized', 'send X-User')
  const looking: Action[] = ['connect', 'session.list', 'session.read', 'subscribe', 'agents.list']
  if (id === 'guest' && !looking.includes(action)) return undefined
  if (sessionId?.startsWith('hidden') && id !== 'owner') return undefined
  return { id }
}

const as = (user: string) => ({ 'x-user': user })

t.test('every route asks the hook before anything else happens', async t => {
  const asked: [Action, string | undefined][] = []
  const { url } = await serve(t, {
    authorize(_request, { action, sessionId }) {
      asked.push([action, sessionId])
      return undefined
    },
  })
  const start = { type: 'run.start', agent: 'script', input: { events: [] } }
  const cases: [Action, () => Promise<Answer>][] = [
    ['session.create', () => post(`${url}/v1/sessions`, { sessionId: 's' })],
    ['session.list', () => call(`${url}/v1/sessions`)],
    ['session.read', () => call(`${url}/v1/sessions/s`)],
    ['session.delete', () => call(`${url}/v1/sessions/s`, { method: 'DELETE' })],
    ['subscribe', () => call(`${url}/v1/sessions/s/events`, { headers: { accept: 'text/event-stream' } })],
    ['subscribe', () => call(`${url}/v1/sessions/s/events`, { headers: { accept: 'application/json' } })],
    ['ingest', () => ingest(url, 's', { type: 'x.a', data: 1 })],
    ['agents.list', () => call(`${url}/v1/agents`)],
    ['run.start', () => command(url, 's', start)],
    ['run.start', () => command(url, 's', start, { accept: 'text/event-stream' })],
    ['run.cancel', () => command(url, 's', { type: 'run.cancel', runId: 'r' })],
    ['input.answer', () => command(url, 's', { type: 'input.answer', requestId: 'q', value: 1 })],
    ['input.steer', () => command(url, 's', { type: 'input.steer', runId: 'r', text: 'x' })],
    ['publish', () => command(url, 's', { type: 'publish', event: { type: 'x.a', data: 1 } })],
  ]
  for (const [action, ask] of cases) {
    asked.length = 0
    const { status, body } = await ask()
    t.equal(status, 403, action)
    t.equal(body.error?.code ?? body.code, 'forbidden')
    t.equal(asked[0]?.[0], action)
    if (!['session.list', 'agents.list'].includes(action))
      t.equal(asked[0]?.[1], 's', `${action} names the session`)
  }
  const socket = await openWs(t, url)
  t.equal((await socket.nextOf('closing')).code, 'forbidden')
  t.equal((await socket.closed).code, 4403, 'a WebSocket is told by its close code')
})

t.test('events have the principal that caused them, and single actions can be refused', async t => {
  const { url, server } = await serve(t, { authorize: byName })
  t.equal((await call(`${url}/v1/sessions`)).status, 401)
  t.equal((await openWs(t, url).then(ws => ws.closed)).code, 4401)

  t.equal((await post(`${url}/v1/sessions`, { sessionId: 's' }, as('ann'))).status, 201)
  t.equal((await post(`${url}/v1/sessions`, { sessionId: 'hidden1' }, as('owner'))).status, 201)
  await command(url, 's', { type: 'publish', event: { type: 'x.a', data: 1 } }, as('ann'))
  const { body } = await command(url, 's', { type: 'publish', event: { type: 'x.a', data: 1 } }, as('guest'))
  t.match(body, { type: 'nack', code: 'forbidden', retryable: false })
  const page = await server.journal.read('s', 0, { events: 10, bytes: 1e6 })
  t.strictSame(
    page?.events.map(({ event }) => event.by),
    ['ann'],
    'what was refused is not there',
  )

  const seen = async (user: string) => {
    const { body } = await call(`${url}/v1/sessions`, { headers: as(user) })
    return body.sessions?.map(({ sessionId }) => sessionId)
  }
  t.strictSame(await seen('guest'), ['s'])
  t.strictSame(await seen('owner'), ['hidden1', 's'])

  const socket = await WsClient.open(url, [], { headers: as('guest') })
  t.teardown(() => socket.close())
  t.match(await socket.command({ type: 'subscribe', sessionId: 's' }), { type: 'ack' })
  t.match(await socket.command({ type: 'subscribe', sessionId: 'hidden1' }), {
    type: 'nack',
    code: 'forbidden',
  })
  t.match(await socket.command({ type: 'subscribe', sessionId: 's', lag: 'wait' }), { code: 'forbidden' })
  t.match(await socket.command({ type: 'run.cancel', sessionId: 's', runId: 'r' }), { code: 'forbidden' })
  const other = await openSse(t, `${url}/v1/sessions/s/events`, { headers: as('guest') })
  await other.until('caught-up')
  await t.rejects(fetchPage(url, 'hidden1', {}), /401/)
})

t.test('a hook that throws is answered as internal, without the error’s text', async t => {
  const { url } = await serve(t, {
    authorize() {
      throw new Error('secret of the hook')
    },
  })
  const { status, body } = await call(`${url}/v1/sessions`)
  t.equal(status, 500)
  t.notMatch(JSON.stringify(body), /secret/)
  t.equal((await openWs(t, url).then(ws => ws.closed)).code, 4500)
})

t.test('listed origins get CORS and may use every route; others none', async t => {
  const origin = 'https://app.example.com'
  const { url } = await serve(t, { origins: [origin] })
  const listed = await fetch(`${url}/v1/agents`, { headers: { origin } })
  t.equal(listed.status, 200)
  t.equal(listed.headers.get('access-control-allow-origin'), origin)
  const preflight = await fetch(`${url}/v1/sessions/s/commands`, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    },
  })
  t.ok(preflight.ok, 'the preflight passes')
  t.match(preflight.headers.get('access-control-allow-headers') ?? '', /content-type/i)
  await post(`${url}/v1/sessions`, { sessionId: 's' })
  const stream = await openSse(t, `${url}/v1/sessions/s/events`, { headers: { origin } })
  t.equal(stream.headers['access-control-allow-origin'], origin, 'on a stream, too')
  t.equal(stream.headers.vary, 'Accept, Origin')
  const foreign = await fetch(`${url}/v1/agents`, { headers: { origin: 'https://evil.example' } })
  t.equal(foreign.status, 403)
  const own = await fetch(`${url}/v1/agents`, { headers: { origin: url } })
  t.equal(own.status, 200, 'its own pages may')
})

t.test('nothing listens beyond loopback without a hook or an explicit word', async t => {
  const server = await createServer()
  t.teardown(() => server.close({ graceMs: 0 }))
  await t.rejects(server.listen({ host: '0.0.0.0', port: 0 }), /refusing to listen on 0\.0\.0\.0/)
  const hooked = await createServer({ authorize: byName })
  t.teardown(() => hooked.close({ graceMs: 0 }))
  const address = await hooked.listen({ host: '0.0.0.0', port: 0 })
  const { port } = new URL(address)
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`, { headers: { host: 'app.example.com' } })
  t.equal(answer.status, 200, 'any Host will do there')
})
