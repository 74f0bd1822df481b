import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { fold } from '../../src/bus/fold.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'
import { deltaParts, FOLD_BYTES, parseOffset } from '../../src/protocol/index.ts'

const EPOCH = 1_700_000_000_000

interface Step {
  type: string
  runId: string | undefined
  by: string | undefined
  data: Record<string, unknown>
}

const part = fc.constantFrom('p1', 'p2')
const runId = fc.constantFrom(undefined, 'r1', 'r2')
const by = fc.constantFrom(undefined, 'ann')
const chars = fc.oneof(
  { weight: 5, arbitrary: fc.string({ maxLength: 6 }) },
  fc.constantFrom('', 'é', '👩🏽‍🚀', '\ud83d', '\ude00', '\u2028', '"\\\n', '","type":"x', '"delta":"no"'),
  fc.constantFrom(1000, 20_000, 70_000).chain(n => fc.constantFrom('x'.repeat(n), '\u0001'.repeat(n / 6))),
)
const delta = fc
  .record({ type: fc.constantFrom(...Object.keys(deltaParts)), part, delta: chars, extra: fc.boolean() })
  .map(({ type, part, delta, extra }) => ({
    type,
    data: { [deltaParts[type] as string]: part, delta, ...(extra && { extra: [part] }) },
  }))
const other = fc.oneof(
  fc.record({ type: fc.constantFrom('text.start', 'text.end'), data: fc.record({ partId: part }) }),
  fc.record({ type: fc.constant('x.delta'), data: fc.record({ partId: part, delta: chars }) }),
  fc.record({ type: fc.constant('run.status'), data: fc.record({ status: chars }) }),
)
const step: fc.Arbitrary<Step> = fc
  .tuple(fc.oneof({ weight: 4, arbitrary: delta }, other), runId, by)
  .map(([{ type, data }, runId, by]) => ({ type, data, runId, by }))

/** Steps come in runs of the same part, as an agent's do. */
const steps = fc
  .array(fc.tuple(step, fc.array(chars, { maxLength: 6 })), { maxLength: 12 })
  .map(groups =>
    groups.flatMap(([first, more]) =>
      'delta' in first.data
        ? [first, ...more.map(delta => ({ ...first, data: { ...first.data, delta } }))]
        : [first],
    ),
  )

const log = (steps: readonly Step[], start = 1): LogEvent[] =>
  steps.map(
    (step, i) => new LogEvent(EPOCH, start + i, encodeEvent({ sessionId: 's', time: start + i, ...step })),
  )

const partOf = ({ type, runId, event }: LogEvent) => {
  const field = deltaParts[type]
  return field && `${type} ${runId} ${(event.data as Record<string, unknown>)[field]}`
}
const deltaOf = (event: LogEvent) => (event.event.data as { delta: string }).delta

/** What a reader is told: neighbouring deltas of a part as one text, everything else as it is. */
function told(events: readonly LogEvent[]): unknown[] {
  const out: { part?: string; text?: string; json?: string }[] = []
  for (const event of events) {
    const part = partOf(event)
    const last = out.at(-1)
    if (part === undefined) out.push({ json: event.json })
    else if (last?.part === part) last.text += deltaOf(event)
    else out.push({ part, text: deltaOf(event) })
  }
  return out
}

t.test('for any sequence of events, folding loses no text', async t => {
  const seed = seedOf(t)
  let folds = 0
  const property = fc.property(steps, fc.constantFrom(FOLD_BYTES, 2000, 300), (steps, maxBytes) => {
    const events = log(steps)
    const folded = fold(EPOCH, events, maxBytes)
    assert.deepEqual(told(folded), told(events), 'the same texts in the same places')

    let next = 1
    for (const event of folded) {
      const whole = events.slice(event.fromSeq - 1, event.seq)
      const last = whole.at(-1) as LogEvent
      assert.equal(event.fromSeq, next, 'each begins where the one before ended')
      next = event.seq + 1
      if (whole.length === 1) {
        assert.equal(event.json, last.json, 'a single one is untouched')
        continue
      }
      folds++
      assert.equal(new Set(whole.map(partOf)).size, 1, 'of one part only')
      assert.notEqual(partOf(last), undefined)
      const from = { from: `${EPOCH}-${event.fromSeq}` }
      const { data, ...envelope } = last.event
      const delta = whole.map(deltaOf).join('')
      const expected = { ...envelope, ...from, data: { ...(data as object), delta } }
      assert.equal(event.json, JSON.stringify(expected), 'the last one, with the texts of all, keys in order')
      assert.ok(event.bytes <= maxBytes, `${event.bytes} bytes`)
      assert.equal(event.bytes, Buffer.byteLength(event.json))
      assert.deepEqual([event.type, event.runId], [last.type, last.runId])
      assert.equal(event.offset, last.offset)
    }
    assert.equal(next, events.length + 1, 'and the last ends where the log ends')
  })
  fc.assert(property, { seed, numRuns: 500 })
  t.ok(folds > 500, `${folds} folds`)
})

t.test('folding in two steps gives the same text as in one, for any cut', async t => {
  const property = fc.property(steps, fc.double({ min: 0, max: 1, noNaN: true }), (steps, share) => {
    const events = log(steps)
    const cut = Math.round(events.length * share)
    const halves = [...fold(EPOCH, events.slice(0, cut)), ...fold(EPOCH, events.slice(cut))]
    assert.deepEqual(told(halves), told(fold(EPOCH, events)))
    assert.ok(
      halves.every(({ fromSeq, seq }) => seq <= cut || fromSeq > cut),
      'no fold reaches over the cut',
    )
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 500 })
  t.pass()
})

t.test('folds as many events as fit', async t => {
  const events = log(
    Array.from({ length: 5000 }, (_, i) => ({
      type: 'text.delta',
      runId: 'r',
      by: undefined,
      data: { partId: 'p', delta: `token${i} ` },
    })),
  )
  const folded = fold(EPOCH, events)
  t.equal(folded.length, 1, 'an answer of 5,000 tokens is one event')
  t.equal(folded[0]?.event.from, `${EPOCH}-1`)
  t.equal(parseOffset(folded[0]?.offset ?? '')?.seq, 5000)

  const large = Array.from({ length: 40 }, () => 'ß'.repeat(2500))
  const pieces = fold(
    EPOCH,
    log(
      large.map(delta => ({ type: 'text.delta', runId: 'r', by: undefined, data: { partId: 'p', delta } })),
    ),
  )
  t.equal(pieces.length, 4, 'pieces of 12 × 5,000 bytes, and a rest')
  t.ok(pieces.slice(0, -1).every(({ bytes }) => bytes > FOLD_BYTES - 5500 && bytes <= FOLD_BYTES))
})

t.test('`from` counts: no fold exceeds the bound by a byte', async t => {
  const delta = (text: string) => ({
    type: 'text.delta',
    runId: 'r',
    by: undefined,
    data: { partId: 'p', delta: text },
  })
  const events = log(['a'.repeat(50), 'é'.repeat(20)].map(delta))
  const largest = Math.max(...events.map(({ bytes }) => bytes))
  const folds = []
  for (let bound = largest; bound <= largest + 150; bound++) {
    const folded = fold(EPOCH, events, bound)
    for (const { bytes } of folded) if (bytes > bound) t.fail(`${bytes} bytes with a bound of ${bound}`)
    if (folded.length === 1) folds.push(bound)
  }
  t.ok(folds.length > 0 && folds.length < 150, 'some bounds let the two fold, others do not')
})

t.test('an event that is too large by itself passes as it is', async t => {
  const deltas = ['a', 'x'.repeat(FOLD_BYTES), 'b', 'c']
  const events = log(
    deltas.map(delta => ({ type: 'text.delta', runId: 'r', by: undefined, data: { partId: 'p', delta } })),
  )
  const folded = fold(EPOCH, events)
  t.same(
    folded.map(({ fromSeq, seq }) => [fromSeq, seq]),
    [
      [1, 1],
      [2, 2],
      [3, 4],
    ],
  )
  t.equal(folded[1], events[1])
})

t.test('no events give no events', async t => {
  t.same(fold(EPOCH, []), [])
})

t.test('two halves of a character in two deltas are one in the folded event, without an escape', async t => {
  const halves = ['\ud83d', '\ude00'].map(delta => ({
    type: 'text.delta',
    runId: 'r',
    by: undefined,
    data: { partId: 'p', delta },
  }))
  const [folded] = fold(EPOCH, log(halves))
  t.match(folded?.json, '"delta":"😀"')
})
