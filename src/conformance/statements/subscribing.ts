/** Options of a subscription, runs in it, lag. */
import { everywhere, pushed } from '../channels.ts'
import { type Statement, statement } from '../statement.ts'
import { type Got, isEvent } from '../wire.ts'

const seq = (offset = '') => Number(offset.split('-')[1])
const numbersOf = (events: readonly Got[]) => events.map(({ message }) => message.data?.['n'])
const started = (runId: string) => ({
  type: 'run.started',
  runId,
  data: { agent: 'conformance', input: null },
})

export const subscribing: readonly Statement[] = [
  statement(30, 'Unknown options are ignored', everywhere, async check => {
    await check.numbers(1)
    check.equal((await (await check.follow({ unheardOf: 1 })).backlog()).length, 1, 'the events')
  }),
  statement(31, '`after` starts after the offset', everywhere, async check => {
    const offsets = await check.numbers(4)
    check.equal(numbersOf(await (await check.follow({ after: offsets[1] })).backlog()), [3, 4], 'the events')
  }),
  statement(32, '`last` starts this many events before the head', everywhere, async check => {
    await check.numbers(6)
    check.equal(numbersOf(await (await check.follow({ last: 2 })).backlog()), [5, 6], 'the last two')
    check.equal((await (await check.follow({ last: 100 })).backlog()).length, 6, 'more than there are')
  }),
  statement(33, '`after` takes precedence over `last`', everywhere, async check => {
    const offsets = await check.numbers(4)
    const stream = await check.follow({ after: offsets[0], last: 1 })
    check.equal(numbersOf(await stream.backlog()), [2, 3, 4], 'the events')
  }),
  statement(34, '`replay=none` starts at the head', everywhere, async check => {
    await check.numbers(3)
    const stream = await check.follow({ replay: 'none' })
    check.equal(await stream.backlog(), [], 'the backlog')
    await check.ingest({ type: 'x.n', data: { n: 4 } })
    check.equal(numbersOf(await stream.events(1)), [4], 'the next event')
  }),
  statement(35, '`replay=full` never folds', everywhere, async check => {
    const delta = { type: 'text.delta', runId: 'r', data: { partId: 'p', delta: 'a' } }
    await check.ingest([started('r'), ...Array.from({ length: 50 }, () => delta)])
    const events = await (await check.follow({ replay: 'full' })).backlog()
    check.equal(events.length, 51, 'the number of events')
    check.ok(!events.some(({ message }) => message.from !== undefined), 'an event has `from`')
  }),
  statement(36, 'Without `create` a missing session is `session-not-found`', everywhere, async check => {
    check.equal(await check.refusal({}), 'session-not-found', 'the refusal')
  }),
  statement(37, '`create` creates a session that does not exist', everywhere, async check => {
    const stream = await check.follow({ create: 1 })
    check.equal(await stream.backlog(), [], 'the backlog')
    check.equal((await check.request(check.path())).status, 200, 'the status of the session')
  }),
  statement(38, '`create` has no effect with a cursor', everywhere, async check => {
    check.equal(await check.refusal({ create: 1, after: '1-1' }), 'session-not-found', 'the refusal')
  }),
  statement(39, '`run` gives only the run’s events and ends with it', everywhere, async check => {
    await check.ingest([
      started('r'),
      { type: 'x.other', data: 0 },
      { type: 'x.own', runId: 'r', data: 0 },
      { type: 'run.completed', runId: 'r', data: {} },
      { type: 'x.other', data: 0 },
    ])
    const got = await (await check.follow({ run: 'r' })).until('end')
    const types = got.filter(isEvent).map(({ message }) => message.type)
    check.equal(types, ['run.started', 'x.own', 'run.completed'], 'the events')
    check.equal(got.at(-1)?.message.reason, 'run-ended', 'the reason of the end')
  }),
  statement(40, '`run` with an unknown run is `run-not-found`', everywhere, async check => {
    await check.create()
    check.equal(await check.refusal({ run: 'nobody' }), 'run-not-found', 'the refusal')
  }),
  statement(41, 'With a cursor past the run’s end no more events come', everywhere, async check => {
    const first = await check.ingest([started('r'), { type: 'run.completed', runId: 'r', data: {} }])
    const after = `${first.split('-')[0]}-2`
    if (check.channel === 'sse') {
      const { head } = await check.eventStream(`?run=r&after=${after}`)
      return check.equal(head.status, 204, 'the status')
    }
    const got = await (await check.follow({ run: 'r', after })).until('end')
    check.equal(got.filter(isEvent), [], 'the events')
  }),
  statement(42, 'Options out of their range are `bad-request`', everywhere, async check => {
    await check.create()
    for (const wrong of [
      { coalesceMs: 501 },
      { heartbeatMs: 999 },
      { lag: 'never' },
      { replay: 'some' },
      { lagEvents: 0 },
    ]) {
      check.equal(await check.refusal(wrong), 'bad-request', JSON.stringify(wrong))
    }
  }),
  statement(43, 'Deleting the session ends its subscriptions', everywhere, async check => {
    await check.numbers(1)
    const stream = await check.follow()
    await stream.backlog()
    const end = stream.until('end')
    await check.request(check.path(), { method: 'DELETE' })
    if (check.channel !== 'long-poll')
      return check.equal((await end).at(-1)?.message.reason, 'deleted', 'the reason')
    const told = await end.then(
      got => String(got.at(-1)?.message.reason),
      error => String(error.message).split(':')[0],
    )
    check.ok(['deleted', 'session-not-found'].includes(told as string), `the end: ${told}`)
  }),
  statement(44, 'After silence comes a `ping`', pushed, async check => {
    await check.create()
    const stream = await check.follow({ heartbeatMs: 1000 })
    await stream.until('caught-up')
    for (let n = 1; n <= 2; n++) {
      const { message } = (await stream.until('ping')).at(-1) as Got
      check.ok(typeof message.time === 'number', 'the ping has no time')
    }
  }),
  statement(45, '`lag=skip` and `coalesceMs` deliver to a client that keeps up', pushed, async check => {
    await check.create()
    const stream = await check.follow({ lag: 'skip', coalesceMs: 50 })
    await stream.backlog()
    await check.numbers(20)
    check.equal((await stream.events(20)).length, 20, 'the events')
  }),
  statement(
    46,
    '`subscribed` tells head, earliest and the cursor at which delivery starts',
    pushed,
    async check => {
      const offsets = await check.numbers(3)
      const got = await (await check.follow({ after: offsets[0] })).until('caught-up')
      const subscribed = got.find(({ message }) => message.type === 'subscribed')?.message
      check.equal(
        [seq(subscribed?.head), seq(subscribed?.earliest), subscribed?.after, subscribed?.replay],
        [3, 1, offsets[0], 'compact'],
        'head, earliest, after and replay',
      )
    },
  ),
  statement(47, '`caught-up` comes once, after everything up to `subscribed.head`', pushed, async check => {
    await check.numbers(5)
    const stream = await check.follow()
    const got = await stream.until('caught-up')
    check.equal(got.filter(isEvent).length, 5, 'the events before it')
    check.equal(seq(got.at(-1)?.message.offset), 5, 'its offset')
    await check.numbers(2)
    const later = [await stream.next(), await stream.next()]
    check.ok(!later.some(({ message }) => message.type === 'caught-up'), 'it came twice')
  }),
  statement(
    48,
    'A stream and its session are in the order hello, subscribed, reset, events, caught-up',
    pushed,
    async check => {
      await check.numbers(2)
      const got = await (await check.follow({ after: '1-1' })).until('caught-up')
      const order = ['hello', 'subscribed', 'reset', 'x.n', 'caught-up']
      const types = got.map(({ message }) => message.type).filter(type => order.includes(type))
      const places = types.map(type => order.indexOf(type))
      check.equal(places, [...places].sort(), `the order ${types}`)
    },
  ),
]
