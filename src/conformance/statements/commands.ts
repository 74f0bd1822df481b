/** Commands, over HTTP and over WebSocket. */

import { commanded } from '../channels.ts'
import type { Check } from '../check.ts'
import { type Statement, statement } from '../statement.ts'
import type { Message } from '../wire.ts'

const seq = (offset = '') => Number(offset.split('-')[1])
const started = { type: 'run.started', runId: 'r', data: { agent: 'conformance', input: null } }
const publish = { type: 'publish', event: { type: 'x.a', data: 1 } }

async function typesIn(check: Check): Promise<string[]> {
  const { body } = await check.request(check.path('/events'), { headers: { accept: 'application/json' } })
  return body.events.map(({ type }: Message) => type)
}

/** A run with an open question. */
async function asked(check: Check, schema?: object): Promise<void> {
  const data = { requestId: 'q', kind: 'question', message: 'Which?', ...(schema && { schema }) }
  await check.ingest([started, { type: 'input.requested', runId: 'r', data }])
}

const answer = (value: unknown) => ({ type: 'input.answer', requestId: 'q', value })

export const commands: readonly Statement[] = [
  statement(200, 'An `ack` has the id of its command', commanded, async check => {
    const ack = await check.command({ ...publish, id: 'my id' })
    check.equal([ack.type, ack.id], ['ack', 'my id'], 'type and id')
  }),
  statement(201, 'A `nack` has code, message and retryable', commanded, async check => {
    const nack = await check.command({ type: 'publish', event: { type: 'no', data: 1 } })
    check.equal(
      [nack.type, nack.code, nack.retryable, typeof nack.message],
      ['nack', 'bad-request', false, 'string'],
      'the nack',
    )
  }),
  statement(202, 'A command with the key of an accepted one gets that one’s ack', commanded, async check => {
    const first = await check.command({ ...publish, key: 'k' })
    const again = await check.command({ ...publish, key: 'k' })
    check.equal([again.type, again.offset], ['ack', first.offset], 'the second ack')
    check.equal(await typesIn(check), ['x.a'], 'the log')
  }),
  statement(203, 'A refused command is not remembered', commanded, async check => {
    const late = { type: 'publish', event: { type: 'x.a', runId: 'r', data: 1 }, key: 'k' }
    await check.create()
    check.equal((await check.command(late)).code, 'run-not-found', 'before the run')
    await check.ingest(started)
    check.equal((await check.command(late)).type, 'ack', 'after its start')
  }),
  statement(204, '`publish` takes events of your own only', commanded, async check => {
    for (const type of ['text.delta', 'run.completed', 'x.', 'X.a', 'x.-']) {
      check.equal(
        (await check.command({ type: 'publish', event: { type, data: {} } })).code,
        'bad-request',
        type,
      )
    }
  }),
  statement(205, '`publish` answers with the event’s offset', commanded, async check => {
    await check.numbers(2)
    check.equal(seq((await check.command(publish)).offset), 3, 'the offset')
  }),
  statement(206, 'An unknown agent is `agent-not-found`', commanded, async check => {
    const { code } = await check.command({ type: 'run.start', agent: 'conformance-nobody', input: null })
    check.equal(code, 'agent-not-found', 'the code')
  }),
  statement(
    207,
    '`run.cancel` appends `run.cancel-requested` and `run.cancelled` at once',
    commanded,
    async check => {
      await check.ingest(started)
      const ack = await check.command({ type: 'run.cancel', runId: 'r', reason: 'enough' })
      check.equal(ack.type, 'ack', JSON.stringify(ack))
      check.equal(await typesIn(check), ['run.started', 'run.cancel-requested', 'run.cancelled'], 'the log')
    },
  ),
  statement(
    208,
    'A cancel of an ended run is `run-ended` with type and offset of its end',
    commanded,
    async check => {
      const first = await check.ingest([started, { type: 'run.completed', runId: 'r', data: {} }])
      const nack = await check.command({ type: 'run.cancel', runId: 'r' })
      check.equal(nack.code, 'run-ended', 'the code')
      const end = [nack.details?.['type'], nack.details?.['offset']]
      check.equal(end, ['run.completed', `${first.split('-')[0]}-2`], 'type and offset')
    },
  ),
  statement(209, 'A cancel of an unknown run is remembered for its start', commanded, async check => {
    await check.create()
    const ack = await check.command({ type: 'run.cancel', runId: 'r' })
    check.equal([ack.type, ack.offset], ['ack', undefined], 'the ack')
    // A producer is told that its run has ended.
    await check.post(check.path('/events'), started)
    check.equal(await typesIn(check), ['run.started', 'run.cancelled'], 'the log')
  }),
  statement(210, 'After its terminal event no event of a run follows', commanded, async check => {
    await check.ingest([started, { type: 'run.completed', runId: 'r', data: {} }])
    const late = { type: 'publish', event: { type: 'x.a', runId: 'r', data: 1 } }
    check.equal((await check.command(late)).code, 'run-ended', 'a publish')
    check.equal(
      (await check.command({ type: 'input.steer', runId: 'r', text: 'a' })).code,
      'run-ended',
      'a steer',
    )
  }),
  statement(
    211,
    'The first answer to a question wins; the same again gets its ack',
    commanded,
    async check => {
      await asked(check)
      const first = await check.command(answer('blue'))
      check.equal([first.type, seq(first.offset)], ['ack', 3], 'the first')
      const again = await check.command(answer('blue'))
      check.equal([again.type, again.offset], ['ack', first.offset], 'the same again')
    },
  ),
  statement(212, 'Another answer is `already-answered` with the winning one', commanded, async check => {
    await asked(check)
    const { offset } = await check.command(answer('blue'))
    const nack = await check.command(answer('red'))
    check.equal(nack.code, 'already-answered', 'the code')
    check.equal([nack.details?.['value'], nack.details?.['offset']], ['blue', offset], 'value and offset')
    check.ok(typeof nack.details?.['by'] === 'string', 'its author is missing')
  }),
  statement(213, 'An answer is checked against the question’s schema', commanded, async check => {
    await asked(check, { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] })
    check.equal((await check.command(answer({ n: 'one' }))).code, 'bad-request', 'a wrong answer')
    check.equal((await check.command(answer({ n: 1 }))).type, 'ack', 'a right one')
  }),
  statement(214, 'An unknown question is `input-not-found`', commanded, async check => {
    await check.create()
    check.equal((await check.command(answer(1))).code, 'input-not-found', 'the code')
  }),
  statement(215, 'A question whose schema is no JSON Schema is `bad-request`', ['http'], async check => {
    const data = { requestId: 'q', kind: 'question', message: '?', schema: { type: 'nothing' } }
    const { status } = await check.post(check.path('/events'), [
      started,
      { type: 'input.requested', runId: 'r', data },
    ])
    check.equal(status, 400, 'the status')
  }),
  statement(216, '`input.steer` answers with inputId and offset', commanded, async check => {
    await check.ingest(started)
    const ack = await check.command({ type: 'input.steer', runId: 'r', text: 'faster' })
    check.equal([ack.type, seq(ack.offset), typeof ack.inputId], ['ack', 2, 'string'], 'the ack')
    check.equal(await typesIn(check), ['run.started', 'input.steered'], 'the log')
  }),
  statement(217, 'Commands of the connection are for WebSockets only', ['http'], async check => {
    await check.create()
    for (const type of ['subscribe', 'unsubscribe', 'window', 'auth', 'ping']) {
      const { status, body } = await check.post(check.path('/commands'), {
        type,
        id: '1',
        time: 1,
        token: 'a',
        offset: '1-0',
      })
      check.equal([status, body.type, body.code], [400, 'nack', 'bad-request'], type)
    }
  }),
  statement(218, 'A refused command over HTTP has the status of its code', ['http'], async check => {
    await check.ingest([started, { type: 'run.completed', runId: 'r', data: {} }])
    const cases = [
      [{ type: 'run.cancel', runId: 'r' }, 409],
      [{ type: 'input.steer', runId: 'nobody', text: 'a' }, 404],
      [{ type: 'publish' }, 400],
    ] as const
    for (const [command, expected] of cases) {
      const { status } = await check.post(check.path('/commands'), { id: '1', ...command })
      check.equal(status, expected, JSON.stringify(command))
    }
  }),
]
