import t from 'tap'
import { z } from 'zod'
import { Command, check, checkQuery, Id, SubscriptionQuery, TwinrailError } from '../../src/protocol/index.ts'

/** What a schema refuses with, as the caller is told. */
function refusal(schema: z.ZodType, value: unknown, what = 'thing'): TwinrailError {
  try {
    check(schema, value, what)
  } catch (error) {
    if (error instanceof TwinrailError) return error
    throw error
  }
  throw new Error('it was taken')
}

t.test('gives the parsed value', async t => {
  t.same(check(z.object({ n: z.number().default(3) }), {}, 'thing'), { n: 3 })
})

t.test('names the first bad field and lists five', async t => {
  const fields = Object.fromEntries('abcdefg'.split('').map(name => [name, z.number()]))
  const { code, message, details } = refusal(
    z.object({ deep: z.array(z.object(fields)) }),
    { deep: [{}] },
    'body',
  )
  t.equal(code, 'bad-request')
  t.match(message, /^body: deep\.0\.a: /)
  t.equal(details?.['path'], 'deep.0.a')
  const issues = ['a', 'b', 'c', 'd', 'e'].map(name => ({ path: `deep.0.${name}` }))
  t.match(details, { issues })
  t.match(details?.['issues'], { length: 5 })
})

t.test('the value itself is never repeated, nor are foreign names at any length', async t => {
  const secret = 'hunter2!'
  const schemas: [string, z.ZodType, unknown][] = [
    ['a literal', z.object({ a: z.literal('x') }), { a: secret }],
    ['an enum', z.object({ a: z.enum(['x', 'y']) }), { a: secret }],
    ['a pattern', z.object({ a: Id }), { a: secret }],
    ['a number', z.object({ a: z.number() }), { a: secret }],
    ['a union', z.object({ a: z.union([z.number(), z.object({ b: z.string() })]) }), { a: secret }],
    ['a discriminated union', Command, { type: secret, id: '1' }],
    ['a length', z.object({ a: z.string().max(3) }), { a: secret }],
    ['a strict object', z.strictObject({}), { ['k'.repeat(5000)]: secret }],
  ]
  for (const [what, schema, value] of schemas) {
    const { message, details } = refusal(schema, value)
    const told = `${message} ${JSON.stringify(details)}`
    t.notMatch(told, secret, what)
    t.ok(told.length < 2000, `${what}: short`)
  }
})

t.test('paths and messages are cut between characters', async t => {
  for (const pad of ['', 'x']) {
    const name = `${pad}${'😀'.repeat(300)}`
    const deep = { [name]: { [name]: '\ud83d' } }
    const { message, details } = refusal(z.unknown(), deep)
    t.ok(message.isWellFormed() && JSON.stringify(details).isWellFormed())
    t.ok(message.length < 400, `${message.length} characters`)
    const complains = z.unknown().refine(() => false, name)
    t.equal(refusal(complains, 1).message.length, 200 + 'thing: '.length - pad.length)
    t.ok(refusal(complains, 1).message.isWellFormed())
  }
})

t.test('a query’s numbers are digits, and unknown options are ignored', async t => {
  t.match(checkQuery(SubscriptionQuery, { last: '5', coalesceMs: '0', unknown: 'x', heartbeatMs: '1000' }), {
    last: 5,
    coalesceMs: 0,
    heartbeatMs: 1000,
    replay: 'compact',
    lag: 'conflate',
  })
  const bad: Record<string, string>[] = [
    { last: '-1' },
    { last: '1.5' },
    { last: '' },
    { last: '1e3' },
    { last: '9'.repeat(16) },
    { coalesceMs: '501' },
    { heartbeatMs: '999' },
    { heartbeatMs: '60001' },
    { replay: 'fast' },
    { lag: '' },
    { after: '1' },
    { run: '' },
  ]
  for (const query of bad) {
    const { details } = refusal(SubscriptionQuery, query, 'query')
    t.equal(details?.['path'], Object.keys(query)[0], JSON.stringify(query))
  }
})
