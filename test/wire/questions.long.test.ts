/** Questions whose schema is wrong or hostile: whoever asks is refused, and the server goes on. */
import t from 'tap'
import {
  command,
  eventually,
  headOf,
  ingest,
  ingestLines,
  serve,
  startRun,
  state,
  terminalOf,
  type Wire,
} from '../fixtures/wire-server.ts'

/** Enough for any machine; one test is about a check that never ends by itself. */
const PATIENT = { schemaMs: 60_000 }

const asked = (requestId: string, more: object) => ({
  type: 'input.requested',
  runId: 'theirs',
  data: { requestId, kind: 'question', message: 'Well?', ...more },
})

/** A session with a run that was opened by ingest. */
async function opened(wire: Wire): Promise<void> {
  const started = { type: 'run.started', runId: 'theirs', data: { agent: 'theirs', input: null } }
  await ingest(wire.url, 's', started)
}

/** What no answer can ever be checked against. */
const broken: [string, unknown][] = [
  ['a type that is none', { type: 'nonsense' }],
  ['a list that is none', { enum: 5 }],
  ['a pattern that is none', { properties: { a: { pattern: '(' } } }],
  ['a reference to nothing', { properties: { a: { $ref: '#/$defs/a' } } }],
  ['a reference in a circle', { $ref: '#' }],
  ['a deep schema', JSON.parse(`${'{"not":'.repeat(65)}{}${'}'.repeat(65)}`)],
]

t.test('a question that can never be answered is refused when it is asked', async t => {
  const wire = await serve(t, PATIENT)
  await opened(wire)
  for (const [i, [name, schema]] of broken.entries()) {
    const question = asked(`q${i}`, { schema })
    const one = await ingest(wire.url, 's', question)
    t.match(one, { status: 400, body: { error: { code: 'bad-request' } } }, `${name}, as JSON`)
    t.match(one.body.error?.details, { path: /^data\.schema/ })
    const lines = await ingestLines(wire.url, 's', JSON.stringify(question))
    t.match(lines, { status: 400, body: { error: { code: 'bad-request' } } }, `${name}, as a line`)
    const runId = await startRun(wire.url, 's', 'asking', { questions: [{ requestId: `a${i}`, schema }] })
    t.match(await terminalOf(wire.url, 's', runId), { type: 'run.failed', data: { code: 'bad-event' } }, name)
  }
  t.same((await state(wire.url, 's')).pendingInputs, [])
})

t.test('a question is bounded in bytes', async t => {
  const wire = await serve(t, PATIENT)
  await opened(wire)
  const head = await headOf(wire.url, 's')
  const large = { message: 'x'.repeat(64 * 1024) }
  const refused = await ingest(wire.url, 's', asked('q', large))
  t.match(refused, { status: 413, body: { error: { code: 'too-large', details: { limit: 65536 } } } })
  t.equal(await headOf(wire.url, 's'), head)
  const runId = await startRun(wire.url, 's', 'asking', { questions: [{ requestId: 'a', ...large }] })
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.failed', data: { code: 'too-large' } })
})

t.test('an answer is checked at once against a pattern that makes other engines backtrack', async t => {
  const wire = await serve(t, PATIENT)
  const schema = { type: 'string', pattern: '^(a+)+$' }
  await startRun(wire.url, 's', 'asking', { questions: [{ requestId: 'q', schema }] })
  await eventually(t, 'it asks', async () => (await state(wire.url, 's')).pendingInputs?.length === 1)
  const value = `${'a'.repeat(10_000)}!`
  const wrong = await command(wire.url, 's', { type: 'input.answer', requestId: 'q', value })
  t.match(wrong, { status: 400, body: { code: 'bad-request', details: { path: 'value' } } })
  const right = await command(wire.url, 's', { type: 'input.answer', requestId: 'q', value: 'aa' })
  t.match(right, { status: 200, body: { type: 'ack' } })
})

t.test('while a check works without end the server serves, and the check is stopped', async t => {
  const wire = await serve(t, { schemaMs: 1000 })
  await opened(wire)
  // Each level applies the one below it twice: 2^40 applications.
  const $defs: Record<string, unknown> = { l0: { type: 'string' } }
  for (let i = 1; i <= 40; i++) {
    const $ref = `#/$defs/l${i - 1}`
    $defs[`l${i}`] = { allOf: [{ $ref }, { $ref }] }
  }
  let done = false
  const asking = ingest(wire.url, 's', asked('q', { schema: { $defs, $ref: '#/$defs/l40' } })).finally(() => {
    done = true
  })
  let served = 0
  while (!done) {
    await fetch(`${wire.url}/healthz`)
    if (!done) served++
  }
  t.ok(served > 1, `${served} requests were answered meanwhile`)
  t.match(await asking, { status: 400, body: { error: { code: 'bad-request' } } })
  t.match(await ingest(wire.url, 's', asked('q', { schema: { type: 'boolean' } })), { status: 200 })
})
