/** Ingest: events from producers in any language, over plain HTTP. */
import { request } from 'node:http'
import t from 'tap'
import {
  epochOf,
  eventsUrl,
  fetchPage,
  follow,
  type Message,
  openSse,
  openWs,
  seqOf,
} from '../fixtures/wire-clients.ts'
import {
  byHeader,
  command,
  createSession,
  eventually,
  headOf,
  ingest,
  ingestLines,
  logged,
  parse,
  post,
  serve,
  startRun,
  state,
  terminalOf,
  typesOf,
} from '../fixtures/wire-server.ts'

const started = (runId: string, input: unknown = null) => ({
  type: 'run.started',
  runId,
  data: { agent: 'theirs', input },
})
const delta = (runId: string, text: string) => ({
  type: 'text.delta',
  runId,
  data: { partId: 'p', delta: text },
})
const completed = (runId: string) => ({ type: 'run.completed', runId, data: { finishReason: 'stop' } })
const x = (data: unknown) => ({ type: 'x.n', data })

const lines = (events: readonly object[]) => events.map(event => JSON.stringify(event)).join('\n')

t.test('one event, an array, lines', async t => {
  const wire = await serve(t)
  const { url } = wire
  const one = await ingest(url, 's', x(1))
  t.equal(one.status, 200)
  const epoch = epochOf(one.body.first)
  t.same(one.body, { first: `${epoch}-1`, head: `${epoch}-1`, count: 1 })
  t.same((await ingest(url, 's', [x(2), x(3)])).body, { first: `${epoch}-2`, head: `${epoch}-3`, count: 2 })
  const body = `\n${lines([x(4), x(5)])}\r\n\n${lines([x(6)])}`
  t.same((await ingestLines(url, 's', body)).body, { first: `${epoch}-4`, head: `${epoch}-6`, count: 3 })
  const many = Array.from({ length: 20_000 }, (_, i) => x(`${i} ü漢🎉`))
  const { body: bulk } = await ingestLines(url, 'bulk', lines(many))
  t.equal(bulk.count, 20_000)
  t.equal(seqOf(bulk.head), 20_000)
  t.same(
    (await logged(wire, 'bulk')).map(json => parse(json).data),
    many.map(({ data }) => data),
  )
})

t.test('every type that is not made by commands, with whatever else its data says', async t => {
  const wire = await serve(t)
  const { url } = wire
  const more = { more: { n: [1, null, ''] }, '': 1 }
  const data: Record<string, object> = {
    'run.status': { status: 'searching', message: 'm' },
    'plan.updated': { title: 't', steps: [{ title: 'one', status: 'done', extra: 1 }] },
    'step.started': { stepId: 's', name: 'n' },
    'step.finished': { stepId: 's', name: 'n' },
    'text.start': { partId: 'p', messageId: 'm', role: 'assistant' },
    'text.delta': { partId: 'p', delta: '' },
    'text.end': { partId: 'p' },
    'reasoning.start': { partId: 'q' },
    'reasoning.delta': { partId: 'q', delta: 'hm' },
    'reasoning.end': { partId: 'q' },
    'tool.started': { toolCallId: 't', toolName: 'n' },
    'tool.delta': { toolCallId: 't', delta: '{' },
    'tool.called': { toolCallId: 't', toolName: 'n', input: null },
    'tool.finished': { toolCallId: 't', output: [1], isError: false },
    'source.added': { sourceId: 's', title: 't', url: 'u', excerpt: 'e' },
    'artifact.start': { artifactId: 'a', kind: 'k', name: 'n' },
    'artifact.delta': { artifactId: 'a', delta: 'd' },
    'artifact.end': { artifactId: 'a' },
    'input.requested': { requestId: 'i', kind: 'tool', message: 'm', schema: true, toolCallId: 't' },
    'input.expired': { requestId: 'i' },
    'input.applied': { inputId: 'j' },
    'x.own': { any: 'thing' },
    'run.failed': { code: 'c', message: 'm', retryable: true },
  }
  const events = Object.entries(data).map(([type, data]) => ({
    type,
    runId: 'r',
    data: { ...data, ...more },
  }))
  const { status, body } = await ingest(url, 's', [started('r', { q: 1 }), ...events])
  t.equal(status, 200, JSON.stringify(body))
  const log = (await logged(wire, 's')).map(parse)
  t.same(
    log.slice(1).map(({ type, runId, data }) => ({ type, runId, data })),
    events,
  )
  t.match(log[0], { type: 'run.started', by: 'local', data: { agent: 'theirs', input: { q: 1 } } })
})

t.test('an array is all or nothing', async t => {
  const wire = await serve(t)
  const { url } = wire
  await createSession(url, 's')
  const head = await headOf(url, 's')
  for (const events of [
    [x(1), { type: 'none', data: 1 }],
    [x(1), delta('unknown', 'a')],
    [started('r'), completed('r'), delta('r', 'after its end')],
    [started('r'), started('r')],
    [started('r'), completed('r'), completed('r')],
  ]) {
    t.ok((await ingest(url, 's', events)).status >= 400, JSON.stringify(events))
    t.equal(await headOf(url, 's'), head)
    t.same((await state(url, 's')).runs, [])
  }
  t.equal((await ingest(url, 's', [started('r'), delta('r', 'a'), completed('r')])).status, 200)
})

t.test('lines are delivered as they arrive, during a body of any length', async t => {
  const wire = await serve(t)
  const { url } = wire
  await createSession(url, 's')
  const stream = await follow(t, 'sse', url, 's')
  await stream.until('caught-up')
  const upload = request(eventsUrl(url, 's'), {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/x-ndjson' },
  })
  const answer = new Promise<Message & { count?: number }>((resolve, reject) => {
    upload.on('error', reject)
    upload.on('response', async response => {
      let text = ''
      for await (const part of response) text += part
      resolve(JSON.parse(text))
    })
  })
  for (let i = 0; i < 5; i++) {
    // A line in two pieces, cut within a character.
    const line = Buffer.from(`${JSON.stringify(x(`漢${i}`))}\n`)
    upload.write(line.subarray(0, 25))
    await new Promise(resolve => setImmediate(resolve))
    upload.write(line.subarray(25))
    t.same((await stream.nextOf('x.n')).data as unknown, `漢${i}`)
  }
  upload.end(JSON.stringify(x('last')))
  t.match(await answer, { count: 6 })
  await stream.nextOf('x.n')

  const cut = request(eventsUrl(url, 's'), {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/x-ndjson' },
  })
  cut.on('error', () => {})
  cut.write(`${lines([x('before')])}\n{"type":"x.n","data":"cut`)
  await stream.nextOf('x.n')
  cut.destroy()
  t.equal((await ingest(url, 's', x('after'))).status, 200)
  t.same((await stream.nextOf('x.n')).data as unknown, 'after', 'a line that was cut is none')
})

t.test('a run belongs to the principal that opened it', async t => {
  const wire = await serve(t, { authorize: byHeader })
  const { url } = wire
  const as = (user: string, body: object, session = 's') =>
    post(`${url}/v1/sessions/${session}/events`, body, { 'x-user': user })
  await as('ann', [started('r'), delta('r', 'a')])
  const head = await headOf(url, 's')
  for (const body of [delta('r', 'b'), completed('r'), started('r'), [x(1), delta('r', 'b')]]) {
    t.match(
      await as('bob', body),
      { status: 403, body: { error: { code: 'forbidden' } } },
      JSON.stringify(body),
    )
  }
  t.match(await as('ann', started('r')), { status: 409, body: { error: { code: 'conflict' } } })
  t.match(await as('ann', delta('none', 'b')), { status: 404, body: { error: { code: 'run-not-found' } } })
  const own = await startRun(url, 's2', 'steered', {}, {})
  for (const user of ['ann', 'local']) {
    const answer = await as(user, delta(own, 'b'), 's2')
    t.match(answer, { status: 403, body: { error: { code: 'forbidden' } } }, 'of an agent')
  }
  t.equal(await headOf(url, 's'), head)
  t.equal((await as('ann', completed('r'))).status, 200)
  const end = parse((await logged(wire, 's')).at(-1) as string)
  for (const body of [delta('r', 'b'), completed('r'), [x(1), delta('r', 'b')]]) {
    const { status, body: answer } = await as('ann', body)
    t.equal(status, 409)
    const details = { runId: 'r', type: 'run.completed', offset: end.offset }
    t.match(answer, { error: { code: 'run-ended', details } })
  }
  t.match((await state(url, 's')).runs, [{ runId: 'r', agent: 'theirs', status: 'completed' }])
  t.match(end, { by: 'ann' })
})

t.test('commands reach the runs of producers', async t => {
  const wire = await serve(t)
  const { url } = wire
  const stream = await follow(t, 'long-poll', url, (await ingest(url, 's', started('r'))) && 's')
  const question = {
    type: 'input.requested',
    runId: 'r',
    data: { requestId: 'q', kind: 'approval', message: 'Go on?', schema: { type: 'boolean' } },
  }
  await ingest(url, 's', question)
  t.match((await state(url, 's')).pendingInputs, [{ requestId: 'q', runId: 'r', message: 'Go on?' }])
  const twice = await ingest(url, 's', question)
  t.match(twice, { status: 409, body: { error: { code: 'conflict' } } }, 'a question is asked once')
  const answer = (value: unknown) => command(url, 's', { type: 'input.answer', requestId: 'q', value })
  t.match((await answer('yes')).body, { code: 'bad-request' })
  t.match((await answer(true)).body, { type: 'ack' })
  t.match(await stream.nextOf('input.answered'), { runId: 'r', data: { requestId: 'q', value: true } })
  const expired = { type: 'input.expired', runId: 'r', data: { requestId: 'q' } }
  t.match(await ingest(url, 's', expired), { status: 409, body: { error: { code: 'already-answered' } } })
  const { body: steered } = await command(url, 's', { type: 'input.steer', runId: 'r', text: 'hm' })
  t.match(await stream.nextOf('input.steered'), { data: { inputId: steered.inputId as string, text: 'hm' } })

  await command(url, 's', { type: 'run.cancel', runId: 'r', reason: 'enough' })
  const cancelled = await stream.nextOf('run.cancelled')
  const late = await ingest(url, 's', delta('r', 'late'))
  const details = { runId: 'r', type: 'run.cancelled', offset: cancelled.offset }
  t.match(late, { status: 409, body: { error: { code: 'run-ended', details } } })

  t.test('a cancel that was first', async t => {
    await command(url, 's', { type: 'run.cancel', runId: 'early', reason: 'no' })
    for (const body of [started('early'), delta('early', 'a')]) {
      const answer = await ingest(url, 's', body)
      t.match(answer, {
        status: 409,
        body: { error: { code: 'run-ended', details: { type: 'run.cancelled' } } },
      })
    }
    const log = (await logged(wire, 's')).map(parse).filter(({ runId }) => runId === 'early')
    t.match(log, [{ type: 'run.started' }, { type: 'run.cancelled', data: { reason: 'no' } }])
    t.equal(log.length, 2)
    await command(url, 's', { type: 'run.cancel', runId: 'early2' })
    const { status, body } = await ingestLines(
      url,
      's',
      lines([x(1), started('early2'), delta('early2', 'a')]),
    )
    t.equal(status, 409)
    t.match(body, { error: { code: 'run-ended', details: { count: 1 } } })
    const types = (await logged(wire, 's')).map(json => parse(json).type)
    t.same(types.slice(-3), ['x.n', 'run.started', 'run.cancelled'], 'in the order of the lines')
  })

  t.test('a question with an end expires', async t => {
    await ingest(url, 's', [
      started('e'),
      { ...question, runId: 'e', data: { ...question.data, requestId: 'e1', expiresAt: Date.now() + 100 } },
    ])
    const expired = await stream.nextOf('input.expired')
    t.match(expired, { runId: 'e', data: { requestId: 'e1' } })
    const late = await command(url, 's', { type: 'input.answer', requestId: 'e1', value: true })
    t.match(late.body, { code: 'input-expired', details: { offset: expired.offset } })
    await ingest(url, 's', completed('e'))
  })
})

t.test('a producer that falls silent is lost, one that continues is not', async t => {
  const wire = await serve(t, { producerLeaseMs: 2000 })
  const { url } = wire
  await ingest(url, 's', [started('silent'), started('alive')])
  const client = await openWs(t, url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', run: 'silent' })
  let lost: Message | undefined
  const losing = client.nextOf('run.failed').then(message => {
    lost = message
  })
  for (let i = 0; !lost; i++) {
    await ingest(url, 's', delta('alive', `${i} `))
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  await losing
  t.match(lost, { runId: 'silent', data: { code: 'producer-lost', retryable: true } })
  const begun = parse((await logged(wire, 's'))[0] as string).time as number
  const after = (lost.time as number) - begun
  t.ok(after >= 2000, `after ${after} ms`)
  const late = await ingest(url, 's', delta('silent', 'I am back'))
  t.match(late, { status: 409, body: { error: { code: 'run-ended', details: { type: 'run.failed' } } } })
  t.equal((await ingest(url, 's', completed('alive'))).status, 200)
  t.match((await state(url, 's')).runs, [
    { runId: 'silent', status: 'failed' },
    { runId: 'alive', status: 'completed' },
  ])
})

t.test('an empty array renews the leases of the principal’s open runs, and appends nothing', async t => {
  const wire = await serve(t, { producerLeaseMs: 2000, authorize: byHeader })
  const { url } = wire
  const as = (user: string, body: object) => post(eventsUrl(url, 's'), body, { 'x-user': user })
  await as('ann', [started('kept'), started('also-kept'), started('ended'), completed('ended')])
  await as('bob', started('silent'))
  const head = await headOf(url, 's')
  const client = await openWs(t, url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', run: 'silent' })
  let lost = false
  const losing = client.nextOf('run.failed').then(() => {
    lost = true
  })
  while (!lost) {
    const renewed = await as('ann', [])
    if (renewed.body.head === head) t.same(renewed, { ...renewed, status: 200, body: { head, count: 0 } })
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  await losing
  const { runs = [] } = await state(url, 's')
  t.same(
    runs.map(({ runId, status }) => `${runId} ${status}`),
    ['kept running', 'also-kept running', 'ended completed', 'silent failed'],
  )
  t.equal((await logged(wire, 's')).length, 6, 'nothing but the end of the lost run was appended')
  t.equal((await as('ann', [completed('kept')])).status, 200)
})

t.test('an empty array that names runs renews the leases of these only', async t => {
  const { url } = await serve(t, { producerLeaseMs: 1000, authorize: byHeader })
  const as = (user: string, body: object, query = '') =>
    post(`${eventsUrl(url, 's')}${query}`, body, { 'x-user': user })
  await as('ann', [started('kept'), started('left'), started('ended'), completed('ended')])
  await as('bob', started('of-bob'))
  const client = await openWs(t, url)
  client.send({ id: 'a', type: 'subscribe', sessionId: 's', run: 'left' })
  let lost = false
  const losing = client.nextOf('run.failed').then(() => {
    lost = true
  })
  while (!lost) {
    t.match(await as('ann', [], '?runs=kept,ended'), { status: 200, body: { count: 0 } })
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  await losing
  t.same((await state(url, 's')).runs?.map(({ runId, status }) => `${runId} ${status}`).slice(0, 3), [
    'kept running',
    'left failed',
    'ended completed',
  ])
  const refused = {
    'of-bob': { status: 403, body: { error: { code: 'forbidden', details: { runId: 'of-bob' } } } },
    unknown: { status: 404, body: { error: { code: 'run-not-found' } } },
    'not an id!': { status: 400, body: { error: { code: 'bad-request', details: { path: 'runs.0' } } } },
    [Array(101).fill('kept').join()]: { status: 400, body: { error: { details: { path: 'runs' } } } },
  }
  for (const [runs, answer] of Object.entries(refused)) {
    t.match(await as('ann', [], `?runs=${encodeURIComponent(runs)}`), answer, runs.slice(0, 20))
  }
  const path = { status: 400, body: { error: { code: 'bad-request', details: { path: 'runs' } } } }
  t.match(await as('ann', [completed('kept')], '?runs=kept'), path, 'events name their runs themselves')
  t.match(await ingestLines(url, 's', JSON.stringify(completed('kept')), '?runs=kept'), path)
})

t.test('producer and seq make retries exact', async t => {
  const wire = await serve(t)
  const { url } = wire
  const send = (seq: number, events: object[], producer = 'p') =>
    post(`${eventsUrl(url, 's')}?producer=${producer}&seq=${seq}`, events)
  const one = await send(1, [x(1), x(2)])
  const epoch = epochOf(one.body.first)
  t.same(one.body, { first: `${epoch}-1`, head: `${epoch}-2`, count: 2 })
  t.same((await send(1, [x(1), x(2)])).body, one.body, 'the same again')
  const more = await send(1, [x(1), x(2), x(3)])
  t.same(more.body, { first: `${epoch}-1`, head: `${epoch}-3`, count: 3 }, 'what is new of it')
  const hole = await send(5, [x(5)])
  t.match(hole, { status: 409, body: { error: { code: 'conflict', details: { expected: 4 } } } })
  t.same(
    (await send(2, [x(2)])).body,
    { first: `${epoch}-2`, head: `${epoch}-3`, count: 1 },
    'an old one alone',
  )
  t.equal((await send(0, [x('q')], 'q')).status, 200, 'numbers may begin at 0')
  t.match(await send(2, [x('new')], 'r'), { status: 409, body: { error: { details: { expected: 1 } } } })
  t.equal((await send(4, [x(4)])).status, 200, 'the others have theirs')
  t.same(
    (await logged(wire, 's')).map(json => parse(json).data as unknown),
    [1, 2, 3, 'q', 4],
  )

  t.test('all at once', async t => {
    const events = Array.from({ length: 50 }, (_, i) => x(`c${i}`))
    const answers = await Promise.all([
      ...Array.from({ length: 5 }, () => send(1, events, 'c')),
      ...Array.from({ length: 5 }, () => send(1, events.slice(0, 20), 'c')),
    ])
    t.same([...new Set(answers.map(({ status }) => status))], [200])
    const data = (await logged(wire, 's'))
      .map(json => String(parse(json).data))
      .filter(data => data.startsWith('c'))
    t.same(
      data,
      events.map(({ data }) => data),
    )
  })

  t.test('lines, sent again after the connection was lost', async t => {
    const events = Array.from({ length: 300 }, (_, i) => x(`l${i}`))
    const cut = request(`${eventsUrl(url, 'l')}?producer=p&seq=1`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/x-ndjson' },
    })
    cut.on('error', () => {})
    cut.write(`${lines(events.slice(0, 117))}\n{"type":`)
    await eventually(t, 'some have arrived', async () => seqOf(await headOf(url, 'l')) === 117)
    cut.destroy()
    for (let i = 0; i < 2; i++) {
      const { status, body } = await ingestLines(url, 'l', lines(events), '?producer=p&seq=1')
      t.match({ status, ...body }, { status: 200, count: 300, first: /-1$/, head: /-300$/ })
    }
    t.same(
      (await logged(wire, 'l')).map(json => parse(json).data),
      events.map(({ data }) => data),
    )
  })

  t.test('runs that begin and end within repeated events', async t => {
    const events = [x(0), started('r'), delta('r', 'a'), completed('r')]
    const whole = await post(`${eventsUrl(url, 'w')}?producer=p&seq=1`, events)
    t.equal(whole.status, 200)
    const again = await post(`${eventsUrl(url, 'w')}?producer=p&seq=1`, events)
    t.equal(again.status, 200, JSON.stringify(again.body))
    t.same(again.body, whole.body)
    const last = await post(`${eventsUrl(url, 'w')}?producer=p&seq=4`, completed('r'))
    t.match(last, { status: 200, body: { first: /-4$/, count: 1 } }, 'its end alone')
    const byLine = await ingestLines(url, 'w', lines([...events, x(1)]), '?producer=p&seq=1')
    t.match(byLine, { status: 200, body: { first: /-1$/, count: 5 } })
    const types = ['x.n', 'run.started', 'text.delta', 'run.completed', 'x.n']
    t.same(await typesOf(wire, 'w'), types)
    const array = await post(`${eventsUrl(url, 'w')}?producer=p&seq=2`, [...events.slice(1), x(1), x(2)])
    t.match(array, { status: 200, body: { first: /-2$/, count: 5 } }, 'and something new behind it, as one')
    t.same(await typesOf(wire, 'w'), [...types, 'x.n'])
    const refused = await post(`${eventsUrl(url, 'w')}?producer=p&seq=4`, [
      ...events.slice(3),
      x(1),
      x(2),
      started('r'),
    ])
    t.match(refused, { status: 409, body: { error: { code: 'run-ended' } } })
    t.same(await typesOf(wire, 'w'), [...types, 'x.n'])
  })

  t.test('where a run lies is right when a part was there before', async t => {
    await post(`${eventsUrl(url, 'i')}?producer=p&seq=1`, [x(1), x(2)])
    const events = [x(1), x(2), x(3), started('r'), delta('r', 'a'), completed('r')]
    t.equal((await post(`${eventsUrl(url, 'i')}?producer=p&seq=1`, events)).status, 200)
    const page = await fetchPage(url, 'i', { run: 'r', replay: 'full' })
    t.same(
      page.events.map(({ type }) => type),
      ['run.started', 'text.delta', 'run.completed'],
    )
    t.match(page.controls, [{ type: 'end', reason: 'run-ended' }])
    const { runs } = await state(url, 'i')
    t.match(runs, [
      { startOffset: page.events[0]?.offset as string, endOffset: page.events[2]?.offset as string },
    ])
    const stream = await openSse(t, eventsUrl(url, 'i', { run: 'r', after: page.events[0]?.offset }))
    t.equal((await stream.until('end')).filter(({ message }) => message.type.includes('.')).length, 2)
    t.match(await terminalOf(url, 'i', 'r'), { type: 'run.completed' })
  })
})
