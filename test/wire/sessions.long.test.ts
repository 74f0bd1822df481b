/** Sessions over HTTP, who watches them, and their end. */
import t from 'tap'
import { epochOf, fetchPage, follow, type Message, openWs, transports } from '../fixtures/wire-clients.ts'
import {
  byHeader,
  call,
  command,
  createSession,
  eventually,
  headOf,
  ingest,
  logged,
  parse,
  post,
  serve,
  startRun,
  state,
  terminalOf,
} from '../fixtures/wire-server.ts'

t.test('each run has its own setting for the time without viewers', async t => {
  const wire = await serve(t)
  const { url } = wire
  const cancelled = async (sessionId: string, runId: string) => {
    const statusOf = async () => (await state(url, sessionId)).runs?.find(run => run.runId === runId)?.status
    await eventually(t, `${runId} is cancelled`, async () => (await statusOf()) === 'cancelled')
    const log = (await logged(wire, sessionId)).map(parse).filter(event => event.runId === runId)
    t.match(log.at(-1), { type: 'run.cancelled', data: { reason: 'no-viewers' } })
    return (log.at(-1)?.time as number) - (log[0]?.time as number)
  }
  const policy = { onNoViewers: { cancelAfterMs: 150 } }
  const alone = await startRun(url, 'alone', 'idle', null, policy)
  const forever = await startRun(url, 'alone', 'idle', null)
  const after = await cancelled('alone', alone)
  t.ok(after >= 145, `${after} ms after its start`)
  t.match((await state(url, 'alone')).runs?.[1], { runId: forever, status: 'running' })

  const viewers: [string, (runId: string) => Promise<() => unknown>][] = [
    [
      'sse',
      async () => {
        const stream = await follow(t, 'sse', url, 'sse')
        await stream.until('caught-up')
        return () => stream.close()
      },
    ],
    [
      'run',
      async run => {
        const stream = await follow(t, 'sse', url, 'run', { run })
        await stream.until('caught-up')
        return () => stream.close()
      },
    ],
    [
      'unsubscribe',
      async () => {
        const client = await openWs(t, url)
        await client.command({ type: 'subscribe', sessionId: 'unsubscribe' })
        return () => client.command({ type: 'unsubscribe', sessionId: 'unsubscribe' })
      },
    ],
    [
      'websocket',
      async () => {
        const client = await openWs(t, url)
        await client.command({ type: 'subscribe', sessionId: 'websocket' })
        return () => client.close()
      },
    ],
  ]
  await Promise.all(
    viewers.map(async ([sessionId, watch]) => {
      await createSession(url, sessionId)
      // Somebody holds the run until the one in question has come.
      const holder = await follow(t, 'sse', url, sessionId)
      await holder.until('caught-up')
      const runId = await startRun(url, sessionId, 'idle', null, policy)
      const leave = await watch(runId)
      holder.close()
      const other = await startRun(url, sessionId, 'idle', null)
      await new Promise(resolve => setTimeout(resolve, 500))
      t.match(
        (await state(url, sessionId)).runs?.[0],
        { status: 'running' },
        `${sessionId}: somebody watches`,
      )
      if (sessionId === 'sse') {
        // Watching another run does not count.
        const stream = await follow(t, 'sse', url, sessionId, { run: other })
        await stream.until('caught-up')
      }
      await leave()
      t.ok((await cancelled(sessionId, runId)) >= 500 + 145)
    }),
  )

  await createSession(url, 'polled')
  const holder = await follow(t, 'sse', url, 'polled')
  await holder.until('caught-up')
  const polled = await startRun(url, 'polled', 'idle', null, policy)
  await fetchPage(url, 'polled', { wait: 1, replay: 'none' })
  holder.close()
  await new Promise(resolve => setTimeout(resolve, 500))
  t.match((await state(url, 'polled')).runs, [{ runId: polled, status: 'running' }], 'who polls comes back')
})

t.test('ephemeral events reach the current subscribers only', async t => {
  const wire = await serve(t)
  const { url } = wire
  const runId = await startRun(url, 's', 'idle', null)
  const streams = await Promise.all(
    (['sse', 'eventsource', 'websocket'] as const).map(async transport => {
      const all = await follow(t, transport, url, 's')
      const run = await follow(t, transport, url, 's', { run: runId })
      for (const stream of [all, run]) await stream.until('caught-up')
      return { transport, all, run }
    }),
  )
  const polling = fetchPage(url, 's', { wait: 20_000, replay: 'none' })
  const head = await headOf(url, 's')
  const tell = (data: unknown, run?: string) =>
    command(url, 's', {
      type: 'publish',
      ephemeral: true,
      event: { type: 'x.cursor', data, ...(run && { runId: run }) },
    })
  t.same((await tell({ x: 1 })).body, { type: 'ack', id: 'h' })
  t.same((await tell({ x: 2 }, runId)).body, { type: 'ack', id: 'h' })
  t.equal(await headOf(url, 's'), head, 'nothing is logged')
  await command(url, 's', { type: 'publish', event: { type: 'x.last', runId, data: null } })
  for (const { transport, all, run } of streams) {
    const got = (await all.until('x.last')).filter(({ message }) => message.type !== 'ping')
    t.match(got, [
      { message: { sessionId: 's', type: 'x.cursor', by: 'local', ephemeral: true, data: { x: 1 } } },
      { message: { sessionId: 's', runId, type: 'x.cursor', ephemeral: true, data: { x: 2 } } },
      { message: { type: 'x.last' } },
    ])
    const keys = Object.keys(got[0]?.message as Message)
    t.same(keys, ['sessionId', 'type', 'time', 'by', 'ephemeral', 'data'], `${transport}: no offset`)
    if (transport === 'sse') t.same([got[0]?.id, got[0]?.event], [undefined, undefined])
    const own = (await run.until('x.last')).filter(({ message }) => message.type !== 'ping')
    t.match(
      own,
      [{ message: { data: { x: 2 } } }, { message: { type: 'x.last' } }],
      `${transport}: only the run's`,
    )
  }
  t.match((await polling).events, [{ type: 'x.last' }], 'a poll is no live subscription')
  const late = await follow(t, 'sse', url, 's')
  t.notOk((await late.until('caught-up')).some(({ message }) => message.type === 'x.cursor'))
})

t.test('deleting a session ends the streams of all its subscribers', async t => {
  const wire = await serve(t)
  const { url } = wire
  const runId = await startRun(url, 's', 'endless', { ignoreSignal: true })
  const quiet = await startRun(url, 'quiet', 'idle', null)
  const epoch = epochOf(await headOf(url, 'quiet'))
  const streams = await Promise.all(
    transports.flatMap(transport => [
      follow(t, transport, url, 'quiet'),
      follow(t, transport, url, 'quiet', { run: quiet }),
    ]),
  )
  for (const stream of streams) await stream.until('caught-up')
  const ends = streams.map(stream => stream.until('end'))
  const client = await openWs(t, url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's' })
  await client.until('text.delta')
  for (const sessionId of ['s', 'quiet']) {
    const { status, body } = await call(`${url}/v1/sessions/${sessionId}`, { method: 'DELETE' })
    t.equal(status, 204)
    t.same(body, {})
  }
  for (const [i, end] of (await Promise.all(ends)).entries()) {
    const run = i % 2 === 1 ? { runId: quiet } : {}
    const wanted = { type: 'end', sessionId: 'quiet', ...run, reason: 'deleted' }
    t.same(end.at(-1)?.message, wanted, String(transports[Math.floor(i / 2)]))
  }
  t.same((await client.until('end')).at(-1)?.message, { type: 'end', sessionId: 's', reason: 'deleted' })
  client.send({ type: 'ping', time: 1 })
  const after = (await client.until('pong')).filter(({ message }) => message.type !== 'ping')
  t.equal(after.length, 1, 'nothing after it, and the socket stays')

  t.equal((await call(`${url}/v1/sessions/s`, { method: 'DELETE' })).status, 204, 'either way')
  t.equal((await call(`${url}/v1/sessions/s`)).status, 404)
  await eventually(t, 'its run is aborted', () => wire.server.sessions.runner.active === 0)
  await createSession(url, 'quiet')
  t.ok(Number(epochOf(await headOf(url, 'quiet'))) > Number(epoch), 'the next one has another epoch')
  t.same(await logged(wire, 'quiet'), [])
  t.match((await command(url, 's', { type: 'run.cancel', runId })).body, { code: 'session-not-found' })
  const again = await follow(t, 'sse', url, 'quiet', { after: `${epoch}-1` })
  t.match((await again.until('caught-up')).map(({ message }) => message).slice(1), [
    { type: 'subscribed' },
    { type: 'reset', reason: 'epoch' },
    { type: 'caught-up' },
  ])
})

t.test('sessions: made once, described, listed page by page, the last active first', async t => {
  const { url } = await serve(t)
  const made = await post(`${url}/v1/sessions`, { sessionId: 's10', metadata: { title: 'ü' } })
  t.equal(made.status, 201)
  t.same(made.body, { sessionId: 's10', head: made.body.head })
  t.match(made.body.head, /^[1-9]\d*-0$/)
  const again = await post(`${url}/v1/sessions`, { sessionId: 's10', metadata: { title: 'other' } })
  t.equal(again.status, 200)
  t.same(again.body, made.body)
  t.match(await state(url, 's10'), { metadata: { title: 'ü' }, runs: [], pendingInputs: [] })
  const generated = await post(`${url}/v1/sessions`, {})
  t.match(generated.body.sessionId, /^[A-Za-z0-9][A-Za-z0-9._:-]{20,127}$/)
  t.equal((await post(`${url}/v1/sessions`, {})).body.sessionId === generated.body.sessionId, false)

  const ids = Array.from({ length: 24 }, (_, i) => `s${10 + i}`)
  await Promise.all(ids.map(sessionId => createSession(url, sessionId)))
  await eventually(t, 'a second has passed', async () => {
    await ingest(url, 's20', { type: 'x.n', data: 1 })
    return (await call(`${url}/v1/sessions?limit=1`)).body.sessions?.[0]?.sessionId === 's20'
  })
  const listed: string[] = []
  for (let after = ''; ; ) {
    const { body } = await call(`${url}/v1/sessions?limit=5${after && `&after=${after}`}`)
    const page = (body.sessions as { sessionId: string }[]).map(({ sessionId }) => sessionId)
    listed.push(...page)
    t.ok(Number(body.pollMs) >= 5000)
    if (body.next === undefined) break
    after = body.next
  }
  t.equal(listed[0], 's20')
  t.same(listed.filter(id => ids.includes(id)).sort(), ids)
  t.equal(new Set(listed).size, listed.length)
})

t.test("a session's state tells its runs and open questions", async t => {
  const wire = await serve(t)
  const { url } = wire
  const done = await startRun(url, 's', 'script', { events: [{ type: 'x.n', data: 1 }] })
  await terminalOf(url, 's', done)
  const failed = await startRun(url, 's', 'script', { events: [{ type: 'none', data: 1 }] })
  await terminalOf(url, 's', failed)
  const asking = await startRun(url, 's', 'asking', { questions: [{ requestId: 'q' }] })
  await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
  const log = (await logged(wire, 's')).map(parse)
  const offsetOf = (type: string, run: string) =>
    log.find(event => event.type === type && event.runId === run)?.offset as string
  const { runs, ...rest } = await state(url, 's')
  const stateOf = (runId: string, agent: string, status: string, end?: string) => ({
    runId,
    agent,
    status,
    startedAt: log.find(event => event.runId === runId)?.time,
    startOffset: offsetOf('run.started', runId),
    ...(end && { endOffset: offsetOf(end, runId) }),
  })
  t.same(runs, [
    stateOf(done, 'script', 'completed', 'run.completed'),
    stateOf(failed, 'script', 'failed', 'run.failed'),
    stateOf(asking, 'asking', 'running'),
  ])
  t.same(Object.keys(rest).sort(), [
    'activeAt',
    'createdAt',
    'earliest',
    'head',
    'metadata',
    'pendingInputs',
    'sessionId',
  ])
  t.match(rest, {
    sessionId: 's',
    metadata: {},
    head: log.at(-1)?.offset as string,
    earliest: log[0]?.offset as string,
    pendingInputs: [
      { offset: offsetOf('input.requested', asking), runId: asking, requestId: 'q', kind: 'approval' },
    ],
  })
})

t.test('a list is bounded by bytes, and next leads through all of it', async t => {
  const { url, server } = await serve(t)
  const metadata = { text: 'x'.repeat(16_000) }
  const ids = Array.from({ length: 150 }, (_, i) => `s${String(i).padStart(3, '0')}`)
  await Promise.all(ids.map(id => server.sessions.create(id, metadata)))
  const seen: string[] = []
  let pages = 0
  for (let after: string | undefined; ; pages++) {
    const query = after === undefined ? '' : `&after=${after}`
    const response = await fetch(`${url}/v1/sessions?limit=1000${query}`)
    const text = await response.text()
    t.ok(text.length < 1.1 * 2 ** 20, `${text.length} bytes`)
    const { sessions, next } = JSON.parse(text) as { sessions: { sessionId: string }[]; next?: string }
    seen.push(...sessions.map(({ sessionId }) => sessionId))
    if (next === undefined) break
    after = next
  }
  t.same(seen.toSorted(), ids)
  t.ok(pages >= 2)
})

t.test('metadata is changed by a merge patch, which subscribers see', async t => {
  const wire = await serve(t, { authorize: byHeader })
  const { url } = wire
  const update = (metadata: unknown, sessionId = 's') =>
    call(`${url}/v1/sessions/${sessionId}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json', 'x-user': 'ann' },
      body: JSON.stringify({ metadata }),
    })
  t.match(await update({}, 'none'), { status: 404, body: { error: { code: 'session-not-found' } } })
  const first = { title: 'old', tags: ['a'], deep: { kept: 1, gone: 2, other: [] } }
  await post(`${url}/v1/sessions`, { sessionId: 's', metadata: first })
  const patch = {
    title: 'new',
    tags: null,
    deep: { gone: null, other: { x: { y: null, z: 1 } } },
    list: [null],
  }
  const merged = { title: 'new', deep: { kept: 1, other: { x: { z: 1 } } }, list: [null] }
  const { status, body } = await update(patch)
  t.equal(status, 200)
  t.match(body, { sessionId: 's', metadata: merged })
  t.same(Object.keys(body).sort(), ['activeAt', 'createdAt', 'earliest', 'head', 'metadata', 'sessionId'])
  t.same((await state(url, 's')).metadata, merged)
  const [event, ...more] = (await logged(wire, 's')).map(parse)
  t.match(event, { type: 'session.updated', by: 'ann', data: { metadata: merged }, offset: body.head })
  t.same(more, [])

  t.same((await update(patch)).body, body, 'a change that changes nothing appends nothing')
  t.equal((await logged(wire, 's')).length, 1)

  for (const wrong of [undefined, null, [], 'x', { a: 'x'.repeat(16 * 1024) }]) {
    t.match(await update(wrong), { status: 400, body: { error: { code: 'bad-request' } } })
  }
  await update({ a: 'x'.repeat(10_000) })
  t.match(await update({ b: 'x'.repeat(10_000) }), {
    status: 413,
    body: { error: { code: 'too-large', details: { max: 16 * 1024 } } },
  })
  t.equal((await update({ a: null, b: 'x'.repeat(10_000) })).status, 200)

  const counts = Array.from({ length: 12 }, (_, i) => `n${i}`)
  const all = await Promise.all(counts.map(name => update({ [name]: 1 })))
  t.same(
    all.map(one => one.status),
    counts.map(() => 200),
  )
  t.match((await state(url, 's')).metadata, Object.fromEntries(counts.map(name => [name, 1])), 'none is lost')

  t.match(await ingest(url, 's', { type: 'session.updated', data: { metadata: {} } }), {
    status: 400,
    body: { error: { code: 'bad-request' } },
  })
})

t.test('a list looks at 1000 sessions, and says where to go on', async t => {
  const { url, server } = await serve(t, {
    authorize: (_request, { action, sessionId }) =>
      action === 'session.read' && sessionId !== 's1000' ? undefined : { id: 'a' },
  })
  // A list begins with the session that was active last. Those of one millisecond are in the order of their ids.
  for (const oldest of ['s999', 's1000']) {
    await server.sessions.create(oldest)
    const created = Date.now()
    await eventually(t, 'the clock has gone on', () => Date.now() > created)
  }
  for (let i = 1001; i < 2600; i++) await server.sessions.create(`s${i}`)
  const list = async (query: string) => (await call(`${url}/v1/sessions?limit=1${query}`)).body
  const first = await list('')
  t.same(first.sessions, [], 'none of them may be seen')
  t.match(first.next, /^\d+-s\d{4}$/)
  const second = await list(`&after=${first.next}`)
  t.match(second, { sessions: [{ sessionId: 's1000' }], next: /^\d+-s1000$/ })
  const third = await list(`&after=${second.next}`)
  t.match(third, { sessions: [] })
  t.equal(third.next, undefined, 'that is all')
})

t.test('a page backwards reads no more than it may hold', async t => {
  const { url, server } = await serve(t)
  await server.sessions.create('s')
  const data = { text: 'x'.repeat(300_000) }
  for (let i = 0; i < 40; i++) await server.journal.append('s', [{ type: 'x.n', data }])
  for (let i = 0; i < 10; i++) await server.journal.append('s', [{ type: 'x.small', data: i }])
  const { journal } = server
  const read = journal.read.bind(journal)
  let most = 0
  journal.read = async (...args) => {
    const page = await read(...args)
    most = Math.max(most, page?.events.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0)
    return page
  }
  const seen: string[] = []
  let before = `${((await journal.session('s')) as { epoch: number }).epoch}-51`
  for (;;) {
    const page = await fetchPage(url, 's', { before, replay: 'full' })
    seen.unshift(...page.events.map(({ offset }) => offset as string))
    if (page.caughtUp) break
    before = page.next
  }
  t.same(
    seen.map(offset => Number(offset.split('-')[1])),
    Array.from({ length: 50 }, (_, i) => i + 1),
  )
  t.ok(most <= 2 ** 20 + 310_000, `${most} bytes at a time`)
})
