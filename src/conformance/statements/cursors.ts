/** Promises, offsets, cursors, events and folding. */

import { everywhere, pushed } from '../channels.ts'
import type { Check } from '../check.ts'
import { type Statement, statement } from '../statement.ts'
import { type Got, isEvent } from '../wire.ts'

const OFFSET = /^[1-9]\d{0,15}-(0|[1-9]\d{0,15})$/

const seq = (offset = '') => Number(offset.split('-')[1])
const numbersOf = (events: readonly Got[]) => events.map(({ message }) => message.data?.['n'])
const upTo = (count: number, from = 1) => Array.from({ length: count - from + 1 }, (_, i) => from + i)

/** Twelve deltas of one part, with an event between the first six and the others. */
async function deltas(check: Check): Promise<void> {
  const delta = (i: number) => ({ type: 'text.delta', runId: 'r', data: { partId: 'p', delta: `${i} ` } })
  await check.ingest([
    { type: 'run.started', runId: 'r', data: { agent: 'conformance', input: null } },
    ...upTo(6).map(delta),
    { type: 'x.between', runId: 'r', data: null },
    ...upTo(12, 7).map(delta),
    { type: 'run.completed', runId: 'r', data: {} },
  ])
}

/** The events tell of every offset from the first to the last: by itself, or by the `from` of a folded one. */
function withoutHoles(check: Check, events: readonly Got[], after: number): void {
  let last = after
  for (const { message, json } of events) {
    const from = seq(message.from ?? message.offset)
    check.equal(from, last + 1, `the offset before ${json.slice(0, 100)}`)
    last = seq(message.offset)
  }
}

export const cursors: readonly Statement[] = [
  statement(1, 'An event that was accepted is delivered', everywhere, async check => {
    await check.create()
    const stream = await check.follow()
    await stream.backlog()
    const [offset] = await check.numbers(1)
    const [event] = await stream.events(1)
    check.equal(event?.message.offset, offset, 'the offset of the live event')
  }),

  statement(2, 'An event’s JSON is byte-identical on every transport', everywhere, async check => {
    await check.ingest([
      { type: 'x.a', data: { text: 'ä\u2028"\\', n: 1.5e3, list: [null, true, {}] } },
      { type: 'x.b', data: '' },
    ])
    const page = await check.request(check.path('/events?replay=full'), {
      headers: { accept: 'application/json' },
    })
    const stream = await check.follow({ replay: 'full' })
    for (const { json } of await stream.backlog())
      check.ok(page.text.includes(json), `not in the page: ${json}`)
  }),

  statement(
    3,
    'A subscription delivers every offset after its cursor, in order and once',
    everywhere,
    async check => {
      const offsets = await check.numbers(300)
      const stream = await check.follow({ replay: 'full' })
      const backlog = await stream.backlog()
      check.equal(
        backlog.map(({ message }) => message.offset),
        offsets,
        'the offsets',
      )
      await check.ingest({ type: 'x.n', data: { n: 301 } })
      check.equal(numbersOf(await stream.events(1)), [301], 'the next one')
    },
  ),

  statement(4, 'Every received offset is a safe cursor', everywhere, async check => {
    const offsets = await check.numbers(5)
    for (const [i, after] of offsets.entries()) {
      const stream = await check.follow({ after })
      check.equal(numbersOf(await stream.backlog()), upTo(5, i + 2), `after ${after}`)
      stream.close()
    }
  }),

  statement(5, 'Closing a connection does not cancel a run', everywhere, async check => {
    await check.ingest({ type: 'run.started', runId: 'r', data: { agent: 'conformance', input: null } })
    const stream = await check.follow({ run: 'r' })
    await stream.next()
    stream.close()
    await check.ingest({ type: 'x.later', runId: 'r', data: null })
    const { body } = await check.request(check.path())
    check.equal(body.runs?.[0]?.status, 'running', 'the run’s status')
  }),

  statement(6, 'An offset is the epoch and a number that counts 1, 2, 3 …', everywhere, async check => {
    const head = await check.create()
    check.ok(OFFSET.test(head) && head.endsWith('-0'), `the head of an empty log: ${head}`)
    await check.numbers(3)
    const events = await (await check.follow()).backlog()
    const [epoch] = head.split('-')
    check.equal(
      events.map(({ message }) => message.offset),
      [1, 2, 3].map(n => `${epoch}-${n}`),
      'the offsets',
    )
  }),

  statement(7, '`<epoch>-0` is the cursor before the first event', everywhere, async check => {
    const head = await check.create()
    await check.numbers(2)
    const got = await (await check.follow({ after: head })).until('caught-up')
    check.ok(!got.some(({ message }) => message.type === 'reset'), 'a reset came')
    check.equal(numbersOf(got.filter(isEvent)), [1, 2], 'the events')
  }),

  statement(8, 'A malformed cursor is `bad-request`', everywhere, async check => {
    await check.create()
    for (const after of ['x', '0-1', '1-', '1-01', '-1']) {
      check.equal(await check.refusal({ after }), 'bad-request', after)
    }
  }),

  statement(9, 'Without a cursor delivery starts at the earliest event', everywhere, async check => {
    await check.numbers(4)
    check.equal(numbersOf(await (await check.follow()).backlog()), upTo(4), 'the events')
  }),

  statement(
    10,
    'A cursor of another epoch gets `reset` `epoch`, then all events',
    everywhere,
    async check => {
      await check.numbers(3)
      const got = await (await check.follow({ after: '1-2' })).until('caught-up')
      const reset = got.find(({ message }) => message.type === 'reset')?.message
      check.equal(reset?.reason, 'epoch', 'the reason of the reset')
      check.equal(numbersOf(got.filter(isEvent)), upTo(3), 'the events')
    },
  ),

  statement(11, 'A cursor past the head gets `reset` `ahead`, then all events', everywhere, async check => {
    const [first = ''] = await check.numbers(3)
    const got = await (await check.follow({ after: `${first.split('-')[0]}-9` })).until('caught-up')
    const reset = got.find(({ message }) => message.type === 'reset')?.message
    check.equal(reset?.reason, 'ahead', 'the reason of the reset')
    check.equal(seq(reset?.head), 3, 'the head in the reset')
    check.equal(numbersOf(got.filter(isEvent)), upTo(3), 'the events')
  }),

  statement(12, 'An event’s keys come in the documented order', everywhere, async check => {
    await deltas(check)
    const order = ['offset', 'sessionId', 'runId', 'type', 'time', 'by', 'from', 'data']
    for (const { json } of await (await check.follow()).backlog()) {
      const keys = Object.keys(JSON.parse(json)).filter(key => order.includes(key))
      check.equal(
        keys,
        order.filter(key => keys.includes(key)),
        `the keys of ${json.slice(0, 100)}`,
      )
      for (const needed of ['offset', 'sessionId', 'type', 'time', 'data']) {
        check.ok(keys.includes(needed), `${needed} is missing in ${json.slice(0, 100)}`)
      }
    }
  }),

  statement(
    13,
    'A folded event is its deltas concatenated, with the last offset and the first as `from`',
    everywhere,
    async check => {
      await deltas(check)
      const events = await (await check.follow({ replay: 'compact' })).backlog()
      withoutHoles(check, events, 0)
      const text = events
        .filter(({ message }) => message.type === 'text.delta')
        .map(({ message }) => message.data?.['delta'])
      check.equal(
        text.join(''),
        upTo(12)
          .map(n => `${n} `)
          .join(''),
        'the text',
      )
    },
  ),

  statement(14, 'A folded event never spans another event', everywhere, async check => {
    await deltas(check)
    const events = await (await check.follow()).backlog()
    const between = events.findIndex(({ message }) => message.type === 'x.between')
    check.ok(between > 0, 'x.between is missing')
    check.equal(seq(events[between]?.message.offset), 8, 'the number of x.between')
    check.equal(
      seq(events[between + 1]?.message.from ?? events[between + 1]?.message.offset),
      9,
      'what follows begins',
    )
  }),

  statement(15, 'A folded event never reaches back to the cursor', everywhere, async check => {
    await deltas(check)
    const [first] = await (await check.follow({ replay: 'full' })).backlog()
    const epoch = first?.message.offset?.split('-')[0]
    const events = await (await check.follow({ after: `${epoch}-4` })).backlog()
    withoutHoles(check, events, 4)
  }),

  statement(16, 'An ephemeral event has no offset and is never logged', pushed, async check => {
    await check.create()
    const stream = await check.follow()
    await stream.backlog()
    const ack = await check.command({
      type: 'publish',
      event: { type: 'x.cursor', data: 1 },
      ephemeral: true,
    })
    check.equal(ack.type, 'ack', JSON.stringify(ack))
    check.equal(ack.offset, undefined, 'the offset in the ack')
    const { message } = (await stream.until('x.cursor')).at(-1) as Got
    check.equal([message.ephemeral, message.offset], [true, undefined], 'ephemeral and offset')
    const { body } = await check.request(check.path())
    check.equal(seq(body.head), 0, 'the head of the log')
  }),
]
