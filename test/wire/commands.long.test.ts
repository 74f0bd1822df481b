/** Commands: the first in log order wins, retries are safe, and both transports say the same. */
import t from 'tap'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { follow, type Message, openSse, openWs } from '../fixtures/wire-clients.ts'
import {
  byHeader,
  command,
  createSession,
  eventually,
  headOf,
  logged,
  parse,
  serve,
  startRun,
  state,
  terminalOf,
  typesOf,
} from '../fixtures/wire-server.ts'

const publish = (data: unknown, more: object = {}) => ({
  type: 'publish',
  event: { type: 'x.n', data },
  ...more,
})

t.test('a key makes a retry safe, on either transport and across them', async t => {
  const wire = await serve(t, { authorize: byHeader })
  const { url } = wire
  const client = await openWs(t, url)
  const over = {
    http: async (body: object) => (await command(url, 's', body)).body as Message,
    websocket: (body: object) => client.command({ sessionId: 's', ...body }),
  }
  const ways = [
    ['http', 'http'],
    ['websocket', 'websocket'],
    ['http', 'websocket'],
    ['websocket', 'http'],
  ] as const
  for (const [i, [first, second]] of ways.entries()) {
    const key = `k${i}`
    const { id: _, ...ack } = await over[first](publish(i, { key }))
    t.match(ack, { type: 'ack', offset: new RegExp(`-${i + 1}$`) })
    // What the retry says is not looked at: the first was accepted.
    const { id: __, ...again } = await over[second](publish('other', { key }))
    t.same(again, ack, `${first}, then ${second}`)
  }
  t.equal((await logged(wire, 's')).length, ways.length)
  const { body: other } = await command(url, 's', publish(9, { key: 'k0' }), { 'x-user': 'ann' })
  t.match(other, { type: 'ack', offset: /-5$/ }, 'keys of another principal are others')
  const { body: elsewhere } = await command(url, 'elsewhere', publish(9, { key: 'k0' }))
  t.match(elsewhere, { type: 'ack', offset: /-1$/ }, 'and so are those of another session')

  t.test('all at once', async t => {
    const retries = Array.from({ length: 40 }, (_, i) =>
      (i % 2 === 0 ? over.http : over.websocket)(publish(i, { key: 'once' })),
    )
    const offsets = new Set((await Promise.all(retries)).map(({ offset }) => offset))
    t.equal(offsets.size, 1)
    t.equal((await logged(wire, 's')).length, ways.length + 2)
  })

  t.test('every command', async t => {
    const start = {
      type: 'run.start',
      agent: 'asking',
      input: { questions: [{ requestId: 'q' }] },
      key: 'start',
    }
    const started = await over.http(start)
    const { runId } = started
    t.match(await over.websocket(start), { runId, offset: started.offset }, 'run.start without a runId')
    const steer = { type: 'input.steer', runId, text: 'hm', key: 'steer' }
    const steered = await over.http(steer)
    t.match(steered, { inputId: /./ })
    t.match(await over.websocket(steer), { inputId: steered.inputId, offset: steered.offset })
    const answer = { type: 'input.answer', requestId: 'q', value: 1, key: 'answer' }
    await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
    const answered = await over.http(answer)
    t.match(await over.websocket({ ...answer, value: 2 }), { type: 'ack', offset: answered.offset })
    await terminalOf(url, 's', runId as string)
    const other = await over.http({ type: 'run.start', agent: 'idle', input: null })
    const cancel = { type: 'run.cancel', runId: other.runId, key: 'cancel' }
    const cancelled = await over.http(cancel)
    t.match(await over.websocket(cancel), { type: 'ack', offset: cancelled.offset })
    const early = { type: 'run.cancel', runId: 'later', key: 'early' }
    t.same(await over.http(early), { type: 'ack', id: 'h' }, 'nothing was appended, so no offset')
    t.match(await over.websocket(early), { type: 'ack', offset: undefined })
    const ephemeral = publish('now', { key: 'ephemeral', ephemeral: true })
    const stream = await follow(t, 'sse', url, 's')
    await stream.until('caught-up')
    t.match(await over.http(ephemeral), { type: 'ack', offset: undefined })
    t.match(await over.websocket(ephemeral), { type: 'ack', offset: undefined })
    await over.http(publish('then'))
    const told = (await stream.until(({ message }) => (message.data as unknown) === 'then')).filter(
      ({ message }) => message.ephemeral,
    )
    t.equal(told.length, 1, 'told once')
  })

  t.test('a refused command with the same key is executed again', async t => {
    const bad = await over.http({ type: 'run.start', agent: 'nobody', input: null, key: 'again' })
    t.match(bad, { type: 'nack', code: 'agent-not-found' })
    const good = await over.websocket({ type: 'run.start', agent: 'idle', input: null, key: 'again' })
    t.match(good, { type: 'ack', runId: /./ })
    t.match(await over.http(publish('x', { key: 'again' })), { type: 'ack', offset: good.offset })
  })
})

t.test('commands of one connection take effect in the order in which they were sent', async t => {
  const folder = t.testdir()
  for (const log of [createMemoryLog(), await openLmdbLog({ folder })]) {
    const wire = await serve(t, { log })
    const client = await openWs(t, wire.url)
    const start = { type: 'run.start', sessionId: 's', runId: 'r', agent: 'idle', input: {} }
    const sent = Array.from({ length: 90 }, (_, n) => {
      if (n === 30) return client.command(start)
      if (n === 60) return client.command({ sessionId: 's', ...publish(n, { key: 'k' }) })
      return client.command({ sessionId: 's', ...publish(n) })
    })
    const numbers = (await Promise.all(sent)).map(({ offset }) => Number(String(offset).split('-')[1]))
    t.same(
      numbers,
      sent.map((_, n) => n + 1),
      String(log.driver),
    )
  }
})

t.test('a runId starts one run, also when it is sent several times', async t => {
  const wire = await serve(t, { authorize: byHeader })
  const { url } = wire
  const client = await openWs(t, url)
  const start = { type: 'run.start', runId: 'r', agent: 'steered', input: { name: 'a' } }
  const replies = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      i % 2 === 0
        ? command(url, 's', start).then(({ body }) => body as Message)
        : client.command({ sessionId: 's', ...start }),
    ),
  )
  t.same([...new Set(replies.map(({ type, runId, offset }) => `${type} ${runId} ${offset}`))].length, 1)
  t.same(await typesOf(wire, 's'), ['run.started'])
  const offset = replies[0]?.offset
  for (const other of [
    { input: { name: 'b' } },
    { input: { name: 'a', more: 1 } },
    { agent: 'idle' },
    { agent: 'nobody' },
  ]) {
    const { status, body } = await command(url, 's', { ...start, ...other })
    t.equal(status, 409)
    t.match(body, { type: 'nack', code: 'conflict', retryable: false, details: { runId: 'r', offset } })
  }
  await command(url, 's', { type: 'run.cancel', runId: 'r' })
  t.match((await command(url, 's', start)).body, { type: 'ack', runId: 'r', offset }, 'after its end, too')
  t.match((await command(url, 's', start, { 'x-user': 'ann' })).body, { type: 'ack', runId: 'r', offset })
})

t.test('a cancel that comes before the start', async t => {
  const wire = await serve(t)
  const { url } = wire
  await createSession(url, 's')
  const cancel = { type: 'run.cancel', runId: 'r', reason: 'changed my mind' }
  t.same((await command(url, 's', cancel)).body, { type: 'ack', id: 'h' })
  t.same((await command(url, 's', { ...cancel, reason: 'again' })).body, { type: 'ack', id: 'h' })
  t.same(await logged(wire, 's'), [])
  const start = { type: 'run.start', runId: 'r', agent: 'endless', input: {} }
  const started = await command(url, 's', start)
  t.match(started.body, { type: 'ack', runId: 'r', offset: /-1$/ })
  const events = (await logged(wire, 's')).map(parse)
  t.match(events, [
    { type: 'run.started', runId: 'r' },
    { type: 'run.cancelled', runId: 'r', data: { reason: 'changed my mind' } },
  ])
  t.equal(events.length, 2)
  t.match((await command(url, 's', start)).body, { type: 'ack', offset: started.body.offset as string })
  t.match((await command(url, 's', cancel)).body, { code: 'run-ended', details: { type: 'run.cancelled' } })
  const stream = await openSse(t, `${url}/v1/sessions/s2/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: '1', ...start }),
  })
  t.match(await stream.nextOf('text.delta'), { runId: 'r' }, 'another session knows nothing of it')
  stream.close()

  t.test('at the same time', async t => {
    const client = await openWs(t, url)
    for (let i = 0; i < 60; i++) {
      const runId = `race${i}`
      const start = command(url, 's', { type: 'run.start', runId, agent: 'endless', input: {} })
      const cancel = client.command({ type: 'run.cancel', sessionId: 's', runId })
      t.match([(await start).body.type, (await cancel).type], ['ack', 'ack'])
      await terminalOf(url, 's', runId)
    }
    const log = (await logged(wire, 's')).map(parse)
    for (let i = 0; i < 60; i++) {
      const types = log.filter(({ runId }) => runId === `race${i}`).map(({ type }) => type)
      const others = types.filter(type => type !== 'text.delta' && type !== 'run.cancel-requested')
      t.same(others, ['run.started', 'run.cancelled'])
      t.equal(types.at(-1), 'run.cancelled', 'nothing of the run follows')
    }
  })
})

t.test('an ended run takes nothing any more', async t => {
  const wire = await serve(t)
  const { url } = wire
  const client = await openWs(t, url)
  for (const agent of ['script', 'idle'] as const) {
    const questions = { questions: [{ requestId: 'q' }] }
    const runId =
      agent === 'script'
        ? await startRun(url, 's', 'script', { events: [] })
        : await startRun(url, 's', 'asking', questions)
    if (agent === 'idle') {
      await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
      await command(url, 's', { type: 'run.cancel', runId })
    }
    const { type, offset } = await terminalOf(url, 's', runId)
    const head = await headOf(url, 's')
    const late: object[] = [
      { type: 'run.cancel', runId },
      { type: 'input.steer', runId, text: 'hm' },
      { type: 'publish', event: { type: 'x.n', runId, data: 1 } },
      { type: 'publish', event: { type: 'x.n', runId, data: 1 }, ephemeral: true },
      ...(agent === 'idle' ? [{ type: 'input.answer', requestId: 'q', value: 1 }] : []),
    ]
    for (const body of late) {
      const wanted = { type: 'nack', code: 'run-ended', retryable: false, details: { runId, type, offset } }
      const answer = await command(url, 's', body)
      t.equal(answer.status, 409)
      t.match(answer.body, wanted, JSON.stringify(body))
      t.match(await client.command({ sessionId: 's', ...body }), wanted)
    }
    t.equal(await headOf(url, 's'), head)
    t.same((await state(url, 's')).pendingInputs, [], 'its open questions are closed')
  }
})
