/** Bad input of producers: a value that is not an event is refused, and only the events before it stay in the log. */
import { Agent, request } from 'node:http'
import t from 'tap'
import { ask, type Call, type Case, events, ndjson, post, refuses, stage } from '../fixtures/wire-refusals.ts'
import { headOf, serve } from '../fixtures/wire-server.ts'

t.test('ingest of values that are not events', async t => {
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
      'no events in an unknown session': [post([], '/v1/sessions/new/events'), 404, 'session-not-found'],
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
      'an empty array in a line': line([]),
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

t.test('NDJSON: the first bad line ends the request, and the lines before it stay', async t => {
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

t.test('the rest of a refused body is read, so that the connection can be used again', async t => {
  const { url, server } = await serve(t)
  await server.sessions.create('s')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const send = (method: string, path: string, body: string) =>
    new Promise<{ status: number | undefined; port: number | undefined }>((resolve, reject) => {
      const sent = request(url + path, { method, headers: ndjson, agent }, response => {
        const port = response.socket.localPort
        response.on('end', () => resolve({ status: response.statusCode, port })).resume()
      })
      sent.on('error', reject).end(body)
    })
  const ok = `${JSON.stringify({ type: 'x.ok', data: 'x'.repeat(1000) })}\n`
  const ports = new Set<number | undefined>()
  for (const megabytes of [1, 5, 20]) {
    const refused = await send('POST', events, `not JSON\n${ok.repeat(1000 * megabytes)}`)
    t.equal(refused.status, 400)
    const next = await send('GET', '/healthz', '')
    t.equal(next.status, 200)
    ports.add(refused.port).add(next.port)
  }
  t.equal(ports.size, 1, 'all on one connection')
})
