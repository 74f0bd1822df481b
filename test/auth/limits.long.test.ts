/** What one principal, and the clients of one address, may do at a time, on every transport. */
import { request as httpRequest } from 'node:http'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Buckets, REMEMBERED } from '../../src/auth/buckets.ts'
import { Holdings } from '../../src/auth/holdings.ts'
import { type PrincipalLimits, principalDefaults } from '../../src/auth/limits.ts'
import { Quotas } from '../../src/auth/quotas.ts'
import { Journal } from '../../src/bus/journal.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { type Message, openSse, WsClient } from '../fixtures/wire-clients.ts'
import { type Answer, byHeader, call, command, eventually, post, serve } from '../fixtures/wire-server.ts'

type Headers = Record<string, string>
const ann = { 'x-user': 'ann' }
const bob = { 'x-user': 'bob' }
const publish = { type: 'publish', event: { type: 'x.a', data: 1 } }
const start = (runId: string) => ({ type: 'run.start', agent: 'idle', input: {}, runId })
const json = { accept: 'application/json' }

/** Of these no more come within a test. */
const SLOW = { commandsPerSecond: 0.001, bytesPerSecond: 0.001 }

const serveWith = (t: Test, principalLimits: Partial<PrincipalLimits>, options = {}) =>
  serve(t, { authorize: byHeader, principalLimits: { ...SLOW, ...principalLimits }, ...options })

/** Checks a refusal over HTTP in any of its forms. */
function isLimited(t: Test, { status, headers, body }: Answer, limit: string, how: string): void {
  const refusal: Message = body.error ?? body
  t.match([status, refusal['code']], [429, 'rate-limited'], how)
  t.match(refusal['details'], { limit }, `${how}: ${JSON.stringify(refusal['details'])}`)
  t.ok(Number(refusal['retryAfterMs']) > 0, `${how}: retryAfterMs`)
  t.ok(Number(headers.get('retry-after')) > 0, `${how}: Retry-After`)
}

/** Checks the exception of a refusal. */
function refuses(t: Test, use: () => unknown, wanted: object = {}, about = ''): void {
  try {
    use()
    t.fail(`it was not refused ${about}`)
  } catch (error) {
    t.match(error, { code: 'rate-limited', ...wanted }, about)
  }
}

function quotas(t: Test, limits: Partial<PrincipalLimits>, perAddress = 10) {
  const log = createMemoryLog()
  t.teardown(() => log.close())
  const time = { now: 0 }
  const refused: string[] = []
  const made = new Quotas({
    limits: { ...principalDefaults, ...limits },
    perAddress,
    journal: new Journal(log),
    toldMs: 60_000,
    onLimited: (limit, of) => refused.push(`${of} ${limit}`),
    clock: () => time.now,
  })
  return { quotas: made, time, refused }
}

t.test('a principal is refused beyond its burst, and gets its commands again with time', async t => {
  const { quotas: use, time } = quotas(t, { commandsPerSecond: 10, commandBurst: 3 })
  const send = (principal: string) => use.spend('commands', { principal })
  for (let i = 0; i < 3; i++) send('ann')
  refuses(t, () => send('ann'), { code: 'rate-limited', retryAfterMs: 100 })
  send('bob')
  time.now += 50
  refuses(t, () => send('ann'), { code: 'rate-limited', retryAfterMs: 50 })
  time.now += 50
  send('ann')
  refuses(t, () => send('ann'))
  time.now += 1_000_000
  for (let i = 0; i < 3; i++) send('ann')
  t.throws(() => send('ann'), { code: 'rate-limited' }, 'a pause gives no more than the burst')
})

t.test('more than the burst is taken from a full bucket, and paid off', async t => {
  const { quotas: use, time } = quotas(t, { bytesPerSecond: 10, burstBytes: 100 })
  const send = (cost: number) => use.spend('bytes', { principal: 'ann' }, cost)
  send(1000)
  refuses(t, () => send(1), { retryAfterMs: 90_100 })
  time.now += 90_100
  send(1)
  refuses(t, () => send(1000), { retryAfterMs: 10_000 })
})

t.test('an address has a multiple of what a principal has, and a refused use counts for neither', async t => {
  const { quotas: use, refused } = quotas(t, { commandBurst: 2, commandsPerSecond: 0.001, connections: 1 }, 2)
  const send = (principal: string, address: string) => use.spend('commands', { principal, address })
  send('a', '192.0.2.1')
  send('b', '192.0.2.1')
  send('c', '192.0.2.1')
  send('d', '192.0.2.1')
  refuses(t, () => send('e', '192.0.2.1'), {
    code: 'rate-limited',
    details: { limit: 'commands', of: 'address' },
  })
  send('e', '192.0.2.2')
  send('e', '192.0.2.2')
  refuses(t, () => send('e', '192.0.2.2'), { details: { of: 'principal' } })
  send('f', '192.0.2.2')
  send('g', '192.0.2.2')
  const closes = ['a', 'b'].map(principal => use.open(['connections'], { principal, address: '192.0.2.1' }))
  refuses(t, () => use.open(['connections'], { principal: 'c', address: '192.0.2.1' }), {
    details: { limit: 'connections', of: 'address' },
  })
  for (const close of [...closes, ...closes]) close()
  use.open(['connections'], { principal: 'c', address: '192.0.2.1' })
  t.same(refused, ['address commands', 'principal commands', 'address connections'])
})

t.test('what is remembered of rates is bounded', async t => {
  const buckets = new Buckets(0.001, 1, () => 0)
  for (let i = 0; i < REMEMBERED; i++) buckets.spend(`p${i}`, 1)
  buckets.spend('p0', 1)
  t.ok(buckets.wait('p1', 1) > 0)
  buckets.spend('one more', 1)
  t.equal([...buckets.untold()].length, REMEMBERED)
  t.equal(buckets.wait('p1', 1), 0, 'the one that was used longest ago is forgotten')
  t.ok(buckets.wait('p0', 1) > 0)
})

t.test('what other nodes have open is asked for again after a refusal', async t => {
  const time = { now: 0 }
  const holdings = new Holdings(60_000, () => time.now)
  const tell = async (others: number) => {
    for (const name of [...holdings.untold()]) {
      await holdings.tell(name, { spend: async () => 0, hold: async () => [others, 0, 0] })
    }
    return holdings.count('ann', 'connections')
  }
  holdings.open('ann', ['connections'])
  t.equal(await tell(5), 6)
  t.equal(await tell(0), 6, 'nothing has changed here')
  holdings.ask('bob')
  holdings.ask('ann')
  t.same([...holdings.untold()], ['ann'])
  t.equal(await tell(0), 1)
  t.equal(await tell(3), 1)
  time.now += 20_000
  t.equal(await tell(3), 4, 'and when a third of the time has passed')
})

t.test('commands count on every transport, and one principal leaves the others alone', async t => {
  const { url, server } = await serveWith(t, { commandBurst: 4 })
  t.equal((await post(`${url}/v1/sessions`, { sessionId: 's' }, ann)).status, 201)
  t.equal((await command(url, 's', publish, ann)).status, 200)
  const socket = await WsClient.open(url, [], { headers: ann })
  t.teardown(() => socket.close())
  const onSocket = { ...publish, sessionId: 's' }
  t.match(await socket.command(onSocket), { type: 'ack' })
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
  t.match(await socket.command(onSocket), { type: 'ack' })
  const nack = await socket.command(onSocket)
  t.match(nack, { type: 'nack', code: 'rate-limited', retryable: true, details: { limit: 'commands' } })
  t.ok(Number(nack['retryAfterMs']) > 0)
  isLimited(t, await command(url, 's', publish, ann), 'commands', 'POST')
  const streamed = await command(url, 's', start('r'), { ...ann, accept: 'text/event-stream' })
  isLimited(t, streamed, 'commands', 'run.start answered as a stream')
  isLimited(t, await post(`${url}/v1/sessions`, {}, ann), 'commands', 'a session')
  isLimited(t, await post(`${url}/v1/tickets`, {}, ann), 'commands', 'a ticket')
  t.equal((await command(url, 's', publish, bob)).status, 200)
  t.equal((await server.journal.session('s')).head, 5)
})

t.test('a client that ignores refusals is refused no more often than it is served', async t => {
  const { url } = await serveWith(t, { commandsPerSecond: 50, commandBurst: 1 })
  const counts = { served: 0, refused: 0 }
  while (counts.served < 15) {
    const { status } = await command(url, 's', publish, ann)
    counts[status === 200 ? 'served' : 'refused']++
  }
  t.ok(counts.refused <= counts.served + 2, JSON.stringify(counts))
})

/** A request of each dialect that starts a run. */
const foreign: [name: string, path: string, body: object][] = [
  ['ai-sdk', '/ai-sdk/idle', { id: 'c', messages: [], input: {} }],
  ['ag-ui', '/ag-ui/idle', { threadId: 'c', runId: 'r', messages: [], forwardedProps: { input: {} } }],
  [
    'openai responses',
    '/openai/v1/responses',
    { model: 'idle', input: 'x', stream: true, metadata: { input: '{}' } },
  ],
  [
    'openai completions',
    '/openai/v1/chat/completions',
    { model: 'idle', messages: [{ role: 'user', content: 'x' }], stream: true, metadata: { input: '{}' } },
  ],
  [
    'genie page',
    '/web/api/v1/gpt/queryAgentStreamIncr',
    { sessionId: 'c', requestId: 'r', query: 'x', agent: 'idle', input: {} },
  ],
  ['genie gateway', '/AutoAgent', { requestId: 'r', query: 'x', agent: 'idle', input: {} }],
  ['genie tool', '/v1/tool/deepsearch', { request_id: 'r', query: 'x', agent: 'idle', input: {} }],
]

/** Checks that no dialect starts a run. */
async function dialectsRefuse(t: Test, url: string): Promise<void> {
  for (const [name, path, body] of foreign) {
    const leave = new AbortController()
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { ...ann, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: leave.signal,
    })
    t.equal(response.status, 429, name)
    t.ok(Number(response.headers.get('retry-after')) > 0, `${name}: Retry-After`)
    leave.abort()
  }
}

async function limitedByDialects(t: Test, url: string, limit: string): Promise<void> {
  await dialectsRefuse(t, url)
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ai-sdk/idle/ws`, { headers: ann })
  await new Promise(resolve => socket.once('open', resolve))
  const heard = new Promise(resolve => socket.once('message', data => resolve(String(data))))
  socket.send(JSON.stringify({ type: 'send', requestId: '1', id: 'c', body: { messages: [], input: {} } }))
  t.match(await heard, limit === 'commands' ? /commands per second/ : /bytes per second/, 'ai-sdk WebSocket')
  socket.terminate()
}

t.test('commands and bytes count in every dialect', async t => {
  const spent = { commandBurst: 1, burstBytes: 100 }
  const commands = await serveWith(t, { commandBurst: spent.commandBurst })
  await command(commands.url, 's', publish, ann)
  await limitedByDialects(t, commands.url, 'commands')
  const bytes = await serveWith(t, { burstBytes: spent.burstBytes, commandBurst: 1000 })
  await command(bytes.url, 's', { ...publish, event: { type: 'x.a', data: 'x'.repeat(200) } }, ann)
  await limitedByDialects(t, bytes.url, 'bytes')
})

t.test('bytes of ingest and commands count on every transport', async t => {
  const { url, server } = await serveWith(t, { burstBytes: 5000 })
  const events = `${url}/v1/sessions/s/events`
  const text = (length: number) => ({ type: 'x.a', data: 'x'.repeat(length) })
  const socket = await WsClient.open(url, [], { headers: ann })
  t.teardown(() => socket.close())
  t.equal((await post(events, text(4000), ann)).status, 200)
  t.match(await socket.command({ ...publish, sessionId: 's', event: text(500) }), { type: 'ack' })
  t.match(await socket.command({ ...publish, sessionId: 's', event: text(500) }), {
    code: 'rate-limited',
    details: { limit: 'bytes' },
  })
  isLimited(t, await post(events, text(500), ann), 'bytes', 'ingest')
  isLimited(t, await command(url, 's', { ...publish, event: text(500) }, ann), 'bytes', 'command')
  const lines = { ...ann, 'content-type': 'application/x-ndjson' }
  isLimited(t, await post(events, `${JSON.stringify(text(500))}\n`, lines), 'bytes', 'NDJSON')
  isLimited(t, await post(`${url}/v1/sessions`, { metadata: text(500) }, ann), 'bytes', 'metadata')
  t.equal((await server.journal.session('s')).head, 2)

  const upload = httpRequest(events, { method: 'POST', headers: { ...lines, ...bob } })
  upload.on('error', () => {})
  const answered = new Promise<{ status: number; body: string }>(resolve =>
    upload.on('response', response => {
      let body = ''
      response.on('data', data => {
        body += data
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    }),
  )
  upload.write(`${JSON.stringify(text(4500))}\n`)
  await eventually(t, 'the line is in the log', async () => (await server.journal.session('s')).head === 3)
  upload.write(`${JSON.stringify(text(1000))}\n`)
  const { status, body } = await answered
  t.equal(status, 429, 'in the middle of an upload')
  t.match(JSON.parse(body).error, { code: 'rate-limited', details: { limit: 'bytes', count: 1 } })
  t.equal((await server.journal.session('s')).head, 3)
})

t.test('connections and subscriptions count while they are open, on every transport', async t => {
  const { url } = await serveWith(t, { connections: 3, subscriptions: 3, commandBurst: 1000 })
  const sessions = ['a', 'b', 'c', 'd']
  for (const sessionId of sessions) await post(`${url}/v1/sessions`, { sessionId }, ann)
  const events = (id: string, query = '') => `${url}/v1/sessions/${id}/events${query}`
  const page = () => call(events('d'), { headers: { ...ann, ...json } })

  // Three connections: a socket, a stream, a stream of a run.
  const socket = await WsClient.open(url, [], { headers: ann })
  await socket.nextOf('hello')
  const stream = await openSse(t, events('b'), { headers: ann })
  await stream.until('caught-up')
  const started = await openSse(t, `${url}/v1/sessions/b/commands`, {
    method: 'POST',
    headers: { ...ann, 'content-type': 'application/json' },
    body: JSON.stringify({ id: '1', ...start('r') }),
  } as object)
  await started.until('caught-up')
  t.equal(
    (await WsClient.open(url, [], { headers: ann }).then(second => second.closed)).code,
    4429,
    'WebSocket',
  )
  isLimited(t, await page(), 'connections', 'page')
  const lines = { ...ann, 'content-type': 'application/x-ndjson' }
  isLimited(t, await post(events('d'), '{"type":"x.a","data":1}\n', lines), 'connections', 'NDJSON')
  const refused = await openSse(t, events('d'), { headers: ann })
  t.match(
    await refused.nextOf('closing'),
    { code: 'rate-limited' },
    'an EventSource would not come back after 429',
  )
  const again = await openSse(t, `${url}/v1/sessions/b/commands`, {
    method: 'POST',
    headers: { ...ann, 'content-type': 'application/json' },
    body: JSON.stringify({ id: '1', ...start('r') }),
  } as object)
  t.match(await again.nextOf('closing'), { code: 'rate-limited' }, 'the stream of a run')
  await (await WsClient.open(url, [], { headers: bob })).nextOf('hello')

  // Three subscriptions: two streams and one on the socket.
  t.match(await socket.command({ type: 'subscribe', sessionId: 'a' }), { type: 'ack' })
  t.match(await socket.command({ type: 'subscribe', sessionId: 'c' }), {
    code: 'rate-limited',
    details: { limit: 'subscriptions' },
  })
  started.close()
  await eventually(t, 'what was closed is not counted', async () => (await page()).status === 200)
  t.match(await socket.command({ type: 'subscribe', sessionId: 'c' }), { type: 'ack' })
  isLimited(t, await page(), 'subscriptions', 'page')
  await socket.command({ type: 'unsubscribe', sessionId: 'a' })
  const poll = call(events('d', '?last=0&wait=30000'), { headers: { ...ann, ...json } })
  await eventually(t, 'a waiting long-poll counts', async () => (await page()).status === 429)
  await command(url, 'd', publish, bob)
  t.equal((await poll).status, 200)
  await eventually(t, 'until it is answered', async () => (await page()).status === 200)
  socket.close()
  stream.close()
})

t.test('the streams of dialects count as connections and subscriptions', async t => {
  const { url, server } = await serveWith(t, { connections: 1, commandBurst: 1000 })
  const socket = await WsClient.open(url, [], { headers: ann })
  await socket.nextOf('hello')
  await dialectsRefuse(t, url)
  const second = new WebSocket(`${url.replace('http', 'ws')}/ai-sdk/idle/ws`, { headers: ann })
  t.equal(await new Promise(resolve => second.once('close', resolve)), 4429)
  t.ok(server)
})

t.test('open runs count, however they were started, until they end', async t => {
  const { url } = await serveWith(t, { runs: 2, commandBurst: 1000 })
  const events = `${url}/v1/sessions/s/events`
  const opened = (runId: string) => ({
    type: 'run.started',
    runId,
    data: { agent: 'outside', input: {}, messageId: 'm' },
  })
  const ended = (runId: string) => ({ type: 'run.completed', runId, data: { finishReason: 'stop' } })
  t.equal((await command(url, 's', start('a'), ann)).status, 200)
  t.equal((await post(events, opened('b'), ann)).status, 200)
  isLimited(t, await command(url, 's', start('c'), ann), 'runs', 'POST')
  t.equal((await command(url, 's', start('a'), ann)).status, 200, 'a repeat opens nothing')
  isLimited(t, await post(events, opened('c'), ann), 'runs', 'ingest')
  isLimited(t, await post(events, [opened('c'), opened('d')], ann), 'runs', 'ingest of several')
  t.equal((await post(events, [opened('e'), ended('e')], ann)).status, 200, 'one that ends at once')
  const lines = { ...ann, 'content-type': 'application/x-ndjson' }
  isLimited(t, await post(events, `${JSON.stringify(opened('c'))}\n`, lines), 'runs', 'NDJSON')
  await dialectsRefuse(t, url)
  const socket = await WsClient.open(url, [], { headers: ann })
  t.teardown(() => socket.close())
  t.match(await socket.command({ ...start('c'), sessionId: 's' }), {
    code: 'rate-limited',
    details: { limit: 'runs' },
  })
  t.equal((await command(url, 's', start('of-bob'), bob)).status, 200)

  t.equal((await command(url, 's', { type: 'run.cancel', runId: 'b' }, ann)).status, 200)
  t.equal((await command(url, 's', { ...start('c'), agent: 'none' }, ann)).status, 404)
  t.equal((await command(url, 's', start('c'), ann)).status, 200, 'a refused start counts no longer')
  await command(url, 's', { type: 'run.cancel', runId: 'a' }, ann)
  await eventually(t, 'a cancelled run does not count', async () => {
    const { status } = await command(url, 's', start(`d${Math.random()}`), ann)
    return status === 200
  })
})

t.test('sessions count when they are created, and while they are kept', async t => {
  const kept = await serveWith(t, { sessions: 3, commandBurst: 1000 })
  const { url } = kept
  t.equal((await post(`${url}/v1/sessions`, { sessionId: 'a' }, ann)).status, 201)
  t.equal((await command(url, 'b', publish, ann)).status, 200)
  const socket = await WsClient.open(url, [], { headers: ann })
  t.teardown(() => socket.close())
  t.match(await socket.command({ type: 'subscribe', sessionId: 'd', create: true }), { type: 'ack' })
  await isFull('sessions', url, socket)
  t.equal((await call(`${url}/v1/sessions/a`, { method: 'DELETE', headers: ann })).status, 204)
  t.equal((await post(`${url}/v1/sessions`, {}, ann)).status, 201)

  const quick = await serveWith(t, { sessionsPerHour: 2, commandBurst: 1000 })
  for (const sessionId of ['a', 'b']) await post(`${quick.url}/v1/sessions`, { sessionId }, ann)
  const second = await WsClient.open(quick.url, [], { headers: ann })
  t.teardown(() => second.close())
  await isFull('new-sessions', quick.url, second)

  async function isFull(limit: string, url: string, socket: WsClient): Promise<void> {
    isLimited(t, await post(`${url}/v1/sessions`, { sessionId: 'x' }, ann), limit, 'POST')
    isLimited(t, await command(url, 'x', publish, ann), limit, 'publish')
    isLimited(t, await command(url, 'x', start('r'), ann), limit, 'run.start')
    isLimited(t, await post(`${url}/v1/sessions/x/events`, { type: 'x.a', data: 1 }, ann), limit, 'ingest')
    const created = call(`${url}/v1/sessions/x/events?create=1`, { headers: { ...ann, ...json } })
    isLimited(t, await created, limit, 'page')
    const stream = await openSse(t, `${url}/v1/sessions/x/events?create=1`, { headers: ann })
    t.match(await stream.nextOf('closing'), { code: 'rate-limited' })
    t.match(await socket.command({ ...publish, sessionId: 'x' }), {
      code: 'rate-limited',
      details: { limit },
    })
    t.match(await socket.command({ type: 'subscribe', sessionId: 'x', create: true }), {
      code: 'rate-limited',
    })
    await dialectsRefuse(t, url)
    t.equal((await post(`${url}/v1/sessions`, { sessionId: 'b' }, ann)).status, 200, 'one that exists')
    t.equal((await post(`${url}/v1/sessions`, {}, bob)).status, 201)
    await call(`${url}/v1/sessions/x`, { method: 'DELETE', headers: bob })
  }
})

t.test('the clients of an address are limited together, whoever they are', async t => {
  const options = { perAddress: 2, trustedProxies: ['loopback'] }
  const from = (address: string, user: Headers = ann) => ({ ...user, 'x-forwarded-for': address })
  const { url } = await serveWith(t, { commandBurst: 2, connections: 1 }, options)
  const send = async (headers: Headers) => (await command(url, 's', publish, headers)).status
  t.same(
    await Promise.all(['a', 'b', 'c', 'd'].map(user => send(from('192.0.2.1', { 'x-user': user })))),
    [200, 200, 200, 200],
  )
  const refused = await command(url, 's', publish, from('192.0.2.1', { 'x-user': 'e' }))
  isLimited(t, refused, 'commands', 'another principal')
  t.match(refused.body['details'], { of: 'address' })
  t.equal(await send(from('192.0.2.2', { 'x-user': 'e' })), 200, 'another address')
  t.equal(
    await send(from('1.2.3.4, 192.0.2.1', { 'x-user': 'e' })),
    429,
    'what the client says itself does not count',
  )
  t.equal(await send(from('not an address', { 'x-user': 'e' })), 200, 'then it is the proxy’s own')

  const open = async (address: string, user: string) => {
    const socket = await WsClient.open(url, [], { headers: from(address, { 'x-user': user }) })
    return (await socket.next()).message.type
  }
  t.equal(await open('2001:db8:1:2::1', 'a'), 'hello')
  t.equal(await open('2001:db8:1:2:ffff::2', 'b'), 'hello')
  t.equal(await open('2001:0db8:0001:0002::3', 'c'), 'closing', 'an IPv6 address counts by its first 64 bits')
  t.equal(await open('2001:db8:1:3::1', 'c'), 'hello')
})

t.test('requests without valid credentials count for their address', async t => {
  const authorize = () => {
    throw new TwinrailError('unauthorized', 'sign in first')
  }
  const options = { authorize, perAddress: 1, trustedProxies: ['127.0.0.1'] }
  const { url } = await serveWith(t, { commandBurst: 3 }, options)
  const guess = (address: string) =>
    call(`${url}/v1/sessions/s`, { headers: { 'x-forwarded-for': address } }).then(({ status }) => status)
  t.same([await guess('192.0.2.1'), await guess('192.0.2.1'), await guess('192.0.2.1')], [401, 401, 401])
  t.equal(await guess('192.0.2.1'), 429)
  t.equal(await guess('192.0.2.2'), 401)
})

t.test('a server where everybody may do everything limits addresses only', async t => {
  const principalLimits = { commandBurst: 1, commandsPerSecond: 0.001 }
  const open = await serve(t, { principalLimits })
  for (let i = 0; i < 5; i++) t.equal((await command(open.url, 's', publish)).status, 200)
  const behind = await serve(t, { principalLimits, perAddress: 2, trustedProxies: ['loopback'] })
  const statuses = []
  for (let i = 0; i < 3; i++) {
    statuses.push((await command(behind.url, 's', publish, { 'x-forwarded-for': '192.0.2.1' })).status)
  }
  t.same(statuses, [200, 200, 429])
})

t.test('refusals are counted by limit', async t => {
  const { url } = await serveWith(t, { commandBurst: 1 }, { authorize: byHeader })
  for (let i = 0; i < 3; i++) await command(url, 's', publish, ann)
  const metrics = await (await fetch(`${url}/metrics`, { headers: bob })).text()
  t.match(metrics, 'twinrail_rate_limited_total{limit="commands",of="principal"} 2')
  t.match(metrics, 'twinrail_rate_limited_total{limit="runs",of="principal"} 0')
})
