import t, { type Test } from 'tap'
import { ClientError, newId, sendCommand } from '../../client/index.ts'
import { fakeServer } from './fake.ts'

const command = { type: 'run.start', agent: 'a', input: { query: 'q' } } as const
const fast = { baseMs: 1, capMs: 2 }

interface Answer {
  status: number
  body?: unknown
  /** Take the command, and break off before answering. */
  lost?: boolean
}

/** Answers commands in turn, and gives what it got. */
async function server(t: Test, answers: Answer[]) {
  const got: Record<string, unknown>[] = []
  const fake = await fakeServer(t, {
    events: [],
    handle: (request, response, body) => {
      const answer = answers[got.length]!
      got.push({ ...JSON.parse(body), path: request.url, media: request.headers['content-type'] })
      if (answer.lost) return void response.destroy()
      response.writeHead(answer.status, { 'content-type': 'application/json' })
      response.end(
        JSON.stringify(answer.body ?? { type: 'ack', id: got.at(-1)!['id'], offset: '5-1', runId: 'r' }),
      )
    },
  })
  return { url: fake.url, got }
}

t.test('gives back the ack', async t => {
  const { url, got } = await server(t, [{ status: 200 }])
  const ack = await sendCommand({ url, sessionId: 's:1', command })
  t.match(ack, { type: 'ack', offset: '5-1', runId: 'r' })
  t.match(got, [
    { ...command, path: '/v1/sessions/s%3A1/commands', media: 'application/json', sessionId: 's:1' },
  ])
})

t.test('a retry says the same thing under the same key and runId', async t => {
  const { url, got } = await server(t, [
    { status: 0, lost: true },
    { status: 503, body: {} },
    { status: 200 },
  ])
  await sendCommand({ url, sessionId: 's', command, backoff: fast })
  t.equal(got.length, 3)
  t.match(got[0], { key: /^[0-9a-f]{32}$/, runId: /^[0-9a-f]{32}$/ })
  t.same(got[1], got[0])
  t.same(got[2], got[0])
})

t.test('keeps the ids that it is given', async t => {
  const { url, got } = await server(t, [{ status: 200 }])
  await sendCommand({ url, sessionId: 's', command: { ...command, runId: 'mine', key: 'k' } })
  t.match(got[0], { runId: 'mine', key: 'k' })
})

t.test('a refusal is thrown with its code and evidence, and not repeated', async t => {
  const details = { offset: '5-9', value: true, by: 'ann' }
  const nack = {
    type: 'nack',
    id: '1',
    code: 'already-answered',
    message: 'Too late',
    retryable: false,
    details,
  }
  const { url, got } = await server(t, [{ status: 409, body: nack }])
  const answer = { type: 'input.answer', requestId: 'q', value: true } as const
  const failure = await sendCommand({ url, sessionId: 's', command: answer }).catch(error => error)
  t.ok(failure instanceof ClientError)
  t.match(failure, { code: 'already-answered', message: 'Too late', details, retryable: false })
  t.equal(got.length, 1)
})

t.test('gives up after the maximum number of attempts', async t => {
  const { url, got } = await server(t, Array(9).fill({ status: 503, body: {} }))
  await t.rejects(sendCommand({ url, sessionId: 's', command, attempts: 2, backoff: fast }), {
    code: 'unavailable',
  })
  t.equal(got.length, 2)
})

t.test('says why the server cannot be reached', async t => {
  const sending = sendCommand({ url: 'http://127.0.0.1:1', sessionId: 's', command, attempts: 1 })
  await t.rejects(sending, { code: 'connection-lost', message: /.+/ })
})

t.test('ids are good as ids and differ', async t => {
  t.match(newId(), /^[0-9a-f]{32}$/)
  t.not(newId(), newId())
})
