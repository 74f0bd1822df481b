/** The answer about a session's state is bounded in bytes. */
import t from 'tap'
import { PAGE_BYTES } from '../../src/protocol/index.ts'
import { describe } from '../../src/sessions/description.ts'
import type { PendingInput, RunState } from '../../src/sessions/state.ts'
import { ingest, serve, state } from '../fixtures/wire-server.ts'

const base = {
  sessionId: 's',
  metadata: { title: 'ü' },
  head: '1-9',
  createdAt: 1,
  activeAt: 2,
  earliest: '1-1',
}
const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value))

const run = (i: number, size: number, isOpen = true): RunState => ({
  runId: `r${i}`,
  agent: 'ü'.repeat(size / 2),
  status: isOpen ? 'running' : 'completed',
  startedAt: 1,
  startOffset: `1-${i}`,
  ...(!isOpen && { endOffset: '1-9' }),
})
const input = (i: number, size: number): PendingInput => ({
  requestId: `q${i}`,
  kind: 'question',
  message: 'Well?',
  runId: 'r',
  offset: `1-${i}`,
  schema: { title: 'ü'.repeat(size / 2) },
})
const made = <T>(count: number, size: number, make: (i: number, size: number) => T) =>
  Array.from({ length: count }, (_, i) => make(i, size))
const idsOf = (list: readonly { runId: string | undefined; requestId?: string }[]) =>
  list.map(one => one.requestId ?? one.runId)

t.test('what fits is told as a whole', async t => {
  const runs = [...made(100, 100, run), run(100, 100, false)]
  const pendingInputs = made(100, 1000, input)
  t.strictSame(describe(base, { seq: 9, runs, pendingInputs }), { ...base, runs, pendingInputs })
})

t.test('what does not fit is left out, the oldest and the least important first', async t => {
  const open = made(10, 50 * 1024, run)
  const ended = made(10, 1024, (i, size) => run(100 + i, size, false))
  const pendingInputs = made(20, 50 * 1024, input)
  const [first, ...others] = ended
  const described = describe(base, { seq: 9, runs: [first!, ...open, ...others], pendingInputs })
  t.equal(described.truncated, true)
  t.same(idsOf(described.runs), idsOf(open), 'nothing passes what has no room, however small it is')
  t.same(idsOf(described.pendingInputs), idsOf(pendingInputs.slice(-10)), 'the newest, in their order')

  const many = made(40, 50 * 1024, run)
  const short = describe(base, { seq: 9, runs: many, pendingInputs })
  t.same(idsOf(short.runs), idsOf(many.slice(-20)), 'open runs come before questions')
  t.same(short.pendingInputs, [])
})

t.test('no answer is larger than a page, and none has room for one more', async t => {
  const size = sizeOf(input(0, 1000)) + 1
  const empty = sizeOf({ ...base, runs: [], pendingInputs: [], truncated: true })
  for (const count of [1, 900, 5000]) {
    const described = describe(base, {
      seq: 9,
      runs: [],
      pendingInputs: made(count, 1000, i => input(i % 10, 1000)),
    })
    t.ok(sizeOf(described) <= PAGE_BYTES)
    t.equal(described.pendingInputs.length, Math.min(count, Math.floor((PAGE_BYTES - empty) / size)))
    t.equal(described.truncated, count === 5000 ? true : undefined)
  }
})

t.test('the server answers so', async t => {
  const { url } = await serve(t)
  await ingest(url, 's', { type: 'run.started', runId: 'r', data: { agent: 'theirs', input: null } })
  const asked = (i: number) => ({
    type: 'input.requested',
    runId: 'r',
    data: { requestId: `q${i}`, kind: 'question', message: 'x'.repeat(60_000) },
  })
  for (let i = 0; i < 20; i++) await ingest(url, 's', asked(i))
  const told = await state(url, 's')
  t.match(told, { runs: [{ runId: 'r' }], truncated: true })
  t.ok(sizeOf(told) <= PAGE_BYTES)
  t.equal(told.pendingInputs?.length, 17)
  t.equal(told.pendingInputs?.at(-1)?.requestId, 'q19')
})
