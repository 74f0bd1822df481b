/** Schemas that take too long or too much memory are stopped. Each costs seconds of work. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
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

/** Nested references that double with each level: 2^n applications of one schema. */
function laughs(levels: number): JsonSchema {
  const $defs: Record<string, unknown> = { l0: { type: 'string' } }
  for (let i = 1; i <= levels; i++) {
    const $ref = `#/$defs/l${i - 1}`
    $defs[`l${i}`] = { allOf: [{ $ref }, { $ref }] }
  }
  return { $defs, $ref: `#/$defs/l${levels}` }
}

t.test('a schema that works for too long is stopped, and the next one is checked', async t => {
  const checker = checkerOf(t, { maxMs: 300 })
  const delay = monitorEventLoopDelay({ resolution: 5 })
  // The first check starts the thread; it is no part of what is measured.
  await checker.checkSchema(true)
  delay.enable()
  for (let i = 0; i < 3; i++) {
    await t.rejects(checker.checkSchema(laughs(40)), {
      code: 'bad-request',
      details: { path: 'data.schema' },
    })
  }
  const list = Array.from({ length: 30_000 }, (_, i) => ({ i }))
  await t.rejects(checker.checkAnswer({ uniqueItems: true }, list), { code: 'bad-request' })
  delay.disable()
  t.comment(`the event loop was late by ${Math.round(delay.max / 1e6)} ms at the most`)
  await checker.checkAnswer({ const: 1 }, 1)
})

t.test('a schema that needs too much memory is stopped, and the next one is checked', async t => {
  const checker = checkerOf(t, PATIENT)
  // Each level keeps the errors of both below it.
  const $defs: Record<string, unknown> = { l0: false }
  for (let i = 1; i <= 40; i++) {
    const $ref = `#/$defs/l${i - 1}`
    $defs[`l${i}`] = { anyOf: [{ $ref }, { $ref }] }
  }
  await t.rejects(checker.checkSchema({ $defs, $ref: '#/$defs/l40' }), { code: 'bad-request' })
  await checker.checkAnswer({ const: 1 }, 1)
})
