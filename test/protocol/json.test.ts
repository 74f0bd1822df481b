import fc from 'fast-check'
import t from 'tap'
import { faultOf, NESTING, parseJson, readJson } from '../../src/protocol/index.ts'

t.test('integers that JavaScript cannot hold are refused, other numbers are not', async t => {
  const held = [
    '9007199254740991',
    '-9007199254740991',
    '0.1234567890123456789',
    '-1.00000000000000000001',
    '1e21',
    '1E+0000000000000000000001',
    '1e-0000000000000000000001',
    '6.02214076e23',
    '12345678901234567890.5',
    '9007199254740993e2',
    '9007199254740993.0',
    '"9007199254740993"',
    '"a \\" 9007199254740993"',
    '"\\\\"',
    'true',
  ]
  const changed = ['9007199254740992', '9007199254740993', '-9007199254740993', `1${'0'.repeat(400)}`]
  /** A number where JSON may have one, and where a parser of strings may go astray. */
  const places = [
    (json: string) => json,
    (json: string) => `[${json}]`,
    (json: string) => `[true,${json},false]`,
    (json: string) => `[0.5,"1.",${json} ,1e5]`,
    (json: string) => `{"a":${json}}`,
    (json: string) => `{"9007199254740993":[ ${json}\n]}`,
    (json: string) => `["\\\\",${json},"\\\\\\""]`,
    (json: string) => `["\\"9007199254740993\\\\",{"e":${json}}]`,
  ]
  for (const place of places) {
    for (const json of held) {
      t.strictSame(parseJson(place(json), 'it'), JSON.parse(place(json)), place(json))
    }
    for (const json of changed) {
      const { value, fault } = readJson(place(json), 'it')
      t.strictSame(value, JSON.parse(place(json)))
      t.match(fault, { code: 'bad-request', message: /^it: an integer beyond .* send it as a string$/ }, json)
      t.throws(() => parseJson(place(json), 'it'), { code: 'bad-request' })
    }
  }
})

t.test('an integer is refused exactly when it is unsafe, whatever stands around it', async () => {
  const text = fc.string({ unit: fc.constantFrom('"', '\\', '1234567890123456', '.', 'e', '-', 'x') })
  const number = fc.oneof(
    fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }),
    fc.bigInt({ min: 2n ** 53n - 9n, max: 2n ** 53n + 9n }),
  )
  fc.assert(
    fc.property(text, number, text, fc.double({ noNaN: true, noDefaultInfinity: true }), (a, n, b, d) => {
      const json = `{${JSON.stringify(a)}:[${JSON.stringify(b)},${n},${d.toExponential()}]}`
      const isSafe = n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER)
      return (readJson(json, 'it').fault === undefined) === isSafe
    }),
    { numRuns: 1000 },
  )
})

t.test('text that is not JSON is refused with the reason', async t => {
  for (const [json, message] of [
    ['', 'it: empty'],
    [' \n', 'it: empty'],
    ['{"a":1,}', /^it: not JSON at position \d+$/],
    ['{} {}', /^it: not JSON/],
    ['{"a":', /^it: not JSON/],
    ['01', /^it: not JSON/],
    ['NaN', /^it: not JSON/],
  ] as const) {
    t.throws(() => parseJson(json, 'it'), { code: 'bad-request', message }, json)
  }
  t.strictSame(parseJson('\ufeff{"a":1}', 'it'), { a: 1 }, 'a byte order mark is skipped')
})

t.test('a fault of a value is found at any place, with its path', async t => {
  let deep: unknown = 1
  for (let i = 0; i < NESTING; i++) deep = [deep]
  t.equal(faultOf(deep, NESTING), undefined)
  const faults: [unknown, RegExp][] = [
    [[deep], /^nested more than 500 deep$/],
    [Number.POSITIVE_INFINITY, /^a number beyond/],
    [Number.NaN, /^a number beyond/],
    [1n, /^a bigint/],
    ['a\ud83d', /^half a character/],
    ['\ude00 b', /^half a character/],
    [{ '\ud83d': 1 }, /^half a character/],
    [JSON.parse('{"__proto__":1}'), /^the names __proto__/],
    [{ constructor: { prototype: 1 } }, /^the names __proto__/],
  ]
  for (const [value, why] of faults) {
    t.match(faultOf(value, NESTING), { why })
    if (value !== faults[0]?.[0]) {
      t.match(faultOf({ a: [0, { b: value }] }, NESTING), { path: /^a\.1\.b/, why })
    }
  }
  const fine = [
    null,
    'a😀b',
    1e308,
    { constructor: 'x', prototype: {} },
    { constructor: {} },
    undefined,
    [[]],
  ]
  for (const value of fine) t.equal(faultOf({ a: [value] }, NESTING), undefined, JSON.stringify(value))
})
