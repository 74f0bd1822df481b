import fc from 'fast-check'
import t from 'tap'
import { seedOf } from '../../src/log/contract/random.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'
import { eventData } from '../../src/protocol/index.ts'

const ALLOWED = 'ABCXYZabcxyz0123456789._:-'
const id = fc
  .tuple(fc.constantFrom(...'AZaz09'), fc.string({ unit: fc.constantFrom(...ALLOWED), maxLength: 127 }))
  .map(([first, rest]) => first + rest)
const custom = fc.string({ unit: fc.constantFrom(...'AZaz09._-'), maxLength: 40 }).map(rest => `x.a${rest}`)
const type = fc.oneof(fc.constantFrom(...Object.keys(eventData)), custom)

/** Data and principals made of what the peeking looks for. */
const confusing = fc.oneof(
  fc.constantFrom(
    '","type":"x.no',
    '","runId":"no","type":"run.failed","',
    '{"sessionId":"no","runId":"no","type":"no"}',
    '"',
    '\\',
    '\\"',
    '\u2028',
    '\ud800',
    '👩',
    '',
  ),
  fc.string({ unit: 'binary' }),
)
const data = fc.oneof(
  confusing,
  fc.jsonValue(),
  fc.dictionary(fc.oneof(confusing, fc.constantFrom('runId', 'type', 'offset')), confusing),
)
const parts = fc.record({
  sessionId: id,
  runId: fc.option(id, { nil: undefined }),
  type,
  time: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  by: fc.option(confusing, { nil: undefined }),
  data,
})
const number = fc.integer({ min: 1, max: 999_999_999_999_999 })

t.test('type, run and id are read without parsing as parsing reads them', async t => {
  const property = fc.property(parts, number, number, (given, epoch, seq) => {
    const text = encodeEvent(given)
    const event = new LogEvent(epoch, seq, text)
    const parsed = JSON.parse(event.json)
    const expected = JSON.parse(JSON.stringify({ offset: `${epoch}-${seq}`, ...given }))
    return (
      event.json === `{"offset":"${epoch}-${seq}",${text.slice(1)}` &&
      JSON.stringify(parsed) === JSON.stringify(expected) &&
      event.type === given.type &&
      event.runId === given.runId &&
      event.offset === `${epoch}-${seq}` &&
      event.seq === seq &&
      event.fromSeq === seq &&
      event.bytes === Buffer.from(event.json).length &&
      JSON.stringify(event.event) === event.json
    )
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 2000 })
  t.pass('for any ids, types, principals and data')
})

t.test('keys are in the order of the wire', async t => {
  const event = new LogEvent(
    7,
    8,
    encodeEvent({ data: { z: 1, a: 2 }, by: 'ann', time: 5, type: 'x.a', runId: 'r', sessionId: 's' }),
  )
  t.equal(
    event.json,
    '{"offset":"7-8","sessionId":"s","runId":"r","type":"x.a","time":5,"by":"ann","data":{"z":1,"a":2}}',
  )
  const bare = new LogEvent(7, 9, encodeEvent({ sessionId: 's', type: 'x.a', time: 5, data: null }))
  t.equal(bare.json, '{"offset":"7-9","sessionId":"s","type":"x.a","time":5,"data":null}')
  t.equal(bare.runId, undefined)
})

t.test('a run is recognised whose name looks like the JSON around it', async t => {
  for (const runId of ['type', 'runId', 'x.type', 'data', 'time:1']) {
    const text = encodeEvent({ sessionId: 'runId', runId, type: 'x.runId', time: 1, data: { runId: 'no' } })
    const event = new LogEvent(1, 1, text)
    t.match(event, { runId, type: 'x.runId' })
  }
})

t.test('the event is parsed once', async t => {
  const event = new LogEvent(1, 1, encodeEvent({ sessionId: 's', type: 'x.a', time: 1, data: {} }))
  t.equal(event.event, event.event)
})
