/** Every route and every command is an action, and a refusal does not tell of a session's existence. */
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { type Action, commandActions, groupOf } from '../../src/auth/actions.ts'
import type { Authorize, Wanted } from '../../src/auth/authorize.ts'
import { Command, connectionCommandTypes, TwinrailError } from '../../src/protocol/index.ts'
import { requireActions } from '../../src/routes/actions.ts'
import { openWs, WsClient } from '../fixtures/wire-clients.ts'
import { ask } from '../fixtures/wire-refusals.ts'
import { type Answer, call, command, post, serve } from '../fixtures/wire-server.ts'

/** What a request to each route must hold, beside its method and path. */
const bodies: Record<string, unknown> = {
  'POST /v1/sessions': { sessionId: 's' },
  'PATCH /v1/sessions/:sessionId': { metadata: {} },
  'PUT /v1/sessions/:sessionId/presence': { memberId: 'm' },
  'POST /v1/tickets': {},
  'POST /v1/revocations': { principal: 'ann' },
  'POST /v1/sessions/:sessionId/commands': { id: '1', type: 'run.cancel', runId: 'r' },
  'POST /v1/sessions/:sessionId/events': { type: 'x.a', data: 1 },
}

const queries: Record<string, string> = { 'DELETE /v1/sessions/:sessionId/presence': '?memberId=m' }

const session = { sessionId: 's' }
/** One of each command; `connection` commands are asked for by `connect`. */
const commands: Record<Command['type'], object> = {
  subscribe: session,
  unsubscribe: session,
  window: { ...session, offset: '1-0' },
  ping: { time: 1 },
  auth: { token: 'a' },
  worker: { slots: 1, agents: [] },
  'work.append': { ...session, workId: 'w', seq: 1, events: [{ type: 'x.a', data: 1 }] },
  'run.start': { ...session, agent: 'script', input: { events: [] } },
  'run.cancel': { ...session, runId: 'r' },
  'input.answer': { ...session, requestId: 'q', value: 1 },
  'input.steer': { ...session, runId: 'r', text: 'x' },
  publish: { ...session, event: { type: 'x.a', data: 1 } },
}

/** A path of the route. */
const pathOf = (route: string) =>
  Object.entries({
    ':sessionId': 's',
    ':file': 'a.js',
    ':subscriptionId': '01234567-1',
    ':connectionId': '01234567-89ab-4cde-8f01-23456789abcd',
  }).reduce((path, [name, value]) => path.replace(name, value), route)

/** Whether the route is of a foreign client's protocol. */
const isForeign = (path: string) =>
  /^\/(ai-sdk|ag-ui|openai|web)\//.test(path) || path === '/AutoAgent' || path === '/v1/tool/deepsearch'

/** Allows what `allowed` says, and keeps what was asked. */
async function guarded(t: Test, allowed: (wanted: Wanted) => boolean) {
  const asked: Wanted[] = []
  const wire = await serve(t, {
    inspector: true,
    authorize(_request, wanted) {
      asked.push(wanted)
      return allowed(wanted) ? { id: 'ann' } : undefined
    },
  })
  return { ...wire, asked }
}

t.test('every registered route asks the hook for its action first', async t => {
  const { url, server, asked } = await guarded(t, () => false)
  const walked = new Set<string>()
  for (const { method, url: path, action } of server.routes) {
    if (method === 'HEAD') {
      t.ok(walked.has(`GET ${path}`), `HEAD ${path} is its GET`)
      continue
    }
    const name = `${method} ${path}`
    walked.add(name)
    asked.length = 0
    if (isForeign(path)) {
      // Their bodies decide what they ask for; here only that nothing is done without a right.
      const { status } = await ask(url, { method, path: path.replaceAll(/:\w+/g, 'a') })
      if (action === 'health.read') t.equal(status, 200, `${name} is public`)
      else t.ok(status >= 400, `${name}: ${status}`)
      continue
    }
    if (path === '/v1/ws') {
      const socket = await openWs(t, url)
      t.equal((await socket.closed).code, 4403, name)
    } else {
      const body = bodies[name]
      const { status } = await ask(url, {
        method,
        path: pathOf(path) + (queries[name] ?? ''),
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      if (action !== 'command' && groupOf(action) === 'public') {
        // The page's files need not be built.
        t.ok([200, 308, 404].includes(status), `${name} is public`)
        t.same(asked, [])
        continue
      }
      t.equal(status, 403, name)
    }
    const wanted = action === 'command' ? 'run.cancel' : action
    t.equal(asked[0]?.action, wanted, `${name} asks for ${wanted}`)
    t.equal(asked[0]?.group, groupOf(wanted))
    if (path.includes(':sessionId')) t.equal(asked[0]?.sessionId, 's', `${name} names the session`)
  }
  t.ok(walked.size >= 15, 'the routes were found')
})

t.test('a route without an action cannot be registered', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const routes = requireActions(app)
  t.throws(() => app.get('/v1/new', async () => 1), /GET \/v1\/new has no config.action/)
  app.get('/v1/known', { config: { action: 'subscribe' } }, async () => 1)
  routes.end()
  app.get('/own', async () => 1)
  t.same(
    routes.routes.map(({ method, action }) => [method, action]),
    [
      ['GET', 'subscribe'],
      ['HEAD', 'subscribe'],
    ],
  )
})

t.test('every command of the protocol asks the hook for its action', async t => {
  const types = Command.options.map(({ shape }) => shape.type.value)
  t.same([...types].sort(), Object.keys(commandActions).sort(), 'each command is in the table')
  const { url, asked } = await guarded(t, ({ action }) => action === 'connect')
  const socket = await openWs(t, url)
  await socket.nextOf('hello')
  for (const type of types) {
    asked.length = 0
    const action = commandActions[type]
    if (type === 'ping') {
      socket.send({ type, ...commands[type] })
      t.ok(await socket.nextOf('pong'))
      continue
    }
    const answer = await socket.command({ type, ...commands[type] })
    if (action === 'connection') {
      t.not(answer.code, 'forbidden', `${type} needs no more than the connection`)
      continue
    }
    t.match(answer, { type: 'nack', code: 'forbidden' }, type)
    const on = type === 'worker' ? {} : { sessionId: 's' }
    t.match(asked[0], { action, group: groupOf(action), ...on })
    if (connectionCommandTypes.has(type)) continue
    asked.length = 0
    t.equal((await command(url, 's', { type, ...commands[type] })).status, 403, `${type} over HTTP`)
    t.equal(asked[0]?.action, action)
  }
})

t.test('the hook sees the session, its creator and its metadata', async t => {
  const { url, asked } = await guarded(t, () => true)
  await post(`${url}/v1/sessions`, { sessionId: 's', metadata: { team: 'a' } })
  t.equal(asked[0]?.session, undefined, 'it does not exist yet')
  await call(`${url}/v1/sessions/s`)
  t.match(asked[1], { sessionId: 's', session: { createdBy: 'ann', metadata: { team: 'a' } } })
  for (const [sessionId, body] of [
    ['run', { type: 'run.start', ...commands['run.start'], sessionId: 'run' }],
    ['publish', { type: 'publish', ...commands.publish, sessionId: 'publish' }],
  ] as const) {
    t.equal((await command(url, sessionId, body)).status, 200)
    await call(`${url}/v1/sessions/${sessionId}`)
    t.match(asked.at(-1), { session: { createdBy: 'ann', metadata: {} } }, `made by ${sessionId}`)
  }
  await post(`${url}/v1/sessions/ingest/events`, { type: 'x.a', data: 1 })
  await call(`${url}/v1/sessions/ingest`)
  t.match(asked.at(-1), { session: { createdBy: 'ann' } }, 'made by ingest')
})

/** Everybody may do everything in sessions of their own, and in those that do not exist. */
const ownSessions: Authorize = ({ headers }, { session }) => {
  const id = headers['x-user']
  if (typeof id !== 'string') throw new TwinrailError('unauthorized', 'send X-User')
  return session && session.createdBy !== id ? undefined : { id }
}

t.test('a session of somebody else is answered as one that does not exist', async t => {
  const { url, server } = await serve(t, { authorize: ownSessions })
  const bob = { 'x-user': 'bob' }
  await post(`${url}/v1/sessions`, { sessionId: 'foreign' }, { 'x-user': 'ann' })
  const event = { type: 'x.a', data: 1 }
  await command(url, 'foreign', { type: 'publish', event }, { 'x-user': 'ann' })

  const socket = await WsClient.open(url, [], { headers: bob })
  t.teardown(() => socket.close())
  const http: [string, (id: string) => Promise<Answer>][] = [
    ['state', id => call(`${url}/v1/sessions/${id}`, { headers: bob })],
    ['delete', id => call(`${url}/v1/sessions/${id}`, { method: 'DELETE', headers: bob })],
    ['stream', id => call(`${url}/v1/sessions/${id}/events`, { headers: bob })],
    [
      'page',
      id => call(`${url}/v1/sessions/${id}/events`, { headers: { ...bob, accept: 'application/json' } }),
    ],
    ...Object.entries(commands)
      .filter(([type]) => !['run.start', 'publish'].includes(type) && type !== 'ping' && type !== 'auth')
      .map(([type, body]): [string, (id: string) => Promise<Answer>] => [
        type,
        id => command(url, id, { ...body, type, sessionId: id }, bob),
      ]),
  ]
  for (const [name, send] of http) {
    const [foreign, unknown] = [await send('foreign'), await send('unknown')]
    t.equal(foreign.status, unknown.status, name)
    t.same(withoutIds(foreign.body), withoutIds(unknown.body), name)
  }
  for (const [type, body] of Object.entries(commands)) {
    if (['run.start', 'publish', 'ping', 'auth'].includes(type)) continue
    const send = (sessionId: string) => socket.command({ ...body, type, sessionId })
    t.same(withoutIds(await send('foreign')), withoutIds(await send('unknown')), `${type} on a WebSocket`)
  }
  for (const [type, body] of Object.entries({
    'run.start': commands['run.start'],
    publish: commands.publish,
  })) {
    const { status } = await command(url, 'foreign', { ...body, type, sessionId: 'foreign' }, bob)
    t.equal(status, 403, `${type} would create a session, so it is told that it cannot`)
  }
  t.equal((await post(`${url}/v1/sessions`, { sessionId: 'foreign' }, bob)).status, 403)
  const listed = await call(`${url}/v1/sessions`, { headers: bob })
  t.same(listed.body.sessions, [])
  t.equal((await server.journal.session('foreign')).head, 1, 'nothing was changed or deleted')
  await t.rejects(server.journal.session('unknown'), { code: 'session-not-found' }, 'and nothing was made')
})

/** An answer without what names the session or the request. */
function withoutIds(body: unknown): unknown {
  return JSON.parse(
    JSON.stringify(body, (name, value) => (['requestId', 'id'].includes(name) ? 0 : value)).replaceAll(
      /foreign|unknown/g,
      'S',
    ),
  )
}

t.test('a hook that refuses missing sessions as well is answered by its own refusal', async t => {
  const action: Action = 'session.read'
  const { url } = await guarded(t, wanted => wanted.action !== action)
  await post(`${url}/v1/sessions`, { sessionId: 'there' })
  for (const id of ['there', 'missing']) {
    const { status, body } = await call(`${url}/v1/sessions/${id}`)
    t.equal(status, 403)
    t.equal(body.error?.code, 'forbidden')
  }
})

t.test('routes that a server can do without are switched off', async t => {
  const { url } = await serve(t, { page: false, guide: false, metrics: false, openapi: false })
  for (const path of ['/', '/assets/a.js', '/v1/guide', '/metrics', '/openapi.json']) {
    t.equal((await ask(url, { path })).status, 404, path)
  }
  t.equal((await ask(url, { path: '/healthz' })).status, 200)
})

t.test('the page has the headers that keep it to itself', async t => {
  const { url } = await serve(t)
  const { headers } = await fetch(url)
  t.match(headers.get('content-security-policy') ?? '', /default-src 'self'.*frame-ancestors 'none'/)
  t.equal(headers.get('x-content-type-options'), 'nosniff')
  t.equal(headers.get('x-frame-options'), 'DENY')
  t.equal(headers.get('referrer-policy'), 'no-referrer')
  t.equal(headers.get('cross-origin-opener-policy'), 'same-origin')
})
