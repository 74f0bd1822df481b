/** Calls over HTTP: sessions, errors, JSON, ingest, presence. */

import { pushed } from '../channels.ts'
import { nextOf } from '../check.ts'
import { type Statement, statement } from '../statement.ts'

const HTTP = ['http'] as const
const seq = (offset = '') => Number(offset.split('-')[1])
const page = { headers: { accept: 'application/json' } }
const lines = { 'content-type': 'application/x-ndjson' }
const started = (runId: string) => ({
  type: 'run.started',
  runId,
  data: { agent: 'conformance', input: null },
})

/** Bodies of JSON that could not be passed on unchanged. */
const unfaithful: Record<string, string | Buffer> = {
  'an integer beyond 2^53 - 1': '{"type":"x.a","data":9007199254740993}',
  'a number beyond 64-bit floats': '{"type":"x.a","data":1e400}',
  'half a character': '{"type":"x.a","data":"\\ud83d"}',
  'the name __proto__': '{"type":"x.a","data":{"__proto__":1}}',
  'a constructor with a prototype': '{"type":"x.a","data":{"constructor":{"prototype":1}}}',
  'bytes that are not UTF-8': Buffer.from([...Buffer.from('{"type":"x.a","data":"'), 0xff, 0x22, 0x7d]),
  'nesting beyond 500': `{"type":"x.a","data":${'['.repeat(501)}${']'.repeat(501)}}`,
}

export const http: readonly Statement[] = [
  statement(130, '`POST /v1/sessions` answers 201, and 200 when the session exists', HTTP, async check => {
    const body = { sessionId: check.session, metadata: { a: 1 } }
    const made = await check.post('/v1/sessions', body)
    check.equal(
      [made.status, made.body.sessionId, seq(made.body.head)],
      [201, check.session, 0],
      'the answer',
    )
    const again = await check.post('/v1/sessions', { ...body, metadata: { a: 2 } })
    check.equal(again.status, 200, 'the second status')
    check.equal((await check.request(check.path())).body.metadata, { a: 1 }, 'the metadata')
  }),
  statement(131, 'Ids that you choose match the documented pattern', HTTP, async check => {
    for (const sessionId of ['', '-a', 'a b', 'a/b', 'ä', 'a'.repeat(129), 7]) {
      const { status, body } = await check.post('/v1/sessions', { sessionId })
      check.equal([status, body.error?.code], [400, 'bad-request'], JSON.stringify(sessionId))
    }
  }),
  statement(132, 'A publish and an ingest create the session', ['http', 'websocket'], async check => {
    const ack = await check.command({ type: 'publish', event: { type: 'x.a', data: 1 } })
    check.equal([ack.type, seq(ack.offset)], ['ack', 1], 'the ack')
    check.equal(seq(await check.ingest({ type: 'x.a', data: 1 }, check.another())), 1, 'the ingest')
  }),
  statement(133, '`GET /v1/sessions` has the session, the last active ones first', HTTP, async check => {
    await check.numbers(1)
    const { status, body } = await check.request('/v1/sessions?limit=1000')
    check.equal(status, 200, 'the status')
    const found = body.sessions.find(({ sessionId }: { sessionId: string }) => sessionId === check.session)
    check.equal(seq(found?.head), 1, 'the head')
    const times = body.sessions.map(({ activeAt }: { activeAt: number }) => activeAt)
    check.equal(
      times,
      [...times].sort((a, b) => b - a),
      'the order',
    )
    check.ok(body.pollMs >= 1000, `pollMs: ${body.pollMs}`)
  }),
  statement(134, '`next` of the list is the `after` of its next page', HTTP, async check => {
    await check.create()
    await check.create(check.another())
    const one = await check.request('/v1/sessions?limit=1')
    const two = await check.request(`/v1/sessions?limit=1&after=${one.body.next}`)
    check.equal(two.status, 200, two.text)
    check.ok(one.body.sessions[0]?.sessionId !== two.body.sessions[0]?.sessionId, 'the same session twice')
  }),
  statement(135, '`PATCH` is a JSON Merge Patch', HTTP, async check => {
    await check.post('/v1/sessions', {
      sessionId: check.session,
      metadata: { a: 1, b: { c: 1, d: 2 }, list: [1, 2] },
    })
    const patch = { method: 'PATCH', headers: { 'content-type': 'application/json' } }
    const body = JSON.stringify({ metadata: { a: null, b: { c: 3 }, list: [4] } })
    const { status, body: answer } = await check.request(check.path(), { ...patch, body })
    check.equal([status, answer.metadata], [200, { b: { c: 3, d: 2 }, list: [4] }], 'the answer')
  }),
  statement(
    136,
    'A change of the metadata is `session.updated`; one that changes nothing appends nothing',
    ['sse', 'websocket', 'long-poll'],
    async check => {
      await check.create()
      const stream = await check.follow()
      await stream.backlog()
      const sent = {
        method: 'PATCH',
        headers: { 'content-type': 'application/json' },
        body: '{"metadata":{"title":"a"}}',
      }
      await check.request(check.path(), sent)
      await check.request(check.path(), sent)
      await check.numbers(1)
      const events = await stream.events(2)
      check.equal(
        events.map(({ message }) => message.type),
        ['session.updated', 'x.n'],
        'the events',
      )
      check.equal(events[0]?.message.data, { metadata: { title: 'a' } }, 'the data')
    },
  ),
  statement(137, '`GET` of a session has its open runs and questions', HTTP, async check => {
    await check.ingest([
      started('r'),
      { type: 'input.requested', runId: 'r', data: { requestId: 'q', kind: 'question', message: '?' } },
    ])
    const { body } = await check.request(check.path())
    check.equal([body.runs[0]?.runId, body.runs[0]?.status], ['r', 'running'], 'the run')
    check.equal(body.pendingInputs[0]?.requestId, 'q', 'the question')
    check.equal(
      (await check.request(check.path('', check.another()))).body.error?.code,
      'session-not-found',
      'a missing session',
    )
  }),
  statement(138, '`DELETE` answers 204, also when there is no such session', HTTP, async check => {
    await check.create()
    for (const when of ['there', 'gone']) {
      check.equal((await check.request(check.path(), { method: 'DELETE' })).status, 204, when)
    }
    check.equal((await check.request(check.path())).status, 404, 'the session')
  }),
  statement(
    139,
    '`GET /v1/agents` lists the agents with the JSON Schema of their input',
    HTTP,
    async check => {
      const { status, body } = await check.request('/v1/agents')
      check.equal([status, Array.isArray(body.agents)], [200, true], 'the answer')
      for (const agent of body.agents)
        check.ok(typeof agent.name === 'string' && agent.input instanceof Object, JSON.stringify(agent))
    },
  ),
  statement(140, '`/healthz` and `/readyz` answer 200', HTTP, async check => {
    for (const path of ['/healthz', '/readyz']) check.equal((await check.request(path)).status, 200, path)
  }),
  statement(141, '`GET /openapi.json` is OpenAPI 3.1', HTTP, async check => {
    const { status, body } = await check.request('/openapi.json')
    if (status === 404) check.skip('the server has it switched off')
    check.ok(/^3\.1\./.test(body.openapi), `openapi: ${body.openapi}`)
    check.ok(body.paths?.['/v1/sessions'], 'it has no /v1/sessions')
  }),
  statement(142, '`GET /v1/guide` recommends a transport, with reasons', HTTP, async check => {
    const { status, body } = await check.request('/v1/guide?upstreamPerSecond=8')
    if (status === 404) check.skip('the server has it switched off')
    check.ok(
      typeof body.transport === 'string' && body.because?.length > 0,
      'it has no transport or no reasons',
    )
  }),
  statement(143, 'JSON that cannot be passed on unchanged is `bad-request` in a body', HTTP, async check => {
    for (const [what, body] of Object.entries(unfaithful)) {
      const { status, body: answer } = await check.post(check.path('/events'), body)
      check.equal([status, answer.error?.code], [400, 'bad-request'], what)
    }
    check.equal((await check.request(check.path())).status, 404, 'the session')
  }),
  statement(144, 'It is `bad-request` in a line of NDJSON as well', HTTP, async check => {
    for (const [what, body] of Object.entries(unfaithful)) {
      const { status, body: answer } = await check.post(check.path('/events'), body, lines)
      check.equal([status, answer.error?.code], [400, 'bad-request'], what)
    }
  }),
  statement(145, 'It is `bad-request` in a WebSocket message as well', ['websocket'], async check => {
    for (const [what, event] of Object.entries(unfaithful)) {
      if (typeof event !== 'string') continue
      const socket = await check.greeted()
      socket.send(`{"type":"publish","id":"1","sessionId":"${check.session}","event":${event}}`)
      check.equal((await nextOf(socket, 'nack')).code, 'bad-request', what)
      socket.close()
    }
  }),
  statement(146, 'Of equal names in one object the last counts', HTTP, async check => {
    await check.ingest('{"type":"x.a","data":1,"data":2}' as unknown as object)
    const { body } = await check.request(check.path('/events'), page)
    check.equal(body.events[0].data, 2, 'the data')
  }),
  statement(147, 'Other media types are 415', HTTP, async check => {
    for (const [path, type] of [
      ['/v1/sessions', 'text/plain'],
      ['/v1/sessions', 'application/x-ndjson'],
      [check.path('/events'), 'application/xml'],
    ] as const) {
      const { status, body } = await check.post(path, '{}', { 'content-type': type })
      check.equal([status, body.error?.code], [415, 'unsupported-media-type'], `${type} to ${path}`)
    }
  }),
  statement(148, 'A body above 1 MiB is 413 `too-large`', HTTP, async check => {
    const { status } = await check.post(
      '/v1/sessions',
      JSON.stringify({ metadata: { a: 'a'.repeat(1024 * 1024) } }),
    )
    check.equal(status, 413, 'the status')
  }),
  statement(149, 'A refusal is `{error: {code, message, requestId}}`', HTTP, async check => {
    const { status, body } = await check.request('/v1/nowhere')
    check.equal([status, body.error?.code], [404, 'not-found'], 'the answer')
    check.ok(
      typeof body.error.message === 'string' && typeof body.error.requestId === 'string',
      'message or requestId is missing',
    )
  }),

  statement(160, 'An ingest answers first, head and count', HTTP, async check => {
    const one = await check.post(check.path('/events'), { type: 'x.a', data: 1 })
    check.equal(
      [one.status, seq(one.body.first), seq(one.body.head), one.body.count],
      [200, 1, 1, 1],
      'one event',
    )
    const more = await check.post(check.path('/events'), [
      { type: 'x.a', data: 1 },
      { type: 'x.b', data: 1 },
    ])
    check.equal([seq(more.body.first), seq(more.body.head), more.body.count], [2, 3, 2], 'an array')
  }),
  statement(161, 'An array is ingested whole or not at all', HTTP, async check => {
    const { status, body } = await check.post(check.path('/events'), [
      { type: 'x.a', data: 1 },
      { type: 'nonsense', data: 1 },
    ])
    check.equal([status, body.error?.code], [400, 'bad-request'], 'the answer')
    check.equal((await check.request(check.path())).status, 404, 'the session')
  }),
  statement(162, 'NDJSON is appended line by line; empty lines are skipped', HTTP, async check => {
    const { status, body } = await check.post(
      check.path('/events'),
      '{"type":"x.a","data":1}\n\n{"type":"x.b","data":2}',
      lines,
    )
    check.equal([status, body.count], [200, 2], 'the answer')
  }),
  statement(163, 'The lines before a refused one stay, and `details` counts them', HTTP, async check => {
    const text = '{"type":"x.a","data":1}\n{"type":"x.b","data":2}\nno event\n{"type":"x.c","data":3}\n'
    const { status, body } = await check.post(check.path('/events'), text, lines)
    check.equal([status, body.error?.code, body.error?.details?.count], [400, 'bad-request', 2], 'the answer')
    check.equal(seq((await check.request(check.path())).body.head), 2, 'the head')
  }),
  statement(164, 'NDJSON without an event, and the line `[]`, are `bad-request`', HTTP, async check => {
    for (const text of ['', '\n\n', '[]\n']) {
      check.equal((await check.post(check.path('/events'), text, lines)).status, 400, JSON.stringify(text))
    }
  }),
  statement(165, 'Types that only commands make are refused', HTTP, async check => {
    for (const type of ['session.updated', 'run.cancel-requested', 'input.answered', 'input.steered']) {
      const data = { requestId: 'q', inputId: 'i', text: 'a', value: 1, metadata: {} }
      check.equal((await check.post(check.path('/events'), { type, runId: 'r', data })).status, 400, type)
    }
  }),
  statement(166, 'An unknown run is `run-not-found`, an ended one `run-ended`', HTTP, async check => {
    const own = { type: 'x.a', runId: 'r', data: 1 }
    check.equal(
      (await check.post(check.path('/events'), own)).body.error?.code,
      'run-not-found',
      'an unknown run',
    )
    await check.ingest([started('r'), { type: 'run.completed', runId: 'r', data: {} }])
    for (const event of [own, { type: 'run.failed', runId: 'r', data: { code: 'a', message: 'b' } }]) {
      const { status, body } = await check.post(check.path('/events'), event)
      check.equal([status, body.error?.code], [409, 'run-ended'], event.type)
    }
  }),
  statement(167, 'An empty array renews leases and appends nothing', HTTP, async check => {
    check.equal(
      (await check.post(check.path('/events'), [])).body.error?.code,
      'session-not-found',
      'a missing session',
    )
    await check.ingest(started('r'))
    const { status, body } = await check.post(check.path('/events'), [])
    check.equal([status, seq(body.head), body.count], [200, 1, 0], 'the answer')
  }),
  statement(168, '`producer` and `seq` make retries exact', HTTP, async check => {
    const path = (from: number) => check.path(`/events?producer=p&seq=${from}`)
    const events = [1, 2, 3].map(n => ({ type: 'x.n', data: { n } }))
    const first = await check.post(path(0), events)
    const again = await check.post(path(0), events)
    check.equal([again.status, again.body.first, again.body.count], [200, first.body.first, 3], 'the retry')
    const more = await check.post(path(2), [events[2], { type: 'x.n', data: { n: 4 } }])
    check.equal([more.status, seq(more.body.head)], [200, 4], 'a retry with one more')
    check.equal((await check.request(check.path('/events'), page)).body.events.length, 4, 'the events')
  }),
  statement(
    169,
    'A hole in a producer’s numbers is `conflict` with `details.expected`',
    HTTP,
    async check => {
      await check.post(check.path('/events?producer=p&seq=0'), { type: 'x.a', data: 1 })
      const { status, body } = await check.post(check.path('/events?producer=p&seq=2'), {
        type: 'x.a',
        data: 1,
      })
      check.equal(
        [status, body.error?.code, body.error?.details?.expected],
        [409, 'conflict', 1],
        'the answer',
      )
    },
  ),

  statement(180, '`PUT` says that a member is there, `GET` lists it, `DELETE` leaves', HTTP, async check => {
    await check.create()
    const path = check.path('/presence')
    const put = await check.request(path, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"memberId":"m","state":{"a":1}}',
    })
    check.equal([put.status, typeof put.body.since, put.body.renewMs > 0], [200, 'number', true], 'PUT')
    const { body } = await check.request(path)
    check.equal(
      body.members.map((one: { memberId: string; state: unknown }) => [one.memberId, one.state]),
      [['m', { a: 1 }]],
      'GET',
    )
    for (const when of ['there', 'gone']) {
      check.equal((await check.request(`${path}?memberId=m`, { method: 'DELETE' })).status, 204, when)
    }
    check.equal((await check.request(path)).body.members, [], 'the members')
  }),
  statement(181, 'Live subscriptions get `presence.changed`', pushed, async check => {
    await check.create()
    const stream = await check.follow()
    await stream.backlog()
    const headers = { 'content-type': 'application/json' }
    await check.request(check.path('/presence'), { method: 'PUT', headers, body: '{"memberId":"m"}' })
    const changed = (await stream.until('presence.changed')).at(-1)?.message
    check.equal(changed?.ephemeral, true, 'ephemeral')
    const joined = (changed?.data?.['joined'] ?? []) as { memberId: string }[]
    check.equal(
      joined.map(({ memberId }) => memberId),
      ['m'],
      'the members that joined',
    )
  }),
]
