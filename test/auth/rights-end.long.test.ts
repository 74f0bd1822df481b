/** Rights that end while something is open: on every transport, on every node. */
import { request as httpRequest } from 'node:http'
import t, { type Test } from 'tap'
import type { Authorize } from '../../src/auth/authorize.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { openSse, type Stream, WsClient } from '../fixtures/wire-clients.ts'
import { call, command, eventually, post, serve, type Wire } from '../fixtures/wire-server.ts'
import { admin, bearer, byToken, nodes, seconds } from './stage.ts'

/** A hook by the header x-user, whose rights a test changes. */
function changing() {
  const gone = new Map<string, 'forbidden' | 'unauthorized' | Error>()
  const asked: string[] = []
  const authorize: Authorize = ({ headers }, { action, group, session }) => {
    const id = String(headers['x-user'])
    asked.push(`${id} ${action}`)
    const why = gone.get(id)
    if (why instanceof Error) throw why
    if (why === 'unauthorized') throw new TwinrailError('unauthorized', 'the session of the user is over')
    if (why === 'forbidden' && group !== 'any') return undefined
    return session?.metadata['closed'] ? undefined : { id }
  }
  return { gone, asked, authorize }
}

const ann = { 'x-user': 'ann' }
const event = { type: 'x.secret', data: 1 }

/** What remains to be read of a stream once it has ended. */
async function rest(stream: Stream): Promise<string[]> {
  const types: string[] = []
  try {
    for (;;) types.push((await stream.next()).message.type)
  } catch {
    return types
  }
}

/** Opens the same session in each way that stays open. */
async function openAll(t: Test, { url }: Wire, headers: Record<string, string>) {
  const events = `${url}/v1/sessions/s/events`
  const sse = await openSse(t, events, { headers })
  const ws = await WsClient.open(url, [], { headers })
  t.teardown(() => ws.close())
  const run = { id: '1', type: 'run.start', agent: 'steered', input: {}, runId: 'r' }
  const started = await openSse(t, `${url}/v1/sessions/s/commands`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(run),
  } as object)
  await started.until('caught-up')
  const ofRun = await openSse(t, `${events}?run=r`, { headers })
  await ofRun.until('caught-up')
  await sse.until('caught-up')
  await ws.command({ type: 'subscribe', sessionId: 's' })
  await ws.until('caught-up')
  const page = await call(events, { headers: { ...headers, accept: 'application/json' } })
  const poll = call(`${events}?after=${(page.body as { next?: string }).next}&wait=30000`, {
    headers: { ...headers, accept: 'application/json' },
  })
  return { sse, ws, started, ofRun, poll }
}

t.test('lost rights end every kind of stream on the other node, and nothing follows', async t => {
  const { gone, authorize } = changing()
  const [one, two] = await nodes(t, { authorize })
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, ann)
  const { sse, ws, started, ofRun, poll } = await openAll(t, two, ann)
  const bystander = await openSse(t, `${two.url}/v1/sessions/s/events`, { headers: { 'x-user': 'bob' } })
  await bystander.until('caught-up')

  gone.set('ann', 'forbidden')
  await one.server.reauthorize({ principal: 'ann' })
  for (const [name, stream] of Object.entries({ sse, started, ofRun })) {
    t.match(await stream.nextOf('end'), { sessionId: 's', reason: 'forbidden' }, name)
  }
  t.match(await ws.nextOf('end'), { sessionId: 's', reason: 'forbidden' }, 'websocket')
  const polled = await poll
  t.match([polled.status, polled.body.error?.code], [403, 'forbidden'], 'a waiting long-poll')
  await command(one.url, 's', { type: 'publish', event }, { 'x-user': 'bob' })
  await bystander.nextOf('x.secret')
  for (const stream of [sse, started, ofRun]) t.same(await rest(stream), [], 'the stream has closed')
  t.match(await ws.command({ type: 'subscribe', sessionId: 's' }), { type: 'nack' }, 'the socket stays')
  ws.close()
  t.notOk((await rest(ws)).includes('x.secret'))
})

t.test('a principal without credentials loses the connection', async t => {
  const { gone, authorize } = changing()
  const [one, two] = await nodes(t, { authorize })
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, ann)
  const { sse, ws, poll } = await openAll(t, two, ann)
  gone.set('ann', 'unauthorized')
  await one.server.reauthorize()
  t.match(await sse.nextOf('closing'), { code: 'unauthorized' })
  t.match(await ws.nextOf('closing'), { code: 'unauthorized' })
  t.equal((await ws.closed).code, 4401)
  t.equal((await poll).status, 401)
})

t.test('a session that is closed to its readers ends for all of them', async t => {
  let closed = false
  const authorize: Authorize = ({ headers }, { sessionId }) =>
    closed && sessionId === 's' ? undefined : { id: String(headers['x-user']) }
  const [one, two] = await nodes(t, { authorize })
  for (const sessionId of ['s', 'other']) await post(`${one.url}/v1/sessions`, { sessionId }, ann)
  const streams = await Promise.all(
    ['ann', 'bob'].map(user =>
      openSse(t, `${two.url}/v1/sessions/s/events`, { headers: { 'x-user': user } }),
    ),
  )
  const other = await openSse(t, `${two.url}/v1/sessions/other/events`, { headers: ann })
  for (const stream of [...streams, other]) await stream.until('caught-up')
  closed = true
  await one.server.reauthorize({ sessionId: 's' })
  for (const stream of streams) t.match(await stream.nextOf('end'), { reason: 'forbidden' })
  await command(one.url, 'other', { type: 'publish', event }, ann)
  await other.nextOf('x.secret')
})

t.test('a stream is authorized again at intervals, and a hook that fails ends nothing', async t => {
  const { gone, asked, authorize } = changing()
  const [one] = await nodes(t, { authorize, recheckMs: 100 })
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, ann)
  const sse = await openSse(t, `${one.url}/v1/sessions/s/events`, { headers: ann })
  await sse.until('caught-up')
  gone.set('ann', new Error('the database is away'))
  asked.length = 0
  await eventually(t, 'it was asked again, more than once', () => asked.length >= 2)
  gone.delete('ann')
  await command(one.url, 's', { type: 'publish', event }, ann)
  await sse.nextOf('x.secret')
  gone.set('ann', 'forbidden')
  t.match(await sse.nextOf('end'), { reason: 'forbidden' })
  asked.length = 0
  await new Promise(resolve => setTimeout(resolve, 300))
  t.same(asked, [], 'what has ended is not asked for')
})

t.test('an ingest by lines ends when its producer loses the right', async t => {
  const { gone, authorize } = changing()
  const [one] = await nodes(t, { authorize })
  const { hostname, port } = new URL(one.url)
  const upload = httpRequest({
    hostname,
    port,
    method: 'POST',
    path: '/v1/sessions/s/events',
    headers: { ...ann, 'content-type': 'application/x-ndjson' },
  })
  const answered = new Promise<number>(resolve =>
    upload.on('response', ({ statusCode }) => resolve(statusCode ?? 0)),
  )
  upload.on('error', () => {})
  t.teardown(() => upload.destroy())
  upload.write(`${JSON.stringify(event)}\n`)
  await eventually(
    t,
    'the line is in the log',
    async () => (await one.server.journal.findSession('s'))?.head === 1,
  )
  gone.set('ann', 'forbidden')
  await one.server.reauthorize({ principal: 'ann' })
  upload.write(`${JSON.stringify(event)}\n`)
  t.equal(await answered, 403)
  t.equal((await one.server.journal.session('s')).head, 1)
})

t.test('an expired token ends what it opened', async t => {
  const [one] = await nodes(t)
  const headers = await bearer('ann', { exp: seconds() + 3 })
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, headers)
  const { sse, ws, poll } = await openAll(t, one, headers)
  t.match(await sse.nextOf('closing'), { code: 'unauthorized' })
  t.match(await ws.nextOf('closing'), { code: 'unauthorized' })
  t.equal((await ws.closed).code, 4401)
  t.equal((await poll).status, 401)
})

t.test('a revocation voids the tokens of before it, on every node and for later starts', async t => {
  const [one, two] = await nodes(t)
  const headers = await bearer('ann')
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, headers)
  const sse = await openSse(t, `${two.url}/v1/sessions/s/events`, { headers })
  await sse.until('caught-up')
  const revoke = (body: object, by: Record<string, string>) => post(`${one.url}/v1/revocations`, body, by)
  t.equal((await revoke({ principal: 'ann' }, headers)).status, 403, 'only an admin may')
  t.equal((await revoke({}, await admin())).status, 400)
  t.equal((await revoke({ principal: 'ann' }, await admin())).status, 204)
  t.match(await sse.nextOf('closing'), { code: 'unauthorized' })
  for (const { url } of [one, two]) {
    t.equal((await call(`${url}/v1/sessions/s`, { headers })).status, 401)
    const fresh = await bearer('ann', { iat: seconds() + 2 })
    t.equal((await call(`${url}/v1/sessions/s`, { headers: fresh })).status, 200, 'a later token is good')
    t.equal((await call(`${url}/v1/agents`, { headers: await bearer('bob') })).status, 200)
  }
  const three = await serve(t, { authorize: byToken, log: one.log })
  t.equal(
    (await call(`${three.url}/v1/sessions/s`, { headers })).status,
    401,
    'a node that starts later knows',
  )
  const listed = await call(`${one.url}/v1/sessions`, {
    headers: await bearer('ann', { iat: seconds() + 2 }),
  })
  t.same(
    listed.body.sessions?.map(({ sessionId }) => sessionId),
    ['s'],
    'the server’s own session is not listed',
  )
})

t.test('a WebSocket renews its principal, or proves it in band', async t => {
  const [one] = await nodes(t)
  const soon = await bearer('ann', { exp: seconds() + 2 })
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, soon)
  const ws = await WsClient.open(one.url, [], { headers: soon })
  t.teardown(() => ws.close())
  await ws.command({ type: 'subscribe', sessionId: 's' })
  const tokenOf = async (sub: string, claims?: object) =>
    (await bearer(sub, claims as Record<string, unknown>)).authorization.slice('Bearer '.length)
  t.match(await ws.command({ type: 'auth', token: await tokenOf('bob') }), { code: 'forbidden' })
  t.match(await ws.command({ type: 'auth', token: 'nonsense' }), { code: 'unauthorized' })
  t.match(await ws.command({ type: 'auth', token: await tokenOf('ann') }), { type: 'ack' })
  await new Promise(resolve => setTimeout(resolve, 2500))
  await command(one.url, 's', { type: 'publish', event }, await bearer('ann'))
  await ws.nextOf('x.secret')

  const bare = await WsClient.open(one.url)
  t.teardown(() => bare.close())
  bare.send({ id: 'a', type: 'auth', token: await tokenOf('ann') })
  await bare.nextOf('hello')
  t.match(await bare.command({ type: 'subscribe', sessionId: 's' }), { type: 'ack' })
  const impatient = await WsClient.open(one.url)
  impatient.send({ id: 'a', type: 'subscribe', sessionId: 's' })
  t.equal((await impatient.closed).code, 4401, 'another command first')
  const [quick] = await nodes(t, { connections: { authMs: 50 } })
  t.equal((await WsClient.open(quick.url).then(silent => silent.closed)).code, 4401, 'no command at all')
  const wrong = await WsClient.open(one.url, [], { headers: { authorization: 'Bearer nonsense' } })
  t.equal((await wrong.closed).code, 4401, 'wrong credentials are told at once')
})
