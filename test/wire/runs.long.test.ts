/** Streams of one run, and runs that answer with their stream. */
import t from 'tap'
import {
  epochOf,
  eventsUrl,
  fetchPage,
  follow,
  type Got,
  isEvent,
  type Message,
  openSse,
  openWs,
  type Params,
  SseStream,
  seqOf,
  transports,
} from '../fixtures/wire-clients.ts'
import {
  command,
  createSession,
  ingest,
  logged,
  serve,
  startRun,
  state,
  terminalOf,
  type Wire,
} from '../fixtures/wire-server.ts'

const streams = ['sse', 'eventsource', 'websocket'] as const

const said = (got: readonly Got[]) =>
  got.map(({ message }) => message).filter(({ type }) => !['hello', 'ack', 'ping'].includes(type))

/** Two ended runs that interleave, with others' events before, between and after. */
async function interleaved(wire: Wire) {
  const { url } = wire
  const run = (type: string, runId: string, data: object) => ({ type, runId, data })
  await ingest(url, 's', [
    { type: 'x.before', data: null },
    run('run.started', 'a', { agent: 'a', input: 1 }),
    run('run.started', 'b', { agent: 'b', input: 2, parentRunId: 'a' }),
    run('x.of', 'a', { n: 1 }),
    { type: 'x.between', data: null },
    run('x.of', 'b', { n: 2 }),
    run('x.of', 'a', { n: 3 }),
    run('run.completed', 'a', { finishReason: 'stop' }),
    run('x.of', 'b', { n: 4 }),
    run('run.failed', 'b', { code: 'oops', message: 'm', retryable: false }),
    { type: 'x.after', data: null },
  ])
  const log = await logged(wire, 's')
  const epoch = epochOf(JSON.parse(log[0] as string).offset)
  const of = (runId: string) => log.filter(json => JSON.parse(json).runId === runId)
  return { log, of, at: (seq: number) => `${epoch}-${seq}` }
}

t.test('run= gives an ended run, whole or from the middle, and ends', async t => {
  const wire = await serve(t)
  const { url } = wire
  const { of, at } = await interleaved(wire)
  const cases: [Params, number][] = [
    [{ run: 'a' }, 1],
    [{ run: 'a', after: at(0) }, 1],
    [{ run: 'a', after: at(1) }, 1],
    [{ run: 'a', after: at(3) }, 3],
    [{ run: 'a', after: at(4) }, 4],
    [{ run: 'a', after: at(5) }, 5],
    [{ run: 'a', after: at(7) }, 7],
    [{ run: 'a', last: 5 }, 6],
    [{ run: 'a', after: '1-5' }, 1],
    [{ run: 'a', after: at(12) }, 1],
  ]
  const end = { type: 'end', sessionId: 's', runId: 'a', reason: 'run-ended' }
  for (const [params, start] of cases) {
    const name = JSON.stringify(params)
    const wanted = of('a').filter(json => seqOf(JSON.parse(json).offset) > start)
    const isReset = params.after === '1-5' || params.after === at(12)
    for (const transport of streams) {
      const stream = await follow(t, transport, url, 's', params)
      const got = await stream.until('end')
      const messages = said(got)
      t.match(messages[0], { type: 'subscribed', head: at(11), after: at(start) }, `${transport} ${name}`)
      t.equal(messages[1]?.type === 'reset', isReset)
      t.same(
        got.filter(isEvent).map(({ json }) => json),
        wanted,
      )
      t.match(messages.slice(-2), [{ type: 'caught-up', offset: at(8) }, end])
      t.equal(messages.length, wanted.length + 3 + Number(isReset))
      if (stream instanceof SseStream) await stream.ended
      stream.close()
    }
    const page = await fetchPage(url, 's', params)
    t.same(page.texts, wanted, `page ${name}`)
    t.same(page.controls.slice(-1), [end])
    t.equal(page.controls.length, 1 + Number(isReset))
    t.match(page, { caughtUp: true, next: at(8) })
  }
})

t.test('a cursor at or past the terminal: nothing will come', async t => {
  const wire = await serve(t)
  const { url } = wire
  const { at } = await interleaved(wire)
  for (const params of [
    { run: 'a', after: at(8) },
    { run: 'a', after: at(9) },
    { run: 'a', after: at(11) },
    { run: 'a', replay: 'none' },
    { run: 'a', last: 3 },
  ] as Params[]) {
    const name = JSON.stringify(params)
    const response = await fetch(eventsUrl(url, 's', params))
    t.equal(response.status, 204, name)
    t.equal(await response.text(), '')
    const client = await openWs(t, url)
    client.send({ id: 'x', type: 'subscribe', sessionId: 's', ...params })
    const end = { type: 'end', sessionId: 's', runId: 'a', reason: 'run-ended' }
    t.match(said(await client.until('end')), [{ type: 'subscribed', head: at(11) }, end])
    client.send({ type: 'ping', time: 1 })
    const after = (await client.until('pong')).filter(({ message }) => message.type !== 'ping')
    t.equal(after.length, 1, 'nothing after it, and the socket stays')
    const page = await fetchPage(url, 's', { ...params, wait: 10_000 })
    t.same(page.events, [], name)
    t.same(page.controls, [end])
    t.equal(page.caughtUp, true)
  }
  const again = await fetch(eventsUrl(url, 's', { run: 'a' }), { headers: { 'last-event-id': at(8) } })
  t.equal(again.status, 204, 'an EventSource that comes back is told to stay away')
})

t.test('a run that ends while it is watched ends its streams, and theirs only', async t => {
  const wire = await serve(t)
  const { url } = wire
  const [one, two] = [await startRun(url, 's', 'steered', {}), await startRun(url, 's', 'steered', {})]
  const steer = (runId: string, text: string) => command(url, 's', { type: 'input.steer', runId, text })
  const watching = await Promise.all(
    transports.map(async transport => ({
      transport,
      stream: await follow(t, transport, url, 's', { run: one, replay: 'full' }),
      whole: await follow(t, transport, url, 's', { replay: 'full' }),
    })),
  )
  const opening = await Promise.all(
    watching.map(async ({ stream, whole }) => {
      await whole.until('caught-up')
      return stream.until('caught-up')
    }),
  )
  for (const text of ['1', '2', '3']) {
    await steer(two, text)
    await steer(one, text)
  }
  await steer(one, 'end')
  const closed = await Promise.all(watching.map(({ stream }) => stream.until('end')))
  await steer(two, 'last')
  const log = await logged(wire, 's')
  const mine = log.filter(json => JSON.parse(json).runId === one)
  for (const [i, { transport, stream, whole }] of watching.entries()) {
    const got = [...(opening[i] as Got[]), ...(closed[i] as Got[])]
    t.same(
      got.filter(isEvent).map(({ json }) => json),
      mine,
      transport,
    )
    t.equal(got.filter(({ message }) => message.type === 'caught-up').length, 1)
    t.match(said(got).slice(-2), [
      { type: 'run.completed' },
      { type: 'end', runId: one, reason: 'run-ended' },
    ])
    if (stream instanceof SseStream) await stream.ended
    const rest = await whole.until(({ message }) => message.data?.['text'] === 'last')
    t.notOk(
      rest.some(({ message }) => message.type === 'end'),
      'the session goes on',
    )
  }
  t.match((await state(url, 's')).runs, [
    { runId: one, status: 'completed' },
    { runId: two, status: 'running' },
  ])
})

t.test("gaps count only within the run's stretch", async t => {
  const wire = await serve(t)
  const { url, server } = wire
  const { of, at } = await interleaved(wire)
  const log = server.journal
  const epoch = Number(at(0).split('-')[0])
  const snapshot = (seq: number) => ({ seq, state: { seq, runs: [], pendingInputs: [] } })
  const gapOf = async (run: string, after?: string) => {
    const { texts, controls } = await fetchPage(url, 's', { run, after })
    const stream = await follow(t, 'websocket', url, 's', { run, after })
    const got = await stream.until('end')
    t.same(
      said(got).filter(({ type }) => type === 'gap' || type === 'end'),
      controls,
      'a page and a stream say the same',
    )
    t.same(
      got.filter(isEvent).map(({ json }) => json),
      texts,
    )
    return { texts, gaps: controls.filter(({ type }) => type === 'gap').map(({ from, to }) => [from, to]) }
  }
  t.same(await gapOf('a'), { texts: of('a'), gaps: [] })
  await log.trim('s', epoch, 1, snapshot(1))
  t.same((await gapOf('a')).gaps, [], 'what was before the run is not missed')
  await log.trim('s', epoch, 5, snapshot(5))
  t.same(await gapOf('a'), { texts: of('a').slice(2), gaps: [[at(2), at(5)]] })
  t.same((await gapOf('a', at(3))).gaps, [[at(4), at(5)]])
  t.same((await gapOf('b')).gaps, [[at(3), at(5)]])
  await log.trim('s', epoch, 9, snapshot(9))
  t.same(await gapOf('a'), { texts: [], gaps: [[at(2), at(8)]] })
  t.same(await gapOf('b'), { texts: of('b').slice(-1), gaps: [[at(3), at(9)]] })
})

t.test('a start answered by its stream: hello, ack, subscribed, events, caught-up, end', async t => {
  const wire = await serve(t)
  const { url } = wire
  const body = (runId: string, more: object = {}) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      id: 'me',
      type: 'run.start',
      agent: 'script',
      runId,
      input: { events: script },
      ...more,
    }),
  })
  const script = ['a', 'b'].map(delta => ({ type: 'text.delta', data: { partId: 'p', delta } }))
  const commands = `${url}/v1/sessions/s/commands`
  const stream = await openSse(t, `${commands}?replay=full`, body('r'))
  const got = await stream.until('end')
  await stream.ended
  const log = await logged(wire, 's')
  const head = JSON.parse(log.at(-1) as string).offset
  const start = JSON.parse(log[0] as string).offset as string
  const messages = got.map(({ message }) => message).filter(({ type }) => type !== 'ping')
  t.match(messages[0], { type: 'hello', protocol: 1 })
  t.same(messages[1], { type: 'ack', id: 'me', runId: 'r', offset: start })
  t.match(messages[2], { type: 'subscribed', after: start.replace(/\d+$/, '0'), replay: 'full' })
  t.same(
    got.filter(isEvent).map(({ json }) => json),
    log,
  )
  t.match(messages.at(-1), { type: 'end', reason: 'run-ended', runId: 'r' })
  t.equal(messages.filter(({ type }) => type === 'caught-up').length, 1)
  for (const { message, id, event } of got) {
    const own = isEvent({ message } as Got)
    t.equal(event, own ? undefined : message.type)
    t.equal(id, own || message.type === 'caught-up' ? message.offset : undefined)
  }

  t.test('a retry attaches to the run', async t => {
    for (const params of ['?replay=full', `?replay=full&after=${start}`, `?replay=full&after=${head}`]) {
      const again = await openSse(t, commands + params, body('r'))
      const got = await again.until('end')
      t.same(got[1]?.message, { type: 'ack', id: 'me', runId: 'r', offset: start })
      const after = params.includes('after') ? seqOf(params) : 0
      t.same(
        got.filter(isEvent).map(({ json }) => json),
        log.slice(after),
      )
    }
    t.same(await logged(wire, 's'), log, 'and changes nothing')
  })

  t.test('refusals are nacks, never streams', async t => {
    const refused = async (path: string, more: object) => {
      const { headers, ...request } = body('other', more)
      const response = await fetch(commands + path, {
        ...request,
        headers: { ...headers, accept: 'text/event-stream' },
      })
      t.match(response.headers.get('content-type'), 'application/json')
      return { status: response.status, ...((await response.json()) as Message) }
    }
    t.match(await refused('', { agent: 'nobody' }), { status: 404, type: 'nack', code: 'agent-not-found' })
    t.match(await refused('', { input: 5 }), { status: 400, type: 'nack', code: 'bad-request' })
    t.match(await refused('', { runId: 'r', input: { events: [] } }), { status: 409, code: 'conflict' })
    t.match(await refused('?replay=some', {}), { status: 400, code: 'bad-request' })
    t.match(await refused('?after=abc', {}), { status: 400, code: 'bad-request' })
    t.same(await logged(wire, 's'), log, 'nothing was started')
  })

  t.test('while the run works', async t => {
    const working = { agent: 'steered', input: {}, id: 'x' }
    const first = await openSse(t, commands, body('w', working))
    await first.until('caught-up')
    await command(url, 's', { type: 'input.steer', runId: 'w', text: 'hello' })
    const second = await openSse(t, commands, body('w', working))
    await second.until('x.said')
    await command(url, 's', { type: 'input.steer', runId: 'w', text: 'end' })
    const [one, two] = [await first.until('end'), await second.until('end')]
    t.match(one.at(-2)?.message, { type: 'run.completed', runId: 'w' })
    t.same(one.at(-2)?.json, two.at(-2)?.json)
  })
})

t.test('a run started over HTTP without a stream answers its ack at once', async t => {
  const wire = await serve(t)
  const { url } = wire
  await createSession(url, 's')
  const { status, body, headers } = await command(url, 's', {
    id: 'me',
    type: 'run.start',
    agent: 'steered',
    input: {},
  })
  t.equal(status, 200)
  t.match(headers.get('content-type'), 'application/json')
  t.same(Object.keys(body).sort(), ['id', 'offset', 'runId', 'type'])
  t.match(body, { type: 'ack', id: 'me', offset: /-1$/ })
  const [started] = (await logged(wire, 's')).map(json => JSON.parse(json))
  t.match(started, {
    type: 'run.started',
    runId: body.runId,
    by: 'local',
    data: { agent: 'steered', input: {} },
  })
  t.equal(typeof started.data.messageId, 'string')
  await command(url, 's', { type: 'run.cancel', runId: body.runId as string })
})

t.test('an error of an agent fails its run only', async t => {
  const wire = await serve(t)
  const { url } = wire
  const cases: [object, string][] = [
    [{ type: 'text.delta', data: {} }, 'bad-event'],
    [{ type: 'no.such', data: {} }, 'bad-event'],
    [{ type: 'run.started', data: { agent: 'a', input: 1 } }, 'bad-event'],
    [{ type: 'input.answered', data: { requestId: 'q', value: 1 } }, 'bad-event'],
    [{ type: 'run.cancelled', data: {} }, 'bad-event'],
  ]
  for (const [event, code] of cases) {
    const run = await startRun(url, 's', 'script', { events: [event] })
    t.match(await terminalOf(url, 's', run), { type: 'run.failed', data: { code } }, JSON.stringify(event))
  }
  const failing = await startRun(url, 's', 'steered', {})
  await command(url, 's', { type: 'input.steer', runId: failing, text: 'fail' })
  const failed = await terminalOf(url, 's', failing)
  t.match(failed, { type: 'run.failed', data: { code: 'agent-error', retryable: false } })
  t.notMatch(JSON.stringify(failed), 'told to fail', 'texts of exceptions stay here')
})
