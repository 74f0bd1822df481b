/** Questions that expire: in order, by one timer, and forgotten with their answer, run or session. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Journal } from '../../src/bus/journal.ts'
import { seedOf } from '../../src/log/contract/random.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { DueQueue } from '../../src/sessions/due-queue.ts'
import { Expiry } from '../../src/sessions/expiry.ts'
import { command, eventually, ingest, serve, startRun, state } from '../fixtures/wire-server.ts'

t.test('a due queue gives its entries in order while others are added and removed', async t => {
  const steps = fc.array(fc.record({ due: fc.nat(50), removes: fc.nat(4) }), { maxLength: 200 })
  const property = fc.property(steps, steps => {
    const queue = new DueQueue<{ due: number }>()
    const held: { due: number }[] = []
    for (const [i, { due, removes }] of steps.entries()) {
      const entry = { due }
      held.push(entry)
      queue.add(entry)
      if (removes > 0) continue
      const [gone] = held.splice((i * 7) % held.length, 1) as [{ due: number }]
      assert.equal(queue.remove(gone), true)
      assert.equal(queue.remove(gone), false)
    }
    const order: number[] = []
    for (let first = queue.first; first; first = queue.first) {
      order.push(first.due)
      queue.remove(first)
    }
    assert.deepEqual(
      order,
      held.map(({ due }) => due).sort((a, b) => a - b),
    )
    assert.equal(queue.size, 0)
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 200 })
  t.pass()
})

t.test('questions expire in the order of their ends, hundreds of them at once too', async t => {
  const journal = new Journal(createMemoryLog())
  const { session } = await journal.create('s', {})
  const expiry = new Expiry({ journal, onError: error => t.fail(String(error)) })
  const now = Date.now()
  for (let i = 0; i < 350; i++) expiry.schedule('s', session.epoch, undefined, `late${i}`, now - 1)
  expiry.schedule('s', session.epoch, undefined, 'last', now + 60)
  expiry.schedule('s', session.epoch, undefined, 'later', now + 1_000_000)
  expiry.schedule('s', session.epoch, undefined, 'first', now - 5)
  // The timer does not keep the process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  await eventually(t, 'all but one are over', async () => expiry.size === 1)
  const page = await journal.read('s', 0, { events: 1000, bytes: 1e6 })
  const ids = page?.events.map(({ event }) => (event.data as { requestId: string }).requestId) ?? []
  t.equal(ids.length, 352)
  t.equal(ids[0], 'first')
  t.equal(ids.at(-1), 'last')
  expiry.close()
  t.equal(expiry.size, 0)
})

t.test('a bound on the questions that wait', async t => {
  const expiry = new Expiry({ journal: new Journal(createMemoryLog()), maxWaiting: 2, onError: () => {} })
  const later = Date.now() + 1_000_000
  expiry.schedule('s', 1, 'r', 'a', later)
  expiry.mustHaveRoom()
  expiry.schedule('s', 1, 'r', 'b', later)
  t.throws(() => expiry.mustHaveRoom(), { code: 'rate-limited', retryAfterMs: 10_000 })
  expiry.schedule('s', 1, 'r', 'b', later + 1)
  t.equal(expiry.size, 2, 'the same question is one')
  expiry.runEnded('s', 'other')
  t.equal(expiry.size, 2)
  expiry.runEnded('s', 'r')
  t.equal(expiry.size, 0)
  expiry.close()
})

t.test('questions are forgotten with their answer, their run and their session', async t => {
  const { server, url } = await serve(t)
  const waiting = () => server.sessions.waitingQuestions
  const expiresAt = Date.now() + 1_000_000
  const ask = (sessionId: string, requestId: string) =>
    startRun(url, sessionId, 'asking', {
      questions: [
        { requestId, expiresAt },
        { requestId: `${requestId}-2`, expiresAt },
      ],
    })
  const one = await ask('s:1', 'q')
  const two = await ask('other', 'q')
  await ingest(url, 'theirs', [
    { type: 'run.started', runId: 'r:1', data: { agent: 'theirs', input: null } },
    {
      type: 'input.requested',
      runId: 'r:1',
      data: { requestId: 'q', kind: 'question', message: 'm', expiresAt },
    },
  ])
  await eventually(t, 'all three wait', async () => waiting() === 3)
  await command(url, 's:1', { type: 'input.answer', requestId: 'q', value: 1 })
  await eventually(t, 'the run asks the next one', async () => {
    return (await state(url, 's:1')).pendingInputs?.[0]?.requestId === 'q-2' && waiting() === 3
  })
  await command(url, 's:1', { type: 'run.cancel', runId: one })
  t.equal(waiting(), 2, 'a cancelled run')
  await ingest(url, 'theirs', { type: 'run.completed', runId: 'r:1', data: {} })
  t.equal(waiting(), 1, 'a run that its producer ended')
  await server.sessions.delete('other')
  t.equal(waiting(), 0, 'a deleted session')
  t.ok(two)
})
