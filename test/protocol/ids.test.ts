import fc from 'fast-check'
import t from 'tap'
import { seedOf } from '../../src/log/contract/random.ts'
import { formatOffset, Id, Offset, ProviderId, parseOffset } from '../../src/protocol/index.ts'

const digits16 = '9'.repeat(16)

t.test('offsets: valid and invalid ones', async t => {
  const good = [
    '1-0',
    '1-1',
    '9-9',
    '10-10',
    '1700000000000-123',
    `${digits16}-${digits16}`,
    '1-1000000000000000',
  ]
  const bad = [
    ...['', '-', '1', '1-', '-1', '1-1-1', '1--1', '1-+1', '+1-1', '-1-1', '1-1 ', ' 1-1', '1 -1', '1-1\n'],
    ...['\n1-1', '1-1\u2028', '1–1', '1_1', '1.0-1', '1-1.0', '1e3-1', '0x1-1', 'a-1', '1-a', '１-1', '1-٣'],
    ...[
      '0-0',
      '0-1',
      '01-1',
      '1-00',
      '1-01',
      `1${digits16}-1`,
      `1-1${digits16}`,
      'null',
      'undefined',
      'NaN-NaN',
    ],
  ]
  for (const offset of good) {
    t.equal(Offset.safeParse(offset).success, true, offset)
    t.match(parseOffset(offset), { epoch: Number(offset.split('-')[0]), seq: Number(offset.split('-')[1]) })
  }
  for (const offset of bad) {
    t.equal(Offset.safeParse(offset).success, false, encodeURIComponent(offset))
    t.equal(parseOffset(offset), undefined)
  }
  for (const value of [1, null, undefined, {}, ['1-1'], true]) t.equal(Offset.safeParse(value).success, false)
})

t.test('any two numbers go through an offset and back', async t => {
  const max = 9_007_199_254_740_991
  const property = fc.property(fc.integer({ min: 1, max }), fc.integer({ min: 0, max }), (epoch, seq) => {
    const position = parseOffset(formatOffset(epoch, seq))
    return (
      position?.epoch === epoch && position.seq === seq && Offset.safeParse(formatOffset(epoch, seq)).success
    )
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 1000 })
  t.pass()
})

t.test('ids: valid and invalid ones', async t => {
  const good = ['a', 'Z', '0', 'a.b_c:d-e', 'x'.repeat(128), 's-0123', '9:9']
  const bad = [
    ...[
      '',
      '.a',
      '_a',
      ':a',
      '-a',
      'a b',
      'a/b',
      'a\n',
      '\na',
      'ä',
      'a\u0000',
      'a"b',
      'a\\b',
      'x'.repeat(129),
    ],
    ...['a%20', '{a}', 'a🚀', '../a', 'a\u2028'],
  ]
  for (const id of good) t.equal(Id.safeParse(id).success, true, id)
  for (const id of bad) t.equal(Id.safeParse(id).success, false, encodeURIComponent(id))
  t.equal(Id.safeParse(7).success, false)
})

t.test('ids of model providers: any text of 1 to 256 characters without control characters', async t => {
  const good = ['a', 'call_abc|fc_1', 'https://example.com/a?b#c', 'src/main.ts', 'Step 1', '第一步', '🚀']
  const bad = ['', 'a\n', '\u0000', 'a\u007f', '\u0085', 'x'.repeat(257)]
  for (const id of [...good, 'x'.repeat(256)]) t.equal(ProviderId.safeParse(id).success, true, id)
  for (const id of bad) t.equal(ProviderId.safeParse(id).success, false, encodeURIComponent(id))
})
