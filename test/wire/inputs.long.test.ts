/** What users send into a run: answers, in time and too late, and steering. */
import t from 'tap'
import { follow, type Message, seqOf } from '../fixtures/wire-clients.ts'
import {
  byHeader,
  call,
  command,
  createSession,
  eventually,
  logged,
  parse,
  serve,
  startRun,
  state,
  terminalOf,
  typesOf,
} from '../fixtures/wire-server.ts'

t.test('answers', async t => {
  const wire = await serve(t, { authorize: byHeader })
  const { url } = wire
  const schema = {
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
    additionalProperties: false,
  }
  const questions = [
    { requestId: 'q1', schema, kind: 'question', message: 'Well?', toolCallId: 'call' },
    { requestId: 'q2' },
  ]
  const runId = await startRun(url, 's', 'asking', { questions })
  await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
  const asked = (await logged(wire, 's')).map(parse).find(({ type }) => type === 'input.requested') as Message
  t.match(asked, { runId, data: questions[0] as Record<string, unknown> })
  t.same((await state(url, 's')).pendingInputs, [{ ...asked.data, offset: asked.offset, runId }])

  const answer = (requestId: string, value: unknown, user = 'ann') =>
    command(url, 's', { type: 'input.answer', requestId, value }, { 'x-user': user })
  for (const [value, path] of [
    [{ ok: 'yes' }, 'value.ok'],
    [{}, 'value'],
    [{ ok: true, more: 1 }, 'value.more'],
    [null, 'value'],
    ['yes', 'value'],
  ]) {
    const { status, body } = await answer('q1', value)
    t.equal(status, 400)
    t.match(body, { code: 'bad-request', details: { path } }, JSON.stringify(value))
  }
  const won = await answer('q1', { ok: true })
  t.match(won.body, { type: 'ack' })
  const event = parse((await logged(wire, 's'))[seqOf(won.body.offset) - 1] as string)
  t.match(event, { type: 'input.answered', runId, by: 'ann', data: { requestId: 'q1', value: { ok: true } } })
  t.same(
    (await answer('q1', { ok: true })).body,
    won.body,
    'the same answer by the same principal is a retry',
  )
  const details = { requestId: 'q1', offset: won.body.offset, value: { ok: true }, by: 'ann' }
  for (const late of [await answer('q1', { ok: false }), await answer('q1', { ok: true }, 'bob')]) {
    t.equal(late.status, 409)
    t.match(late.body, { code: 'already-answered', retryable: false, details })
  }
  await eventually(t, 'it asks again', async () => (await state(url, 's')).pendingInputs?.length === 1)
  t.match((await answer('q2', null, 'bob')).body, { type: 'ack' }, 'null is a value')
  const heard = async () => (await logged(wire, 's')).map(parse).filter(({ type }) => type === 'x.heard')
  await terminalOf(url, 's', runId)
  t.match(await heard(), [
    { data: { value: { ok: true }, by: 'ann', offset: won.body.offset } },
    { data: { value: null, by: 'bob' } },
  ])
})

t.test('a question that expires', async t => {
  const wire = await serve(t)
  const { url } = wire
  const expiresAt = Date.now() + 150
  const runId = await startRun(url, 's', 'asking', { questions: [{ requestId: 'q', expiresAt }] })
  const stream = await follow(t, 'sse', url, 's')
  const expired = await stream.nextOf('input.expired')
  t.match(expired, { runId, data: { requestId: 'q' } })
  t.ok((expired.time as number) >= expiresAt - 1, `${(expired.time as number) - expiresAt} ms late`)
  t.match(await stream.nextOf('run.failed'), { runId, data: { code: 'input-expired' } })
  const { status, body } = await command(url, 's', { type: 'input.answer', requestId: 'q', value: 1 })
  t.equal(status, 409)
  t.match(body, {
    code: 'input-expired',
    retryable: false,
    details: { requestId: 'q', offset: expired.offset },
  })
  t.same((await state(url, 's')).pendingInputs, [])

  t.test('answered in time, it does not', async t => {
    const expiresAt = Date.now() + 3000
    const runId = await startRun(url, 'a', 'asking', {
      questions: [{ requestId: 'q', expiresAt }, { requestId: 'r' }],
    })
    await eventually(t, 'it asks', async () => (await state(url, 'a')).pendingInputs?.length === 1)
    t.match((await command(url, 'a', { type: 'input.answer', requestId: 'q', value: 1 })).body, {
      type: 'ack',
    })
    await eventually(t, 'the time is over', () => Date.now() > expiresAt + 100)
    await command(url, 'a', { type: 'input.answer', requestId: 'r', value: 1 })
    t.match(await terminalOf(url, 'a', runId), { type: 'run.completed' })
    t.notOk((await typesOf(wire, 'a')).includes('input.expired'))
  })

  t.test('the question of a session that was deleted does not expire in the next one', async t => {
    const expiresAt = Date.now() + 3000
    await startRun(url, 'd', 'asking', { questions: [{ requestId: 'q', expiresAt }] })
    await eventually(t, 'it asks', async () => (await state(url, 'd')).pendingInputs?.length === 1)
    await call(`${url}/v1/sessions/d`, { method: 'DELETE' })
    await createSession(url, 'd')
    await eventually(t, 'the time is over', () => Date.now() > expiresAt + 100)
    t.same(await logged(wire, 'd'), [])
  })
})

t.test('steering', async t => {
  const wire = await serve(t, { authorize: byHeader })
  const { url } = wire
  const runId = await startRun(url, 's', 'steered', {})
  const said: string[] = []
  for (const text of ['one', 'two', '漢\n']) {
    const { body } = await command(url, 's', { type: 'input.steer', runId, text }, { 'x-user': 'ann' })
    t.match(body, { type: 'ack', inputId: /./, offset: /./ })
    said.push(body.inputId as string)
  }
  await command(url, 's', { type: 'input.steer', runId, text: 'end' })
  await terminalOf(url, 's', runId)
  const log = (await logged(wire, 's')).map(parse)
  const of = (type: string) => log.filter(event => event.type === type)
  t.match(of('input.steered').slice(0, 3), [
    { runId, by: 'ann', data: { inputId: said[0], text: 'one' } },
    { data: { inputId: said[1], text: 'two' } },
    { data: { inputId: said[2], text: '漢\n' } },
  ])
  t.same(
    of('input.applied').map(({ data }) => data?.['inputId']),
    of('input.steered').map(({ data }) => data?.['inputId']),
    'each is taken up once, in order',
  )
  t.same(
    of('x.said').map(({ data }) => data?.['text']),
    ['one', 'two', '漢\n'],
  )
})
