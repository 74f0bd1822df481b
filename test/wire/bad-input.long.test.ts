import t from 'tap'
import { fetchPage, follow, openWs, transports } from '../fixtures/wire-clients.ts'
import {
  ask,
  type Call,
  type Case,
  commands,
  events,
  json,
  ndjson,
  post,
  publish,
  refuses,
  stage,
} from '../fixtures/wire-refusals.ts'
import { eventually, headOf, logged, startRun, state } from '../fixtures/wire-server.ts'

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
    'limit=1001',
    'wait=30001',
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
      'a list after no place': [{ path: '/v1/sessions?after=s1' }, 400, 'bad-request', 'after'],
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

t.test('cursors of another epoch or past the head get reset and all events', async t => {
  const s = await stage(t)
  const log = await logged(s, 's')
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

t.test('names by which programs reach prototypes are refused', async t => {
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

  const client = await openWs(t, s.url)
  await client.nextOf('hello')
  const data = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'
  client.send(
    `{"id":"p","type":"publish","sessionId":"proto","event":{"type":"x.a","data":${data}},"__proto__":{"id":"q"}}`,
  )
  t.match(await client.nextOf('nack'), { id: 'p', code: 'bad-request' })
  t.equal(await s.unharmed(), undefined)
  t.equal(({} as Record<string, unknown>)['polluted'], undefined)
})

t.test('nesting without end', async t => {
  const s = await stage(t)
  // Not so many arrays that they are too many.
  const deep = '['.repeat(90_000) + ']'.repeat(90_000)
  const runId = await startRun(s.url, 'asks', 'asking', {
    questions: [{ requestId: 'q', schema: { type: 'array', items: { $ref: '#' } } }],
  })
  t.ok(runId)
  await eventually(t, 'it asks', async () => (await state(s.url, 'asks')).pendingInputs?.length === 1)
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
