/** Promise 9: bad input gets its documented answer, changes nothing, and the server goes on. */
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect as connectTcp } from 'node:net'
import t, { type Test } from 'tap'
import {
  eventsUrl,
  fetchPage,
  follow,
  type Message,
  openSse,
  openWs,
  transports,
  WsClient,
} from '../fixtures/wire-clients.ts'
import { eventually, headOf, ingest, logged, serve, startRun, type Wire } from '../fixtures/wire-server.ts'

interface Call {
  method?: string
  path: string
  headers?: Record<string, string>
  body?: string | Buffer
}

/** A call, and the status, code and `details.path` of its refusal. */
type Case = [call: Call, status: number, code: string, path?: string | undefined]

interface Answered {
  status: number
  headers: IncomingHttpHeaders
  body: Message & { error?: Message & { requestId?: string } }
}

/** One request with exactly these headers, on a connection of its own. */
function ask(url: string, { method = 'GET', path, headers = {}, body }: Call): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const sent = request(url + path, { method, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', part => {
        text += part
        // A stream, where none was expected, would never end.
        if (String(response.headers['content-type']).startsWith('text/event-stream')) response.destroy()
      })
      response.on('close', () => {
        try {
          const json = String(response.headers['content-type']).startsWith('application/json')
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: json ? JSON.parse(text) : { type: text },
          })
        } catch (error) {
          reject(error)
        }
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

const json = { 'content-type': 'application/json' }
const ndjson = { 'content-type': 'application/x-ndjson' }
const commands = '/v1/sessions/s/commands'
const events = '/v1/sessions/s/events'
const publish = { id: '1', type: 'publish', event: { type: 'x.a', data: null } }

/** A post of a command, or of whatever stands in its place. */
const post = (body: unknown, path = commands, headers: Record<string, string> = json): Call => ({
  method: 'POST',
  path,
  headers,
  body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
})

/** A server with a session `s`, and what must hold after every refusal. */
async function stage(t: Test) {
  const wire = await serve(t)
  const { url } = wire
  await ingest(url, 's', [
    { type: 'x.first', data: 1 },
    { type: 'run.started', runId: 'theirs', data: { agent: 'a', input: null } },
  ])
  const head = await headOf(url, 's')
  let published = 0
  /** Nothing was appended, no session was made, and a valid request works. */
  async function unharmed(): Promise<string | undefined> {
    if ((await headOf(url, 's')) !== head) return 'the head moved'
    const listed = await ask(url, { path: '/v1/sessions' })
    const ids = (listed.body as unknown as { sessions: { sessionId: string }[] }).sessions
    const unknown = ids.filter(({ sessionId }) => !['s', 'valid'].includes(sessionId))
    if (unknown.length > 0) return `made ${JSON.stringify(unknown)}`
    const { body } = await ask(url, post(publish, '/v1/sessions/valid/commands'))
    if (body.type !== 'ack' || !body.offset?.endsWith(`-${++published}`)) return JSON.stringify(body)
    if ('polluted' in {}) return 'Object.prototype was changed'
    return undefined
  }
  return { ...wire, head: head as string, unharmed }
}

/** Sends each call and compares status and code. */
async function refuses(
  t: Test,
  cases: Record<string, Case>,
  stage: { url: string; unharmed(): Promise<string | undefined> },
): Promise<void> {
  for (const [name, [call, status, code, path]] of Object.entries(cases)) {
    const answer = await ask(stage.url, call)
    const { body } = answer
    const isCommand = call.path.split('?')[0]?.endsWith('/commands')
    const told: Partial<Message> = isCommand ? body : (body.error ?? {})
    const got = { status: answer.status, code: told.code, ...(path && { path: told.details?.['path'] }) }
    t.same(got, { status, code, ...(path && { path }) }, name)
    if (isCommand) t.match(body, { type: 'nack', retryable: false, message: /./ }, `${name}: a nack`)
    else t.match(body, { error: { message: /./, requestId: /./ } }, `${name}: the error's form`)
    t.equal(await stage.unharmed(), undefined, `${name}: nothing happened`)
  }
}

t.test('commands over HTTP that are none', async t => {
  const s = await stage(t)
  const wrong = (body: unknown, path?: string): Case => [post(body), 400, 'bad-request', path]
  await refuses(
    t,
    {
      'an unknown type': wrong({ id: '1', type: 'run.fly' }, 'type'),
      'no type': wrong({ id: '1' }, 'type'),
      'a type that is no text': wrong({ id: '1', type: 5 }, 'type'),
      'a type of every object': wrong({ id: '1', type: 'constructor' }, 'type'),
      'no id': wrong({ ...publish, id: undefined }, 'id'),
      'an empty id': wrong({ ...publish, id: '' }, 'id'),
      'an id of 65 characters': wrong({ ...publish, id: 'i'.repeat(65) }, 'id'),
      'an id that is a number': wrong({ ...publish, id: 7 }, 'id'),
      'a key with a line break': wrong({ ...publish, key: 'a\nb' }, 'key'),
      'a key of 129 characters': wrong({ ...publish, key: 'k'.repeat(129) }, 'key'),
      'an array': wrong([publish]),
      'a number': wrong('5'),
      null: wrong('null'),
      'a text': wrong('"publish"'),
      nothing: wrong(''),
      'broken JSON': wrong('{"id":"1",'),
      'two objects': wrong('{}{}'),
      'JSON with a tail': wrong(`${JSON.stringify(publish)}x`),
      'another session in the body': wrong({ ...publish, sessionId: 'other' }, 'sessionId'),
      'a session that is no text': wrong({ ...publish, sessionId: ['s'] }, 'sessionId'),
      'a subscribe': wrong({ id: '1', type: 'subscribe' }, 'type'),
      'an unsubscribe': wrong({ id: '1', type: 'unsubscribe' }, 'type'),
      'a window': wrong({ id: '1', type: 'window', offset: '1-1' }, 'type'),
      'a ping': wrong({ id: '1', type: 'ping', time: 1 }, 'type'),
      'an event of the protocol': wrong(
        { ...publish, event: { type: 'text.delta', data: {} } },
        'event.type',
      ),
      'an event without a name': wrong({ ...publish, event: { type: 'x.', data: 1 } }, 'event.type'),
      'an event with a line break in its type': wrong(
        { ...publish, event: { type: 'x.a\n', data: 1 } },
        'event.type',
      ),
      'an event with a quote in its type': wrong(
        { ...publish, event: { type: 'x.a"', data: 1 } },
        'event.type',
      ),
      'an event without data': wrong({ ...publish, event: { type: 'x.a' } }, 'event.data'),
      'an event in a run with a bad id': wrong(
        { ...publish, event: { type: 'x.a', data: 1, runId: 'a"b' } },
        'event.runId',
      ),
      'a run without an agent': wrong({ id: '1', type: 'run.start', input: {} }, 'agent'),
      'a run with a bad id': wrong(
        { id: '1', type: 'run.start', agent: 'idle', input: 1, runId: '../x' },
        'runId',
      ),
      'a run with another policy': wrong(
        { id: '1', type: 'run.start', agent: 'idle', input: 1, onNoViewers: 'stop' },
        'onNoViewers',
      ),
      'input that the agent refuses': wrong(
        { id: '1', type: 'run.start', agent: 'halves', input: { count: 'many' } },
        'count',
      ),
      'no input where the agent wants some': wrong({ id: '1', type: 'run.start', agent: 'halves' }),
      'an answer without a value': wrong({ id: '1', type: 'input.answer', requestId: 'q' }, 'value'),
      'an empty word': wrong({ id: '1', type: 'input.steer', runId: 'theirs', text: '' }, 'text'),
      'a cancel with a reason that is no text': wrong(
        { id: '1', type: 'run.cancel', runId: 'theirs', reason: { a: 1 } },
        'reason',
      ),
    },
    s,
  )
})

t.test('commands over HTTP that make no sense here', async t => {
  const s = await stage(t)
  const on = (sessionId: string, body: object) => post(body, `/v1/sessions/${sessionId}/commands`)
  const cancel = { id: '1', type: 'run.cancel', runId: 'r' }
  const answer = { id: '1', type: 'input.answer', requestId: 'q', value: 1 }
  const steer = { id: '1', type: 'input.steer', runId: 'r', text: 'hm' }
  const inRun = { ...publish, event: { ...publish.event, runId: 'r' } }
  await refuses(
    t,
    {
      'an unknown agent': [
        post({ id: '1', type: 'run.start', agent: 'nobody', input: 1 }),
        404,
        'agent-not-found',
      ],
      'an agent of every object': [
        post({ id: '1', type: 'run.start', agent: '__proto__', input: 1 }),
        404,
        'agent-not-found',
      ],
      'an unknown agent in an unknown session': [
        on('new', { id: '1', type: 'run.start', agent: 'nobody', input: 1 }),
        404,
        'agent-not-found',
      ],
      'bad input in an unknown session': [
        on('new', { id: '1', type: 'run.start', agent: 'halves', input: 1 }),
        400,
        'bad-request',
      ],
      'a cancel in an unknown session': [on('new', cancel), 404, 'session-not-found'],
      'an answer in an unknown session': [on('new', answer), 404, 'session-not-found'],
      'a word in an unknown session': [on('new', steer), 404, 'session-not-found'],
      "a run's event in an unknown session": [on('new', inRun), 404, 'session-not-found'],
      'an answer to nothing': [post(answer), 404, 'input-not-found'],
      'a word to no run': [post(steer), 404, 'run-not-found'],
      'an event of no run': [post(inRun), 404, 'run-not-found'],
      'a path that names no session': [on('a%20b', publish), 400, 'bad-request', 'sessionId'],
      'a session of 129 characters': [on('s'.repeat(129), publish), 400, 'bad-request', 'sessionId'],
    },
    s,
  )
  const longest = 's'.repeat(128)
  const accepted = await ask(s.url, on(longest, publish))
  t.match(accepted, { status: 200, body: { type: 'ack' } }, '128 characters are fine')
  t.equal((await fetchPage(s.url, longest)).events.length, 1)
})

t.test('bodies of another kind or size', async t => {
  const s = await stage(t)
  const kind = (headers: Record<string, string>, path = commands): [Call, number, string] => [
    post(publish, path, headers),
    415,
    'unsupported-media-type',
  ]
  const large = { ...publish, event: { type: 'x.a', data: 'x'.repeat(1024 * 1024) } }
  const event = { type: 'x.a', data: 'x'.repeat(1024 * 1024) }
  // 400,000 characters of three bytes: few enough for a line, too many bytes for an event.
  const wide = { type: 'x.a', data: '漢'.repeat(400_000) }
  await refuses(
    t,
    {
      'a command as text/plain': kind({ 'content-type': 'text/plain' }),
      'a command as a form': kind({ 'content-type': 'application/x-www-form-urlencoded' }),
      'a command as nothing': kind({}),
      'a command as NDJSON': kind(ndjson),
      'a command as multipart': kind({ 'content-type': 'multipart/form-data; boundary=a' }),
      'events as text/plain': kind({ 'content-type': 'text/plain' }, events),
      'events as XML': kind({ 'content-type': 'application/xml' }, events),
      'a new session as text/plain': kind({ 'content-type': 'text/plain' }, '/v1/sessions'),
      'a new session as NDJSON': kind(ndjson, '/v1/sessions'),
      'a command that is too large': [post(large), 413, 'too-large'],
      'a command that is too large, in chunks': [
        post(large, commands, { ...json, 'transfer-encoding': 'chunked' }),
        413,
        'too-large',
      ],
      'events that are too large': [post([event], events), 413, 'too-large'],
      'a line that is too large': [post(`${JSON.stringify(event)}\n`, events, ndjson), 413, 'too-large'],
      'an event that is too large': [post(JSON.stringify(wide), events, ndjson), 413, 'too-large'],
      'metadata that is too large': [
        post({ sessionId: 'x', metadata: { a: 'x'.repeat(20_000) } }, '/v1/sessions'),
        400,
        'bad-request',
        'metadata',
      ],
      'metadata that is no object': [post({ metadata: [] }, '/v1/sessions'), 400, 'bad-request', 'metadata'],
      'a session with a bad id': [post({ sessionId: '-a' }, '/v1/sessions'), 400, 'bad-request', 'sessionId'],
    } as Record<string, Case>,
    s,
  )
})

t.test('ingest of what is no event', async t => {
  const s = await stage(t)
  const wrong = (body: unknown, path?: string): Case => [post(body, events), 400, 'bad-request', path]
  const line = (body: unknown): [Call, number, string] => [
    post(typeof body === 'string' ? body : JSON.stringify(body), events, ndjson),
    400,
    'bad-request',
  ]
  const ok = { type: 'x.ok', data: 1 }
  await refuses(
    t,
    {
      nothing: wrong(''),
      'no events': wrong([]),
      null: wrong('null'),
      'an array of null': wrong([null]),
      'an array in an array': wrong([[ok]]),
      'an unknown type': wrong({ type: 'run.flown', data: {} }, 'type'),
      'a type of every object': wrong({ type: 'toString', data: {} }, 'type'),
      'no data': wrong({ type: 'x.a' }, 'data'),
      'data of the wrong shape': wrong({ type: 'text.delta', data: { partId: 'p' } }, 'data.delta'),
      'one bad event among good ones': wrong([ok, { type: 'text.delta', data: {} }, ok]),
      'an answer': wrong(
        { type: 'input.answered', runId: 'theirs', data: { requestId: 'q', value: 1 } },
        'type',
      ),
      'a steering': wrong(
        { type: 'input.steered', runId: 'theirs', data: { inputId: 'q', text: 'a' } },
        'type',
      ),
      'a wish to cancel': wrong({ type: 'run.cancel-requested', runId: 'theirs', data: {} }, 'type'),
      'a run without an id': wrong({ type: 'run.started', data: { agent: 'a', input: 1 } }, 'runId'),
      'a question without a run': wrong(
        { type: 'input.requested', data: { requestId: 'q', kind: 'approval', message: 'a' } },
        'runId',
      ),
      'a question with a schema that is none': wrong(
        {
          type: 'input.requested',
          runId: 'theirs',
          data: { requestId: 'q', kind: 'approval', message: 'a', schema: { $ref: '#/nowhere' } },
        },
        'data.schema',
      ),
      'no line': line(''),
      'empty lines': line('\n\n \n'),
      'a line that is no JSON': line('{"type":'),
      'a line that is no event': line([ok]),
      'a producer without a number': [post(ok, `${events}?producer=p`), 400, 'bad-request', 'producer'],
      'a number without a producer': [post(ok, `${events}?seq=1`), 400, 'bad-request', 'producer'],
      'a number below zero': [post(ok, `${events}?producer=p&seq=-1`), 400, 'bad-request', 'seq'],
      'no number': [post(ok, `${events}?producer=p&seq=`), 400, 'bad-request', 'seq'],
      'a number that is none': [post(ok, `${events}?producer=p&seq=one`), 400, 'bad-request', 'seq'],
      'a producer with a bad id': [
        post(ok, `${events}?producer=a%0Ab&seq=1`),
        400,
        'bad-request',
        'producer',
      ],
      'an event of no run': [post({ ...ok, runId: 'none' }, events), 404, 'run-not-found'],
      'an event of no run in an unknown session': [
        post({ ...ok, runId: 'none' }, '/v1/sessions/new/events'),
        404,
        'run-not-found',
      ],
    },
    s,
  )
})

t.test('queries that cannot be read', async t => {
  const s = await stage(t)
  const wrong: Record<string, Case> = {}
  const offsets = [
    'abc',
    '1-',
    '-1',
    '-',
    '1',
    '01-1',
    '1-01',
    '0-1',
    '1-1-1',
    '1- 1',
    '1.5-1',
    `${'9'.repeat(17)}-1`,
  ]
  const queries = [
    ...offsets.map(offset => `after=${encodeURIComponent(offset)}`),
    'after=',
    'after=1-1%0A',
    'after=1-1%0D%0Adata:x',
    'after=1-1&after=1-2',
    'replay=all',
    'replay=full&replay=none',
    'lag=none',
    'last=-1',
    'last=1.5',
    'last=',
    'last=1e3',
    'last=1&last=2',
    'run=',
    'run=a%20b',
    'run=a&run=b',
    'coalesceMs=501',
    'coalesceMs=x',
    'heartbeatMs=999',
    'heartbeatMs=60001',
    'heartbeatMs=1000&heartbeatMs=2000',
  ]
  for (const query of queries) {
    const path = query.slice(0, query.indexOf('='))
    for (const accept of ['text/event-stream', 'application/json']) {
      const call = { path: `${events}?${query}`, headers: { accept } }
      wrong[`${query} as ${accept}`] = [call, 400, 'bad-request', path]
    }
  }
  const pages = [
    'limit=0',
    'limit=-1',
    'limit=x',
    'limit=1.5',
    'limit=1&limit=2',
    'wait=-1',
    'wait=x',
    'wait=1&wait=2',
  ]
  for (const query of [...pages, 'before=abc', 'before=1-1&before=1-1']) {
    const call = { path: `${events}?${query}`, headers: { accept: 'application/json' } }
    wrong[query] = [call, 400, 'bad-request', query.slice(0, query.indexOf('='))]
  }
  for (const id of offsets) {
    const call = { path: events, headers: { accept: 'text/event-stream', 'last-event-id': id } }
    wrong[`Last-Event-ID: ${id}`] = [call, 400, 'bad-request', 'after']
  }
  const stream = { accept: 'text/event-stream' }
  await refuses(
    t,
    {
      ...wrong,
      'a stream as HTML': [{ path: events, headers: { accept: 'text/html' } }, 400, 'bad-request'],
      'an unknown session': [{ path: '/v1/sessions/new/events', headers: stream }, 404, 'session-not-found'],
      'an unknown session with a run': [
        { path: '/v1/sessions/new/events?run=r', headers: stream },
        404,
        'session-not-found',
      ],
      "an unknown session's page": [
        { path: '/v1/sessions/new/events', headers: { accept: 'application/json' } },
        404,
        'session-not-found',
      ],
      "an unknown session's page, to wait for": [
        { path: '/v1/sessions/new/events?wait=10000', headers: { accept: 'application/json' } },
        404,
        'session-not-found',
      ],
      'an unknown run': [{ path: `${events}?run=r`, headers: stream }, 404, 'run-not-found'],
      "an unknown run's page": [
        { path: `${events}?run=r`, headers: { accept: 'application/json' } },
        404,
        'run-not-found',
      ],
      "an unknown session's state": [{ path: '/v1/sessions/new' }, 404, 'session-not-found'],
      'a session with a bad id': [{ path: '/v1/sessions/a%0Ab' }, 400, 'bad-request', 'sessionId'],
      'an escape that is none': [{ path: '/v1/sessions/%zz' }, 400, 'bad-request'],
      'a list after a bad id': [{ path: '/v1/sessions?after=a%20b' }, 400, 'bad-request', 'after'],
      'a list of none': [{ path: '/v1/sessions?limit=0' }, 400, 'bad-request', 'limit'],
      'an unknown route': [{ path: '/v2/sessions' }, 404, 'not-found'],
      'an unknown method': [{ method: 'PUT', path: '/v1/sessions/s' }, 404, 'not-found'],
    },
    s,
  )
  // Unknown names are ignored.
  const path = `${events}?unknown=1&unknown=2&__proto__=3&constructor=4`
  const page = await ask(s.url, { path, headers: { accept: 'application/json' } })
  t.match(page, { status: 200, body: { head: s.head } })
})

t.test('cursors that mean nothing here say reset, and all is told', async t => {
  const s = await stage(t)
  const log = await logged(s as Wire, 's')
  const [epoch, seq] = s.head.split('-')
  const cursors = [
    ['9999999999999-1', 'epoch'],
    [`9${'9'.repeat(15)}-${'9'.repeat(16)}`, 'epoch'],
    [`${Number(epoch) - 1}-0`, 'epoch'],
    [`${epoch}-${Number(seq) + 1}`, 'ahead'],
    [`${epoch}-${'9'.repeat(16)}`, 'ahead'],
  ] as const
  for (const transport of transports) {
    for (const [after, reason] of cursors) {
      const stream = await follow(t, transport, s.url, 's', { after, replay: 'full' })
      const got = await stream.until('caught-up')
      const said = got.filter(({ message }) => !['hello', 'ack', 'ping'].includes(message.type))
      const expected = [
        ...(transport === 'long-poll' ? [] : [{ type: 'subscribed', after: `${epoch}-0`, head: s.head }]),
        { type: 'reset', sessionId: 's', reason, head: s.head },
        { type: 'x.first' },
        { type: 'run.started' },
        { type: 'caught-up', offset: s.head },
      ]
      t.match(
        said.map(({ message }) => message),
        expected,
        `${transport} after ${after}`,
      )
      t.equal(said.length, expected.length)
      t.same(
        said.slice(-3, -1).map(({ json }) => json),
        log,
      )
      stream.close()
    }
  }
  t.equal(await s.unharmed(), undefined)
})

t.test('pages of other sites and foreign names for this host', async t => {
  const s = await stage(t)
  const { host } = new URL(s.url)
  const routes: [string, string][] = [
    ['GET', '/'],
    ['GET', '/page.js'],
    ['GET', '/healthz'],
    ['GET', '/readyz'],
    ['GET', '/metrics'],
    ['GET', '/openapi.json'],
    ['GET', '/v1/agents'],
    ['GET', '/v1/guide'],
    ['GET', '/v1/sessions'],
    ['POST', '/v1/sessions'],
    ['GET', '/v1/sessions/s'],
    ['DELETE', '/v1/sessions/s'],
    ['GET', events],
    ['POST', events],
    ['POST', commands],
    ['OPTIONS', commands],
    ['GET', '/v1/ws'],
    ['GET', '/nowhere'],
  ]
  for (const [method, path] of routes) {
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `http://${host}.evil.example` },
      { origin: 'http://127.0.0.1:1' },
      { host: 'evil.example' },
      { host: '127.0.0.1.evil.example' },
      { host: 'evil.example', origin: 'http://evil.example' },
    ] as Record<string, string>[]) {
      const body = method === 'POST' ? JSON.stringify({ ...publish, ...publish.event }) : undefined
      const { status, body: answer } = await ask(s.url, {
        method,
        path,
        headers: { ...(body && json), ...headers },
        ...(body && { body }),
      })
      const code = path === commands && method === 'POST' ? answer.code : answer.error?.code
      if (status !== 403 || code !== 'forbidden') {
        t.fail(`${method} ${path} ${JSON.stringify(headers)}: ${status} ${JSON.stringify(answer)}`)
      }
    }
    t.equal(await s.unharmed(), undefined, `${method} ${path}`)
  }
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { host: 'evil.example' },
  ] as Record<string, string>[]) {
    await t.rejects(WsClient.open(s.url, [], { headers }), /403/, JSON.stringify(headers))
  }
  const { port } = new URL(s.url)
  for (const headers of [
    { origin: s.url },
    { origin: `http://localhost:${port}`, host: `localhost:${port}` },
    { host: 'localhost' },
    { host: `[::1]:${port}` },
    { host: 'a.localhost' },
  ] as Record<string, string>[]) {
    t.equal((await ask(s.url, { path: '/v1/sessions/s', headers })).status, 200, JSON.stringify(headers))
    const client = await openWs(t, s.url, { headers })
    t.match(await client.nextOf('hello'), { protocol: 1 })
  }
  t.equal(await s.unharmed(), undefined)
})

t.test('upgrades that are refused leave no socket behind', async t => {
  const { url, server } = await serve(t)
  const count = () =>
    new Promise<number>(resolve => server.app.server.getConnections((_, count) => resolve(count)))
  const upgrade = {
    connection: 'upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  const refused: [path: string, headers: Record<string, string>, status: number][] = [
    ['/v1/ws', { ...upgrade, origin: 'https://evil.example' }, 403],
    ['/v1/ws', { ...upgrade, host: 'evil.example' }, 403],
    ['/v1/ws', { ...upgrade, 'sec-websocket-protocol': 'other' }, 400],
    ['/nowhere', upgrade, 404],
    ['/v1/sessions/%zz', upgrade, 400],
    ['/v1/ws', { ...upgrade, 'sec-websocket-version': '12' }, 400],
  ]
  for (const [path, headers, status] of refused) {
    const got = await new Promise(resolve => {
      const socket = connectTcp(Number(new URL(url).port), '127.0.0.1')
      const head = Object.entries({ host: 'localhost', ...headers }).map(
        ([name, value]) => `${name}: ${value}`,
      )
      socket.write(`GET ${path} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`)
      // A client that never closes by itself.
      socket.once('data', data => resolve(Number(String(data).slice(9, 12))))
      t.teardown(() => socket.destroy())
    })
    t.equal(got, status, `${path} ${JSON.stringify(headers)}`)
  }
  await eventually(t, 'all are closed by the server', async () => (await count()) === 0)
})

t.test('listed origins get in, and CORS', async t => {
  const origin = 'https://app.example'
  const { url } = await serve(t, { origins: [origin] })
  await ingest(url, 's', { type: 'x.a', data: 1 })
  const allowed = { 'access-control-allow-origin': origin }
  t.match((await ask(url, { path: '/v1/sessions/s', headers: { origin } })).headers, allowed)
  const stream = await openSse(t, eventsUrl(url, 's'), { headers: { origin } })
  t.match(stream.headers, { ...allowed, vary: /Accept\b.*Origin|Origin.*Accept\b/ })
  const preflight = await ask(url, {
    method: 'OPTIONS',
    path: commands,
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,last-event-id',
    },
  })
  t.equal(preflight.status, 204)
  t.match(preflight.headers, allowed)
  t.match(preflight.headers['access-control-allow-headers'], /last-event-id/)
  t.equal((await ask(url, { path: '/v1/sessions/s', headers: { origin: 'https://b.example' } })).status, 403)
  const client = await openWs(t, url, { headers: { origin } })
  t.match(await client.nextOf('hello'), { protocol: 1 })
})

t.test('requests that are no HTTP', async t => {
  const s = await stage(t)
  const { port, host } = new URL(s.url)
  const bad: Record<string, string> = {
    'a line break in a header': `GET /v1/sessions/s HTTP/1.1\r\nHost: ${host}\r\nLast-Event-ID: 1-1\rX: y\r\n\r\n`,
    'a line feed in a header': `GET ${events} HTTP/1.1\r\nHost: ${host}\r\nLast-Event-ID: 1-1\n \0\r\n\r\n`,
    'a NUL in a header': `GET ${events} HTTP/1.1\r\nHost: ${host}\r\nX-Bad: a\0b\r\n\r\n`,
    'a space before the colon': `GET ${events} HTTP/1.1\r\nHost: ${host}\r\nX-Bad : a\r\n\r\n`,
    'no host': 'GET /v1/sessions HTTP/1.1\r\n\r\n',
    'two lengths': `POST ${commands} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    'a length and chunks': `POST ${commands} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'no method': 'hello\r\n\r\n',
    TLS: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'a header without an end': `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Long: ${'x'.repeat(40_000)}\r\n\r\n`,
    'a bad chunk': `POST ${events} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
  }
  for (const [name, text] of Object.entries(bad)) {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connectTcp(Number(port), '127.0.0.1', () => socket.write(text, 'latin1'))
      let got = ''
      socket.on('data', data => {
        got += data
      })
      socket.on('close', () => resolve(got))
      socket.on('error', reject)
    })
    t.match(answer, /^HTTP\/1\.1 4\d\d /, `${name}: ${answer.slice(9, 30)}`)
    // Node itself answers a request without a Host, in few words.
    if (name !== 'no host') t.match(answer, /"code":"bad-request"/, name)
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
})

t.test('WebSocket messages that are no command', async t => {
  const s = await stage(t)
  const sub = { id: 'a', type: 'subscribe', sessionId: 's' }
  // The socket stays: a nack with the id, if one can be told.
  const stays: [string, unknown, string | null, string, string?][] = [
    ['an unknown type', { id: 'a', type: 'fly', sessionId: 's' }, 'a', 'bad-request', 'type'],
    ['no type', { id: 'a' }, 'a', 'bad-request', 'type'],
    ['an empty object', {}, null, 'bad-request'],
    ['an id that is a number', { ...sub, id: 1 }, null, 'bad-request', 'id'],
    ['an empty id', { ...sub, id: '' }, null, 'bad-request', 'id'],
    ['an id of 65 characters', { ...sub, id: 'i'.repeat(65) }, null, 'bad-request', 'id'],
    ['no session', { id: 'a', type: 'subscribe' }, 'a', 'bad-request', 'sessionId'],
    ['a bad session', { ...sub, sessionId: 'a b' }, 'a', 'bad-request', 'sessionId'],
    ['a bad cursor', { ...sub, after: 'abc' }, 'a', 'bad-request', 'after'],
    ['a cursor without its number', { ...sub, after: '1-' }, 'a', 'bad-request', 'after'],
    ['a cursor without its epoch', { ...sub, after: '-1' }, 'a', 'bad-request', 'after'],
    ['a cursor that is a number', { ...sub, after: 1 }, 'a', 'bad-request', 'after'],
    ['a cursor that is null', { ...sub, after: null }, 'a', 'bad-request', 'after'],
    ['numbers as texts', { ...sub, last: '5' }, 'a', 'bad-request', 'last'],
    ['a window of nothing', { ...sub, windowBytes: 0 }, 'a', 'bad-request', 'windowBytes'],
    ['a heartbeat that is too fast', { ...sub, heartbeatMs: 10 }, 'a', 'bad-request', 'heartbeatMs'],
    ['an unknown session', { ...sub, sessionId: 'new' }, 'a', 'session-not-found'],
    ['an unknown session with a run', { ...sub, sessionId: 'new', run: 'r' }, 'a', 'session-not-found'],
    ['an unknown run', { ...sub, run: 'r' }, 'a', 'run-not-found'],
    ['a ping without a time', { id: 'a', type: 'ping' }, 'a', 'bad-request', 'time'],
    ['a ping with a bad time', { type: 'ping', time: 'now' }, null, 'bad-request', 'time'],
    ['a window without an offset', { id: 'a', type: 'window', sessionId: 's' }, 'a', 'bad-request', 'offset'],
    [
      'an event of the protocol',
      { ...publish, sessionId: 's', event: { type: 'run.failed', data: {} } },
      '1',
      'bad-request',
    ],
    [
      'a cancel in an unknown session',
      { id: 'a', type: 'run.cancel', sessionId: 'new', runId: 'r' },
      'a',
      'session-not-found',
    ],
  ]
  const client = await openWs(t, s.url)
  await client.nextOf('hello')
  for (const [name, message, id, code, path] of stays) {
    client.send(message as object)
    const { message: nack } = (await client.until(({ message }) => message.type !== 'ping')).at(-1) as {
      message: Message
    }
    t.match(
      nack,
      { type: 'nack', id, code, retryable: false, message: /./, ...(path && { details: { path } }) },
      name,
    )
    t.match(await client.command({ type: 'publish', sessionId: 'ws', event: publish.event }), { type: 'ack' })
    await s.server.sessions.delete('ws')
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
  client.close()

  // The socket is closed, with its code.
  const closes: [string, string | Buffer, number, (client: WsClient) => void][] = [
    ['broken JSON', '{"id":"a"', 4400, () => {}],
    ['nothing', '', 4400, () => {}],
    ['an array', '[]', 4400, () => {}],
    ['a number', '5', 4400, () => {}],
    ['null', 'null', 4400, () => {}],
    ['a text', '"subscribe"', 4400, () => {}],
    ['two objects', `${JSON.stringify(sub)}\n${JSON.stringify(sub)}`, 4400, () => {}],
    ['a hundred thousand brackets', '['.repeat(100_000) + ']'.repeat(100_000), 4400, () => {}],
    ['a binary message', Buffer.from(JSON.stringify(sub)), 4400, () => {}],
  ]
  for (const [name, message, code] of closes) {
    const client = await openWs(t, s.url)
    await client.nextOf('hello')
    client.send(message)
    t.match(await client.nextOf('nack'), { id: null, code: 'bad-request', retryable: false }, name)
    t.equal((await client.closed).code, code, name)
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
  const faults: [string, number, (client: WsClient) => void][] = [
    ['a message over 1 MiB', 1009, client => client.send(`{"a":"${'x'.repeat(1024 * 1024)}"}`)],
    [
      'fragments over 1 MiB',
      1009,
      client => {
        client.socket.send(`{"a":"${'x'.repeat(600_000)}`, { fin: false })
        client.socket.send(`${'x'.repeat(600_000)}"}`, { fin: true })
      },
    ],
    [
      'a text that is no UTF-8',
      1007,
      client => client.socket.send(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), { binary: false }),
    ],
    [
      'half a character',
      1007,
      client => client.socket.send(Buffer.from([0x22, 0xe6, 0xbc, 0x22]), { binary: false }),
    ],
    ['a frame without a mask', 1002, client => client.tcp.write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]))],
    ['a frame of no known kind', 1002, client => client.tcp.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]))],
  ]
  for (const [name, code, send] of faults) {
    const client = await openWs(t, s.url)
    client.send(sub)
    await client.nextOf('caught-up')
    send(client)
    t.equal((await client.closed).code, code, name)
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
  // Exactly as much as is allowed.
  const full = await openWs(t, s.url)
  const frame = JSON.stringify({ id: 'a', type: 'ping', time: 1, pad: '' })
  full.send(JSON.stringify({ id: 'a', type: 'ping', time: 1, pad: 'x'.repeat(1024 * 1024 - frame.length) }))
  t.match(await full.nextOf('pong'), { time: 1 })
})

t.test('subprotocols', async t => {
  const s = await stage(t)
  for (const protocols of [[], ['twinrail.v1'], ['other', 'twinrail.v1']]) {
    const client = await openWs(t, s.url, {}, protocols)
    t.equal(client.socket.protocol, protocols.length > 0 ? 'twinrail.v1' : '')
    await client.nextOf('hello')
  }
  await t.rejects(WsClient.open(s.url, ['other']), /400/)
  await t.rejects(WsClient.open(s.url, ['twinrail.v2', 'graphql-ws']), /400/)
  t.match(await ask(s.url, { path: '/v1/ws' }), { status: 400, body: { error: { code: 'bad-request' } } })
  const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }
  t.match(await ask(s.url, { path: '/v1/ws', headers: upgrade }), { status: 400 }, 'no key')
  t.equal(await s.unharmed(), undefined)
})

t.test('keys of prototypes are data like any other, or refused', async t => {
  const s = await stage(t)
  const polluting = [
    '{"id":"1","type":"publish","event":{"type":"x.a","data":1},"__proto__":{"polluted":1}}',
    '{"id":"1","type":"publish","event":{"type":"x.a","__proto__":{"data":1}}}',
    '{"__proto__":{"id":"1","type":"publish","event":{"type":"x.a","data":1}}}',
    '{"constructor":{"prototype":{"polluted":1}},"id":"1","type":"run.start","agent":"halves","input":{"__proto__":{"count":2}}}',
  ]
  for (const body of polluting) {
    const answer = await ask(s.url, post(body))
    t.match(answer, { status: 400, body: { type: 'nack', code: 'bad-request' } }, body)
    t.equal(await s.unharmed(), undefined)
  }
  for (const [path, type] of [
    [events, json],
    ['/v1/sessions', json],
  ] as const) {
    const body = '{"type":"x.a","data":{},"__proto__":{"sessionId":"made","polluted":1}}'
    t.match(await ask(s.url, post(body, path, type)), {
      status: 400,
      body: { error: { code: 'bad-request' } },
    })
    t.equal(await s.unharmed(), undefined)
  }

  // Over a WebSocket nothing is lost and nothing is set.
  const client = await openWs(t, s.url)
  await client.nextOf('hello')
  const data = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'
  client.send({ id: 's', type: 'publish', sessionId: 'proto', event: { type: 'x.first', data: 0 } })
  await client.nextOf('ack')
  client.send(
    `{"id":"p","type":"publish","sessionId":"proto","event":{"type":"x.a","data":${data}},"__proto__":{"id":"q"}}`,
  )
  t.match(await client.nextOf('ack'), { id: 'p' })
  const { texts } = await fetchPage(s.url, 'proto')
  t.match(texts[1], `"data":${data}}`)
  t.equal(({} as Record<string, unknown>)['polluted'], undefined)
})

t.test('nesting without end', async t => {
  const s = await stage(t)
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  const runId = await startRun(s.url, 'asks', 'asking', {
    questions: [{ requestId: 'q', schema: { type: 'array', items: { $ref: '#' } } }],
  })
  t.ok(runId)
  const bodies: Record<string, [string, string]> = {
    'a command': [commands, deep],
    'an unknown field': [commands, `{"id":"1","type":"none","x":${deep}}`],
    'published data': [commands, `{"id":"1","type":"publish","event":{"type":"x.a","data":${deep}}}`],
    "a run's input": [commands, `{"id":"1","type":"run.start","agent":"idle","input":${deep}}`],
    'an ephemeral event': [
      commands,
      `{"id":"1","type":"publish","ephemeral":true,"event":{"type":"x.a","data":${deep}}}`,
    ],
    'an answer': [
      '/v1/sessions/asks/commands',
      `{"id":"1","type":"input.answer","requestId":"q","value":${deep}}`,
    ],
    'an ingested event': [events, `{"type":"x.a","data":${deep}}`],
    'a known event': [events, `{"type":"text.delta","data":{"partId":"p","delta":"a","x":${deep}}}`],
    metadata: ['/v1/sessions', `{"sessionId":"new","metadata":{"a":${deep}}}`],
  }
  const kept = await headOf(s.url, 'asks')
  for (const [name, [path, body]] of Object.entries(bodies)) {
    const answer = await ask(s.url, post(body, path))
    t.equal(answer.status, 400, `${name}: ${JSON.stringify(answer.body)}`)
    t.equal(path.endsWith('/commands') ? answer.body.code : answer.body.error?.code, 'bad-request', name)
    t.equal(await headOf(s.url, 's'), s.head, `${name}: nothing happened`)
    t.equal(await headOf(s.url, 'asks'), kept)
    t.equal(await headOf(s.url, 'new'), undefined)
  }
  const line = await ask(s.url, post(`{"type":"x.a","data":${deep}}\n`, events, ndjson))
  t.match(line, { status: 400, body: { error: { code: 'bad-request' } } }, 'a line')
  const client = await openWs(t, s.url)
  await client.nextOf('hello')
  for (const [name, [path, body]] of Object.entries(bodies)) {
    if (!path.endsWith('/commands') || body.startsWith('[')) continue
    client.send(body.replace('{', `{"sessionId":"${path.split('/')[3]}",`))
    t.match(await client.nextOf('nack'), { id: '1', code: 'bad-request' }, `${name} over a WebSocket`)
  }
  t.equal(await headOf(s.url, 's'), s.head)
  t.equal((await ask(s.url, post(publish))).status, 200, 'the server goes on')
})

t.test('NDJSON: the first bad line ends it, what stood before stays', async t => {
  const { url, server } = await serve(t)
  await server.sessions.create('s')
  const ok = (i: number) => JSON.stringify({ type: 'x.ok', data: i })
  const bad: Record<string, [string, string, number]> = {
    'no JSON': ['{"type":', 'bad-request', 400],
    'no event': ['{"type":"x.a"}', 'bad-request', 400],
    'no object': ['null', 'bad-request', 400],
    'a run of nobody': [
      '{"type":"text.delta","runId":"none","data":{"partId":"p","delta":""}}',
      'run-not-found',
      404,
    ],
    'a line that is too large': [`{"type":"x.a","data":"${'x'.repeat(1024 * 1024)}"}`, 'too-large', 413],
  }
  for (const [name, [line, code, status]] of Object.entries(bad)) {
    const before = Number((await headOf(url, 's'))?.split('-')[1])
    const body = [ok(1), ok(2), '', ok(3), line, ok(4)].join('\n')
    const answer = await ask(url, post(body, events, ndjson))
    t.match(answer, { status, body: { error: { code } } }, name)
    const details = answer.body.error?.details as Record<string, unknown>
    t.match(
      details,
      { count: 3, first: new RegExp(`-${before + 1}$`), head: new RegExp(`-${before + 3}$`) },
      name,
    )
    t.equal(await headOf(url, 's'), details['head'])
  }
  const first = await ask(url, post(`${bad['no JSON']?.[0]}\n${ok(1)}`, events, ndjson))
  t.match(first, { status: 400, body: { error: { details: { count: 0 } } } })

  // The answer comes although the body goes on for ever.
  const answer = await new Promise<number | undefined>((resolve, reject) => {
    const sent = request(url + events, { method: 'POST', headers: ndjson, agent: false }, response => {
      response.resume()
      resolve(response.statusCode)
      sent.destroy()
    })
    sent.on('error', reject)
    sent.write(`${ok(1)}\nnot JSON\n`)
    for (let i = 0; i < 100; i++) sent.write(`${ok(i)}\n`)
  })
  t.equal(answer, 400)
})

t.test('a hundred subscriptions on one socket, and no more', async t => {
  const { url, server } = await serve(t)
  const ids = Array.from({ length: 103 }, (_, i) => `s${i}`)
  await Promise.all(ids.map(id => server.sessions.create(id)))
  const client = await openWs(t, url)
  // All at once, so that none is judged before the others are.
  const replies = await Promise.all(ids.map(sessionId => client.command({ type: 'subscribe', sessionId })))
  t.equal(replies.filter(({ type }) => type === 'ack').length, 100)
  t.match(
    replies.filter(({ type }) => type === 'nack'),
    [{ code: 'rate-limited' }, { code: 'rate-limited' }, { code: 'rate-limited' }],
  )
  t.match(
    await client.command({ type: 'subscribe', sessionId: 's0' }),
    { type: 'ack' },
    'replacing one is fine',
  )
  t.match(await client.command({ type: 'unsubscribe', sessionId: 's1' }), { type: 'ack' })
  t.match(
    await client.command({ type: 'subscribe', sessionId: 's102' }),
    { type: 'ack' },
    'so is one in its place',
  )
})
