/** Schemas from outside: what is refused, and that none can hold the event loop. */
import t from 'tap'
import { SchemaChecker } from '../../src/sessions/schemas/checker.ts'
import type { JsonSchema } from '../../src/sessions/schemas/thread.ts'

/** Long enough for any machine: these checks have to end by themselves. */
const PATIENT = { maxMs: 60_000 }

/** A checker that is closed when the test is over. */
function checkerOf(t: Tap, options: { maxMs: number }): SchemaChecker {
  const checker = new SchemaChecker(options)
  t.teardown(() => checker.close())
  return checker
}

type Tap = Pick<typeof t, 'teardown'>

t.test('a schema that cannot be used is refused, and the place is named', async t => {
  const checker = checkerOf(t, PATIENT)
  const bad: [JsonSchema, string][] = [
    [{ type: 'nonsense' }, 'data.schema.type'],
    [{ enum: 5 } as never, 'data.schema.enum'],
    [{ properties: { a: { pattern: '(' } } }, 'data.schema.properties.a.pattern'],
    [{ patternProperties: { '[': {} } }, 'data.schema.patternProperties.['],
    [{ pattern: '(a)\\1' }, 'data.schema.pattern'],
    [{ pattern: '(?=a)b' }, 'data.schema.pattern'],
    [{ required: ['a', 1] }, 'data.schema.required.1'],
    [{ items: { minLength: -1 } }, 'data.schema.items.minLength'],
    [{ properties: { a: { allOf: [] } } }, 'data.schema.properties.a.allOf'],
    [{ $ref: '#/$defs/missing' }, 'data.schema'],
    [{ properties: { a: { $ref: 'https://example.com/other' } } }, 'data.schema'],
    [{ $ref: '#' }, 'data.schema'],
    [{ $dynamicRef: '#node' }, 'data.schema.$dynamicRef'],
  ]
  for (const [schema, path] of bad) {
    await t.rejects(
      checker.checkSchema(schema),
      { code: 'bad-request', details: { path } },
      JSON.stringify(schema),
    )
  }
})

t.test('schemas that people write can be used', async t => {
  const checker = checkerOf(t, PATIENT)
  const tree = {
    $defs: { node: { properties: { children: { type: 'array', items: { $ref: '#/$defs/node' } } } } },
    $ref: '#/$defs/node',
  }
  const cases: [JsonSchema, unknown, unknown][] = [
    [{ type: 'string', pattern: '^[a-z]+\\d{2,}$' }, 'abc12', 'abc1'],
    [{ type: 'string', pattern: '^\\p{Lu}\\u0061' }, 'Éa', 'éa'],
    [{ type: 'object', patternProperties: { '^x-': { type: 'number' } } }, { 'x-a': 1 }, { 'x-a': 'b' }],
    [{ type: ['string', 'null'], format: 'email' }, 'a@example.com', 'a'],
    [{ $schema: 'http://json-schema.org/draft-07/schema#', type: 'integer', minimum: 1 }, 1, 0],
    [{ items: [{ type: 'number' }], additionalItems: false }, [1], ['a']],
    [{ enum: ['yes', 'no'] }, 'yes', 'maybe'],
    [{ oneOf: [{ const: 1 }, { const: 2 }] }, 2, 3],
    [{ type: 'string', minLength: 2, title: 'shown to people', 'x-mine': {} }, '😀😀', '😀'],
    [tree, { children: [{ children: [] }] }, { children: [{ children: 5 }] }],
    [true, 'anything', undefined],
  ]
  for (const [schema, good, wrong] of cases) {
    await checker.checkSchema(schema)
    await checker.checkAnswer(schema, good)
    if (wrong === undefined) continue
    await t.rejects(checker.checkAnswer(schema, wrong), { code: 'bad-request' }, JSON.stringify(schema))
  }
})

t.test('patterns that need exponential time elsewhere match in linear time', async t => {
  const checker = checkerOf(t, PATIENT)
  const text = `${'a'.repeat(10_000)}!`
  for (const pattern of ['^(a+)+$', '^(a|a)*$', '(.*)*x', '^(([a-z])+.)+[A-Z]([a-z])+$']) {
    await checker.checkSchema({ pattern })
    await t.rejects(checker.checkAnswer({ pattern }, text), { code: 'bad-request' }, pattern)
  }
})

t.test('checks that wait are bounded, and end when the checker closes', async t => {
  const checker = new SchemaChecker(PATIENT)
  const waiting = Array.from({ length: 1000 }, () => checker.checkSchema(true))
  const outcomes = Promise.allSettled(waiting)
  await t.rejects(checker.checkSchema(true), { code: 'rate-limited', retryAfterMs: 1000 })
  await checker.close()
  for (const { status } of await outcomes) if (status !== 'rejected') t.fail('a check outlived its checker')
  await t.rejects(checker.checkSchema(true), { code: 'restart' })
})
