/** Every kind of credentials, on every route and command, by every transport, on own, foreign and missing sessions. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { type Action, createsSession, groupOf } from '../../src/auth/actions.ts'
import { anyOf } from '../../src/auth/any-of.ts'
import { apiKeyAuthorize } from '../../src/auth/api-keys.ts'
import { WsClient } from '../fixtures/wire-clients.ts'
import { call, command, post, serve } from '../fixtures/wire-server.ts'
import { bearer, byToken } from './stage.ts'

type Headers = Record<string, string>
type Outcome = 'allowed' | 'unauthorized' | 'forbidden' | 'session-not-found'
type Kind = 'own' | 'foreign' | 'missing'

/** What an answer says about the right; any other refusal comes after it. */
function outcomeOf(code: string | undefined): Outcome {
  return code === 'unauthorized' || code === 'forbidden' || code === 'session-not-found' ? code : 'allowed'
}

const key = (text: string) => createHash('sha256').update(text).digest('hex')

const start = { type: 'run.start', agent: 'script', input: { events: [] } }
const commands: { action: Action; body: { type: string } }[] = [
  { action: 'run.start', body: start },
  { action: 'run.cancel', body: { type: 'run.cancel', runId: 'r' } as { type: string } },
  { action: 'input.answer', body: { type: 'input.answer', requestId: 'q', value: 1 } as { type: string } },
  { action: 'input.steer', body: { type: 'input.steer', runId: 'r', text: 'x' } as { type: string } },
  { action: 'publish', body: { type: 'publish', event: { type: 'x.a', data: 1 } } as { type: string } },
]

/** What each kind of credentials may do. `own` sessions are those that `ann` created. */
const credentials: Record<
  string,
  { headers: () => Promise<Headers>; rights: (action: Action, kind: Kind) => boolean }
> = {
  owner: {
    headers: () => bearer('ann'),
    rights: (action, kind) => ['read', 'write', 'manage'].includes(groupOf(action)) && kind !== 'foreign',
  },
  support: {
    headers: () => bearer('ann', { twinrail: [{ sessions: ['*'], allow: ['read'] }] }),
    rights: action => groupOf(action) === 'read',
  },
  producer: {
    headers: async () => ({ authorization: 'Bearer producer-key' }),
    rights: action => groupOf(action) === 'produce',
  },
  nobody: { headers: async () => ({}), rights: () => false },
  forger: { headers: async () => ({ authorization: 'Bearer forged' }), rights: () => false },
}

/** What the answer must be, by the rules of docs/authorization.md. */
function expected(name: string, action: Action, kind: Kind): Outcome {
  if (name === 'nobody' || name === 'forger') return 'unauthorized'
  const { rights } = credentials[name] as (typeof credentials)[string]
  if (rights(action, kind))
    return kind === 'missing' && !createsSession(action) ? 'session-not-found' : 'allowed'
  // A foreign session is answered as a missing one, unless the action would have created it.
  return rights(action, 'missing') && !createsSession(action) ? 'session-not-found' : 'forbidden'
}

t.test('every answer is right, and none tells a foreign session from a missing one', async t => {
  const keys = apiKeyAuthorize([{ name: 'producer', sha256: key('producer-key'), allow: ['produce'] }])
  const { url } = await serve(t, { inspector: true, authorize: anyOf(byToken, keys) })
  let count = 0
  /** A session of this kind that no other case uses. */
  const make = async (kind: Kind): Promise<string> => {
    const id = `m${count++}`
    if (kind !== 'missing') {
      await post(`${url}/v1/sessions`, { sessionId: id }, await bearer(kind === 'own' ? 'ann' : 'bob'))
    }
    return id
  }
  const events = (id: string) => `${url}/v1/sessions/${id}/events`
  const http: [
    Action,
    string,
    (
      id: string,
      headers: Headers,
    ) => Promise<{ status: number; body: { code?: unknown; error?: { code?: unknown } } }>,
  ][] = [
    ['session.create', 'POST', (id, headers) => post(`${url}/v1/sessions`, { sessionId: id }, headers)],
    [
      'session.update',
      'PATCH',
      (id, headers) =>
        call(`${url}/v1/sessions/${id}`, {
          method: 'PATCH',
          headers: { ...headers, 'content-type': 'application/json' },
          body: '{"metadata":{"a":1}}',
        }),
    ],
    ['presence.read', 'GET', (id, headers) => call(`${url}/v1/sessions/${id}/presence`, { headers })],
    [
      'presence.enter',
      'PUT',
      (id, headers) =>
        call(`${url}/v1/sessions/${id}/presence`, {
          method: 'PUT',
          headers: { ...headers, 'content-type': 'application/json' },
          body: '{"memberId":"m"}',
        }),
    ],
    [
      'presence.enter',
      'DELETE',
      (id, headers) => call(`${url}/v1/sessions/${id}/presence?memberId=m`, { method: 'DELETE', headers }),
    ],
    ['session.read', 'GET', (id, headers) => call(`${url}/v1/sessions/${id}`, { headers })],
    [
      'subscribe',
      'page',
      (id, headers) => call(events(id), { headers: { ...headers, accept: 'application/json' } }),
    ],
    [
      'subscribe',
      'poll',
      (id, headers) => call(`${events(id)}?wait=1`, { headers: { ...headers, accept: 'application/json' } }),
    ],
    ['subscribe', 'stream', (id, headers) => stream(events(id), headers)],
    ['ingest', 'POST', (id, headers) => post(events(id), { type: 'x.a', data: 1 }, headers)],
    [
      'ingest',
      'lines',
      (id, headers) =>
        post(events(id), '{"type":"x.a","data":1}\n', { ...headers, 'content-type': 'application/x-ndjson' }),
    ],
    ...commands.map(({ action, body }): (typeof http)[number] => [
      action,
      'POST',
      (id, headers) => command(url, id, body, headers),
    ]),
    [
      'run.start',
      'stream',
      (id, headers) => stream(`${url}/v1/sessions/${id}/commands`, headers, { id: 'h', ...start }),
    ],
  ]
  for (const [name, { headers: make_ }] of Object.entries(credentials)) {
    const headers = await make_()
    for (const [action, how, send] of http) {
      for (const kind of ['own', 'foreign', 'missing'] as const) {
        const { body } = await send(await make(kind), headers)
        const got = outcomeOf((body.error?.code ?? body.code) as string | undefined)
        t.equal(got, expected(name, action, kind), `${name}: ${how} ${action}, ${kind}`)
      }
    }
    for (const kind of ['own', 'foreign', 'missing'] as const) {
      const id = await make(kind)
      const { status } = await call(`${url}/v1/sessions/${id}`, { method: 'DELETE', headers })
      const right = expected(name, 'session.delete', kind)
      t.equal(
        status,
        { allowed: 204, 'session-not-found': 204, forbidden: 403, unauthorized: 401 }[right],
        `${name}: DELETE, ${kind}`,
      )
      if (kind !== 'foreign') continue
      t.equal(
        (await call(`${url}/v1/sessions/${id}`, { headers: await bearer('bob') })).status,
        200,
        'it is still there',
      )
    }
    for (const [path, action] of [
      ['/v1/agents', 'agents.list'],
      ['/v1/guide', 'guide.read'],
      ['/openapi.json', 'openapi.read'],
      ['/metrics', 'metrics.read'],
      ['/v1/inspect', 'inspect.read'],
      ['/v1/sessions', 'session.list'],
    ] as const) {
      const { status } = await fetch(`${url}${path}`, { headers })
      const allowed = groupOf(action) === 'any' || (name === 'owner' && action === 'session.list')
      const wanted = name === 'nobody' || name === 'forger' ? 401 : allowed ? 200 : 403
      t.equal(status, wanted, `${name}: ${path}`)
    }
    t.equal((await fetch(`${url}/healthz`, { headers })).status, 200)

    const socket = await WsClient.open(url, [], { headers })
    if (expected(name, 'connect', 'own') === 'unauthorized') {
      if (name === 'nobody') socket.send({ id: '1', type: 'subscribe', sessionId: 's' })
      t.equal((await socket.closed).code, 4401, `${name}: WebSocket`)
      continue
    }
    await socket.nextOf('hello')
    for (const { action, body } of [
      ...commands,
      { action: 'subscribe' as const, body: { type: 'subscribe' } },
    ]) {
      for (const kind of ['own', 'foreign', 'missing'] as const) {
        const answer = await socket.command({ ...body, sessionId: await make(kind) })
        const got = outcomeOf(answer['code'] as string | undefined)
        t.equal(got, expected(name, action, kind), `${name}: WebSocket ${action}, ${kind}`)
      }
    }
    const waits = await Promise.all(
      (['foreign', 'missing'] as const).map(async kind =>
        socket.command({ type: 'subscribe', sessionId: await make(kind), lag: 'wait' }),
      ),
    )
    t.equal(waits[0]?.['code'], waits[1]?.['code'], `${name}: a subscription that holds producers`)
    socket.close()
  }
})

/** The refusal of a stream, or nothing. The stream is left at once. */
async function stream(address: string, headers: Headers, body?: object) {
  const leave = new AbortController()
  const response = await fetch(address, {
    method: body ? 'POST' : 'GET',
    headers: { ...headers, accept: 'text/event-stream', ...(body && { 'content-type': 'application/json' }) },
    signal: leave.signal,
    ...(body && { body: JSON.stringify(body) }),
  })
  if (response.status === 200) {
    leave.abort()
    return { status: 200, body: {} }
  }
  return {
    status: response.status,
    body: (await response.json()) as { code?: unknown; error?: { code?: unknown } },
  }
}
