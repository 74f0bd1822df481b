/** The inspector's API: what it shows of subscribers, what it ends, search, export, and who may. */
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import t from 'tap'
import { random, seedOf } from '../../src/log/contract/random.ts'
import { ArchiveEnd, ArchiveHeader, ArchiveSession } from '../../src/protocol/archive.ts'
import { admin, bearer, byToken, nodes } from '../auth/stage.ts'
import { connect, fetchPage, follow, openSse, openWs, seqOf } from '../fixtures/wire-clients.ts'
import {
  byHeader,
  call,
  createSession,
  eventually,
  ingest,
  ingestLines,
  logged,
  serve,
  startRun,
} from '../fixtures/wire-server.ts'

interface Subscriber {
  subscriptionId: string
  connectionId: string
  transport: string
  principal: string
  cursor: string
  lag: string
  lagEvents: number
  lagBytes: number
  waitingBytes: number
  state: string
  runId?: string
}

interface Subscribers {
  nodeId: string
  subscribers: Subscriber[]
  total: number
  next?: string
}

const get = async <T>(url: string, path: string, headers = {}): Promise<T> => {
  const response = await fetch(`${url}/v1/inspect${path}`, { headers })
  const body = await response.json()
  if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(body)}`)
  return body as T
}

const subscribers = (url: string, session = 's', query = '') =>
  get<Subscribers>(url, `/sessions/${session}/subscribers${query}`)

const end = (url: string, path: string, headers = {}) =>
  call(`${url}/v1/inspect${path}`, { method: 'DELETE', headers })

t.test('a server has no inspector unless it is asked for', async t => {
  const { url } = await serve(t)
  for (const path of ['/inspect', '/inspect/', '/v1/inspect', '/v1/inspect/sessions/s/subscribers'])
    t.equal((await fetch(`${url}${path}`)).status, 404, path)
})

t.test('every transport is in the list, with its principal, its cursor and its state', async t => {
  const { url } = await serve(t, { inspector: true, authorize: byHeader })
  await createSession(url, 's')
  await ingest(url, 's', { type: 'x.a', data: 1 })
  const events = `${url}/v1/sessions/s/events`
  const sse = await openSse(t, `${events}?lag=skip`, { headers: { 'x-user': 'ann' } })
  const socket = await openWs(t, url, { headers: { 'x-user': 'bob' } })
  const hello = await socket.nextOf('hello')
  await socket.command({ type: 'subscribe', sessionId: 's' })
  await sse.nextOf('caught-up')
  await socket.nextOf('caught-up')
  const { next } = await fetchPage(url, 's')
  const poll = fetch(`${events}?wait=30000&after=${next}`, {
    headers: { accept: 'application/json', 'x-user': 'eve' },
  })
  await eventually(t, 'all three are listed', async () => (await subscribers(url)).total === 3)
  const list = await subscribers(url)
  const [first, second, third] = list.subscribers
  t.match(first, { transport: 'sse', principal: 'ann', state: 'live', lag: 'skip', cursor: next })
  t.match(second, {
    transport: 'websocket',
    principal: 'bob',
    connectionId: hello.connectionId,
    lagEvents: 0,
  })
  t.match(third, { transport: 'long-poll', principal: 'eve', state: 'waiting', cursor: next })

  const one = await subscribers(url, 's', '?limit=2')
  t.equal(one.subscribers.length, 2)
  const rest = await subscribers(url, 's', `?limit=2&after=${one.next}`)
  t.same(
    [...one.subscribers, ...rest.subscribers].map(({ subscriptionId }) => subscriptionId),
    list.subscribers.map(({ subscriptionId }) => subscriptionId),
  )
  t.equal(rest.next, undefined)
  const figures = await get<{
    connections: Record<string, number>
    log: { driver: string }
    nodeId: string
    subscriptions: number
    delivered: { events: number; bytes: number }
    appended: { events: number }
  }>(url, '')
  t.match(figures.connections, { sse: 1, websocket: 1, 'long-poll': 1 })
  t.equal(figures.log.driver, 'memory')
  t.equal(figures.nodeId, list.nodeId)
  t.equal(figures.subscriptions, 2)
  t.equal(figures.appended.events, 1)
  t.equal(figures.delivered.events, 2)
  t.ok(figures.delivered.bytes > 100)

  await ingest(url, 's', { type: 'x.a', data: 2 })
  t.equal((await poll).status, 200)
  t.equal((await subscribers(url)).total, 2, 'a poll that was answered is in the list no more')
  sse.close()
  await eventually(t, 'a stream that was left is in the list no more', async () => {
    return (await subscribers(url)).total === 1
  })
})

t.test('a client that does not read is stalled, one whose window is full paused', async t => {
  const { url } = await serve(t, { inspector: true, stallMs: 600_000 })
  await createSession(url, 's')
  const socket = await openWs(t, url)
  await socket.command({ type: 'subscribe', sessionId: 's', windowBytes: 1024 })
  await socket.nextOf('caught-up')
  const slow = await openSse(t, `${url}/v1/sessions/s/events`)
  await slow.nextOf('caught-up')
  slow.pause()
  const text = 'x'.repeat(200_000)
  const states = async () => (await subscribers(url)).subscribers.map(({ state }) => state)
  t.same(await states(), ['live', 'live'])
  await eventually(t, 'the socket of the slow one is full', async () => {
    await ingest(url, 's', { type: 'x.a', data: { text } })
    return (await states())[1] === 'stalled'
  })
  const [paused, stalled] = (await subscribers(url)).subscribers
  t.equal(paused?.state, 'paused')
  t.ok(stalled && stalled.lagEvents > 0 && stalled.lagBytes > text.length, `${stalled?.lagBytes}`)
  t.ok(stalled && stalled.waitingBytes > 0)
  const { lagging } = await get<{ lagging: number }>(url, '')
  t.equal(lagging, 2)
})

t.test('a subscription that is ended says so on its wire, and the others go on', async t => {
  const { url } = await serve(t, { inspector: true })
  await createSession(url, 's')
  const kept = await follow(t, 'sse', url, 's')
  await kept.nextOf('caught-up')
  const endOf = async (transport: string) => {
    const found = (await subscribers(url)).subscribers.findLast(one => one.transport === transport)
    return end(url, `/sessions/s/subscribers/${found?.subscriptionId}`)
  }
  const sse = await openSse(t, `${url}/v1/sessions/s/events`)
  await sse.nextOf('caught-up')
  t.match(await endOf('sse'), { status: 200, body: { ended: true } })
  t.match(await sse.nextOf('end'), { sessionId: 's', reason: 'forbidden' })
  await sse.ended

  const socket = await openWs(t, url)
  await socket.command({ type: 'subscribe', sessionId: 's' })
  await socket.nextOf('caught-up')
  await endOf('websocket')
  t.match(await socket.nextOf('end'), { sessionId: 's', reason: 'forbidden' })
  socket.send({ type: 'ping', time: 1 })
  t.ok(await socket.nextOf('pong'), 'the socket stays open')

  const poll = call(`${url}/v1/sessions/s/events?wait=30000`, { headers: { accept: 'application/json' } })
  await eventually(t, 'the poll waits', async () => (await subscribers(url)).total === 2)
  await endOf('long-poll')
  t.match(await poll, { status: 403, body: { error: { code: 'forbidden' } } })

  await ingest(url, 's', { type: 'x.a', data: 1 })
  t.equal((await kept.events(1)).length, 1)
  const { nodeId } = await subscribers(url)
  const foreign = `${nodeId.startsWith('0') ? '1' : '0'}${nodeId.slice(1, 8)}-1`
  t.match(await end(url, `/sessions/s/subscribers/${foreign}`), { status: 200, body: { ended: false } })
  t.equal((await end(url, '/sessions/s/subscribers/1')).status, 400)
})

t.test('a run as a foreign stream ends with a failure of its dialect', async t => {
  const { url } = await serve(t, { inspector: true })
  const response = await fetch(`${url}/ag-ui/idle`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({
      threadId: 's',
      runId: 'r',
      messages: [{ id: 'm', role: 'user', content: 'Wait' }],
      tools: [],
      context: [],
      state: {},
      forwardedProps: { input: {} },
    }),
  })
  t.equal(response.status, 200)
  const { sessions } = (await (await fetch(`${url}/v1/sessions`)).json()) as {
    sessions: { sessionId: string }[]
  }
  const id = sessions[0]?.sessionId as string
  const [found] = (await subscribers(url, id)).subscribers
  t.match(found, { transport: 'ag-ui', state: 'live', runId: String })
  await end(url, `/sessions/${id}/subscribers/${found?.subscriptionId}`)
  t.match(await response.text(), /RUN_ERROR.*"forbidden"/)
})

t.test('a connection that is closed reconnects at its cursor', async t => {
  const { url } = await serve(t, { inspector: true })
  await createSession(url, 's')
  const socket = await openWs(t, url)
  const { connectionId } = await socket.nextOf('hello')
  t.match(await end(url, `/connections/${connectionId}`), { status: 200, body: { ended: true } })
  t.match(await socket.nextOf('closing'), { code: 'restart', retryAfterMs: 0 })
  t.equal((await socket.closed).code, 1012)
  t.match(await end(url, `/connections/${connectionId}`), { status: 200, body: { ended: false } })

  const stream = await connect('eventsource', url, 's')
  t.teardown(() => stream.close())
  await stream.nextOf('caught-up')
  const [before] = (await subscribers(url)).subscribers
  await end(url, `/connections/${before?.connectionId}`)
  await ingest(url, 's', { type: 'x.a', data: 1 })
  t.equal((await stream.events(1)).length, 1, 'it is back')
  t.not((await subscribers(url)).subscribers[0]?.connectionId, before?.connectionId)
})

t.test('search finds by type, run and text, newest first, a bounded part at a time', async t => {
  const next = random(seedOf(t))
  const wire = await serve(t, { inspector: true })
  const { url } = wire
  await createSession(url, 's')
  const words = ['Ärger', 'needle "quoted"', 'hay\nstack', 'plain']
  const made = Array.from({ length: 45_000 }, (_, i) => ({
    type: next() < 0.01 ? 'x.rare.kind' : 'x.note',
    data: { i, word: words[Math.floor(next() ** 6 * words.length)] },
  }))
  for (let i = 0; i < made.length; i += 5000)
    await ingestLines(
      url,
      's',
      made
        .slice(i, i + 5000)
        .map(event => JSON.stringify(event))
        .join('\n'),
    )
  await startRun(
    url,
    's',
    'script',
    { events: [{ type: 'x.note', data: { word: 'other' } }] },
    { runId: 'r1' },
  )
  await eventually(t, 'the run has ended', async () =>
    (await logged(wire, 's')).at(-1)?.includes('run.completed'),
  )
  const all = (await logged(wire, 's')).map(json => ({ json, event: JSON.parse(json) }))

  type Page = { events: { offset: string }[]; looked: number; next?: string }
  /** All results, over as many requests as it takes. */
  const search = async (query: string, limit = 1000) => {
    const offsets: string[] = []
    let requests = 0
    for (let before = ''; ; ) {
      const page = await get<Page>(url, `/sessions/s/search?limit=${limit}&${query}${before}`)
      requests++
      t.ok(page.looked <= 20_000 && page.events.length <= limit)
      offsets.push(...page.events.map(({ offset }) => offset))
      if (!page.next) return { offsets, requests }
      before = `&before=${page.next}`
    }
  }
  const wanted = (fits: (event: { type: string; runId?: string; data: { word?: string } }) => boolean) =>
    all
      .filter(({ event }) => fits(event))
      .map(({ event }) => event.offset)
      .reverse()

  const rare = await search('type=x.rare.kind')
  t.same(
    rare.offsets,
    wanted(({ type }) => type === 'x.rare.kind'),
  )
  t.ok(rare.requests >= 3, `${rare.requests} requests for ${all.length} events`)
  t.same(
    (await search('type=x.rare.*', 100)).offsets,
    rare.offsets,
    'by the beginning of the type, in small pages',
  )
  t.same(
    (await search('run=r1')).offsets,
    wanted(({ runId }) => runId === 'r1'),
  )
  t.same(
    (await search('type=run.*')).offsets,
    wanted(({ type }) => type.startsWith('run.')),
  )
  for (const [text, fits] of [
    ['NEEDLE', (word: string) => /needle/i.test(word)],
    ['needle "q', (word: string) => word.includes('needle "q')],
    ['hay\nstack', (word: string) => word === 'hay\nstack'],
    ['ärger', (word: string) => word === 'Ärger'],
    ['sessionId', () => false],
  ] as const) {
    const { offsets } = await search(`text=${encodeURIComponent(text)}`)
    t.same(
      offsets,
      wanted(({ data }) => fits(data.word ?? '')),
      JSON.stringify(text),
    )
  }
  t.match(await call(`${url}/v1/inspect/sessions/s/search?run=other`), { status: 404 })
  t.match(await call(`${url}/v1/inspect/sessions/s/search?before=1-1`), { status: 409 })
  t.match(await call(`${url}/v1/inspect/sessions/other/search`), { status: 404 })
})

t.test('an export has all events as the log has them, and an end with their digest', async t => {
  const wire = await serve(t, { inspector: true, retention: { events: 3000 }, retentionEveryMs: 10 })
  const { url } = wire
  await createSession(url, 's')
  const lines = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      JSON.stringify({ type: 'x.a', data: { i, text: 'ü'.repeat(i % 300) } }),
    )
  const file = async () => {
    const response = await fetch(`${url}/v1/inspect/sessions/s/export`)
    t.equal(response.status, 200)
    t.match(response.headers.get('content-type'), /^application\/x-ndjson/)
    t.match(response.headers.get('content-disposition'), 'attachment; filename="s.ndjson"')
    return response.text()
  }
  const isWhole = async (text: string) => {
    const [header = '', session = '', ...rest] = text.trimEnd().split('\n')
    const last = rest.pop() ?? ''
    t.ok(ArchiveHeader.safeParse(JSON.parse(header)).success, header)
    const about = ArchiveSession.parse(JSON.parse(session)).session
    const { end } = ArchiveEnd.parse(JSON.parse(last))
    t.equal(end.events, rest.length)
    t.equal(
      end.sha256,
      createHash('sha256')
        .update(text.slice(0, text.indexOf(last)))
        .digest('hex'),
    )
    // Some may have been trimmed since.
    const left: string[] = []
    for await (const { json } of wire.server.journal.events('s', 0)) left.push(json)
    t.same(left.length === 0 ? [] : rest.slice(-left.length), left, 'the events are those of the log')
    return about
  }
  await isWhole(await file())
  await ingestLines(url, 's', lines(5000).join('\n'))
  await eventually(t, 'events were trimmed', async () => {
    return seqOf(((await call(`${url}/v1/sessions/s`)).body as { earliest?: string }).earliest) > 1
  })
  const about = await isWhole(await file())
  t.ok(about.snapshot && about.snapshot.seq >= seqOf(about.earliest) - 1, 'what was trimmed is in a snapshot')
})

t.test('an export that nobody reads takes no memory and ends after stallMs', async t => {
  const { url } = await serve(t, { inspector: true, stallMs: 300 })
  await createSession(url, 's')
  const line = JSON.stringify({ type: 'x.a', data: { text: 'x'.repeat(100_000) } })
  for (let i = 0; i < 10; i++) await ingestLines(url, 's', Array(50).fill(line).join('\n'))
  const outcome = await new Promise<string>((resolve, reject) => {
    request(`${url}/v1/inspect/sessions/s/export`, response => {
      // It is not read at first.
      const before = process.memoryUsage().arrayBuffers
      let most = 0
      const look = setInterval(() => {
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      }, 20)
      const isOver = (how: string) => {
        clearInterval(look)
        t.ok(most < 25 * 1024 * 1024, `${most} bytes for a session of 50 MB`)
        resolve(how)
      }
      response.on('error', () => isOver('cut'))
      response.on('end', () => isOver('complete'))
      response.socket.once('close', () => response.resume())
      setTimeout(() => response.resume(), 3000)
    })
      .on('error', reject)
      .end()
  })
  t.equal(outcome, 'cut')
})

t.test('only an admin may inspect, and content needs read as well', async t => {
  const [{ url }] = await nodes(t, { inspector: true, authorize: byToken })
  const ann = await bearer('ann')
  const operator = await bearer('op', { twinrail: [{ sessions: ['*'], allow: ['admin', 'read'] }] })
  const headers = { ...ann, 'content-type': 'application/json' }
  await call(`${url}/v1/sessions`, { method: 'POST', headers, body: '{"sessionId":"s"}' })
  const stream = await openSse(t, `${url}/v1/sessions/s/events`, { headers: ann })
  await stream.nextOf('caught-up')
  const status = async (path: string, headers: object) =>
    (await call(`${url}/v1/inspect${path}`, { headers: headers as Record<string, string> })).status
  for (const path of ['', '/sessions/s/subscribers', '/sessions/s/search', '/sessions/s/export']) {
    const withContent = /search|export/.test(path)
    t.equal(await status(path, {}), 401, `nobody: ${path}`)
    t.equal(await status(path, ann), 403, `the owner: ${path}`)
    t.equal(await status(path, await admin()), withContent ? 403 : 200, `an admin: ${path}`)
  }
  for (const path of ['', '/sessions/s/subscribers', '/sessions/s/search'])
    t.equal(await status(path, operator), 200, `an admin who may read: ${path}`)
  const { subscribers } = await get<Subscribers>(url, '/sessions/s/subscribers', await admin())
  t.match(subscribers, [{ principal: 'ann' }])
  const path = `/sessions/s/subscribers/${subscribers[0]?.subscriptionId}`
  t.equal((await end(url, path, ann)).status, 403)
  t.match(await end(url, path, await admin()), { status: 200, body: { ended: true } })
  t.match(await stream.nextOf('end'), { reason: 'forbidden' })
})

t.test('the page is public, and its policy is strict', async t => {
  const { url } = await serve(t, { inspector: true, authorize: byToken })
  const bare = await fetch(`${url}/inspect?a=1`, { redirect: 'manual' })
  t.equal(bare.status, 308)
  t.equal(bare.headers.get('location'), 'inspect/?a=1')
  const page = await fetch(`${url}/inspect/`)
  t.ok([200, 404].includes(page.status))
  t.match(page.headers.get('content-security-policy'), /default-src 'self'.*frame-ancestors 'none'/)
  t.equal((await fetch(`${url}/inspect/assets/..%2Finspector.html`)).status, 404)
})
