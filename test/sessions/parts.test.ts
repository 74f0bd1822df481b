/** The parts of a run and of a command that need no log: the clock, the inbox, digests, and jobs by key. */
import t from 'tap'
import { Inbox } from '../../src/agents/inbox.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'
import { TwinrailError } from '../../src/protocol/index.ts'
import { KeyedJobs } from '../../src/sessions/keyed-jobs.ts'
import { ackOf, digest, repeatedAnswer, repeatedStart } from '../../src/sessions/repeats.ts'
import { RunClock } from '../../src/sessions/run-clock.ts'

const turn = () => new Promise(resolve => setImmediate(resolve))

/** Resolves after `ms` on a timer of the same kind as those under test, so after any that was started before. */
const pass = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

t.test('a run’s clock expires once, and not while it is paused', async t => {
  let expired = 0
  const clock = new RunClock(20, () => expired++)
  clock.pause()
  clock.pause()
  clock.resume()
  await pass(40)
  t.equal(expired, 0, 'one pause is left')
  clock.resume()
  await pass(40)
  t.equal(expired, 1)

  const stopped = new RunClock(5, () => t.fail('it was stopped'))
  stopped.stop()
  stopped.pause()
  stopped.resume()
  const endless = new RunClock(Number.POSITIVE_INFINITY, () => t.fail('it has no limit'))
  await pass(20)
  endless.stop()
})

t.test('a run’s clock keeps the time that is left', async t => {
  const order: string[] = []
  await new Promise<void>(resolve => {
    const clock = new RunClock(100, () => order.push('clock'))
    setTimeout(() => {
      clock.pause()
      setImmediate(() => {
        clock.resume()
        // At most 60 ms are left, and timers that start together end in the order of their length.
        setTimeout(() => {
          order.push('timer')
          resolve()
        }, 80)
      })
    }, 40)
  })
  t.same(order, ['clock', 'timer'])
})

const event = (seq: number, type: string, data: unknown, by?: string) =>
  new LogEvent(1, seq, encodeEvent({ sessionId: 's', runId: 'r', type, time: 1, by, data })).event

t.test('an answer reaches the question that waits for it, or that is asked later', async t => {
  const inbox = new Inbox()
  const [a, b] = [inbox.answer('a'), inbox.answer('b')]
  inbox.event(event(2, 'input.answered', { requestId: 'b', value: false }, 'ben'))
  inbox.event(event(3, 'input.answered', { requestId: 'a', value: 1 }))
  inbox.event(event(4, 'input.answered', { requestId: 'c', value: 2 }, 'cleo'))
  t.same(await b, { value: false, by: 'ben', offset: '1-2' })
  t.same(await a, { value: 1, by: undefined, offset: '1-3' })
  t.same(await inbox.answer('c'), { value: 2, by: 'cleo', offset: '1-4' })
})

t.test('a question that expires is refused, before it is asked or after', async t => {
  const inbox = new Inbox()
  const refusal = { code: 'input-expired', details: { requestId: 'a' } }
  const waits = t.rejects(inbox.answer('a'), refusal)
  inbox.event(event(2, 'input.expired', { requestId: 'a' }))
  await waits
  inbox.event(event(3, 'input.expired', { requestId: 'b' }))
  await t.rejects(inbox.answer('b'), { ...refusal, details: { requestId: 'b' } })
})

t.test(
  'steering is taken in order, and messages that the log has as applied are not taken again',
  async t => {
    const inbox = new Inbox()
    let woken = 0
    const waiting = inbox.untilSteered().then(result => {
      woken++
      return result
    })
    await turn()
    t.equal(woken, 0)
    inbox.event(event(2, 'input.steered', { inputId: 'a', text: 'left' }, 'ann'))
    t.equal(await waiting, true)
    inbox.event(event(3, 'input.steered', { inputId: 'b', text: 'right' }))
    inbox.event(event(4, 'input.steered', { inputId: 'c', text: 'on' }))
    inbox.event(event(5, 'input.applied', { inputId: 'b' }))
    inbox.event(event(6, 'input.applied', { inputId: 'unknown' }))
    inbox.event(event(7, 'text.start', { partId: 'p' }))
    t.equal(await inbox.untilSteered(), true, 'some wait already')
    t.same(inbox.takeSteers(), [
      { inputId: 'a', text: 'left', by: 'ann' },
      { inputId: 'c', text: 'on', by: undefined },
    ])
    t.same(inbox.takeSteers(), [])
  },
)

t.test('a closed inbox refuses all that waits, with its first reason', async t => {
  const inbox = new Inbox()
  const [answer, steered] = [inbox.answer('a'), inbox.untilSteered()]
  const refused = t.rejects(answer, { message: 'over' })
  inbox.close(new Error('over'))
  inbox.close(new Error('later'))
  await refused
  t.equal(await steered, false)
  await t.rejects(inbox.answer('b'), { message: 'over' })
  t.equal(await inbox.untilSteered(), false)
  inbox.event(event(2, 'input.answered', { requestId: 'a', value: 1 }))
})

t.test('equal values have equal digests, others have others', async t => {
  t.equal(digest({ a: 1, b: { d: [1, 2], c: null } }), digest({ b: { c: null, d: [1, 2] }, a: 1 }))
  const values = [
    undefined,
    null,
    0,
    '',
    [],
    {},
    [1, 2],
    [2, 1],
    { a: 1 },
    { a: '1' },
    { b: 1 },
    { a: { b: 1 } },
  ]
  t.equal(new Set(values.map(digest)).size, values.length)
  t.match(digest(1), /^[\w-]{43}$/)
})

t.test('a repeated command gets the ack of the first', async t => {
  t.same(ackOf(5, { seq: 3, note: { inputId: 'i' } } as never), { inputId: 'i', offset: '5-3' })
  t.same(ackOf(5, { seq: 0, note: { inputId: 'i' } } as never), { inputId: 'i' }, 'it caused no event')
  const note = { agent: 'a', digest: 'd', by: 'ann' }
  const entry = { seq: 3, note } as never
  t.same(repeatedStart(5, 'r', entry, { ...note, by: 'ben' }), { runId: 'r', offset: '5-3' })
  for (const other of [{ agent: 'b' }, { digest: 'e' }]) {
    t.throws(() => repeatedStart(5, 'r', entry, { ...note, ...other }), {
      code: 'conflict',
      details: { runId: 'r', offset: '5-3' },
    })
  }
})

t.test('an answer is repeated when its value and its sender are the same', async t => {
  const ann = { id: 'ann' } as never
  const entry = { seq: 3, note: { by: 'ann', value: { a: 1, b: 2 } } } as never
  t.same(repeatedAnswer(5, 'q', entry, { b: 2, a: 1 }, ann), { offset: '5-3' })
  const code = 'already-answered'
  t.throws(() => repeatedAnswer(5, 'q', entry, { a: 1 }, ann), { code })
  t.throws(() => repeatedAnswer(5, 'q', entry, { b: 2, a: 1 }, { id: 'ben' } as never), { code })
  const expired = { seq: 3, note: { expired: true } } as never
  t.throws(() => repeatedAnswer(5, 'q', expired, undefined, { id: undefined } as never), {
    code: 'input-expired',
  })
})

/** Jobs that end when the test says so. */
function jobs(options: Partial<ConstructorParameters<typeof KeyedJobs>[0]> = {}) {
  const errors: unknown[] = []
  const made = new KeyedJobs({
    concurrency: 2,
    pauseMs: 30,
    maxPauseMs: 50,
    onError: (error, about) => errors.push([(error as Error).message, about]),
    ...options,
  })
  const running = new Map<string, { resolve(): void; reject(error: Error): void }>()
  const start = (key: string) =>
    made.start(
      key,
      { key },
      () => new Promise<void>((resolve, reject) => running.set(key, { resolve, reject })),
    )
  const end = async (key: string, error?: Error) => {
    const job = running.get(key)
    running.delete(key)
    if (error) job?.reject(error)
    else job?.resolve()
    await turn()
  }
  return { jobs: made, start, end, errors, running: () => [...running.keys()] }
}

t.test('as many jobs run as have a slot, in the order of their start', async t => {
  const { jobs: made, start, end, running } = jobs()
  for (const key of ['a', 'b', 'c', 'd']) t.equal(start(key), true)
  t.same(running(), ['a', 'b'])
  t.equal(made.waiting, 2)
  t.equal(made.busy, 4)
  for (const key of ['a', 'c']) t.equal(start(key), false, `${key} has one already`)
  await end('b')
  t.same(running(), ['a', 'c'])
  await end('a')
  await end('c')
  await end('d')
  t.equal(made.busy, 0)
  t.equal(start('a'), true, 'a key may have one after the other')
  await end('a')
  await made.close()
})

t.test('a slow job frees its slot and continues, within the larger limit', async t => {
  const { jobs: made, start, end, running } = jobs({ concurrency: 1, maxConcurrency: 2 })
  for (const key of ['a', 'b', 'c']) start(key)
  t.same(running(), ['a'])
  while (running().length < 2) await pass(10)
  t.same(running(), ['a', 'b'], 'b takes the slot of a')
  await pass(300)
  t.same(running(), ['a', 'b'], 'c would be the third')
  await end('a')
  t.same(running(), ['b', 'c'])
  await end('b')
  await end('c')
  start('d')
  start('e')
  t.same(running(), ['d'], 'there is one slot as before')
  await end('d')
  await end('e')
  await made.close()
})

t.test('a key whose job failed pauses, longer each time, and others do not', async t => {
  const { jobs: made, start, end, errors } = jobs({ pauseMs: 60_000, maxPauseMs: 100_000 })
  let now = 1000
  t.intercept(performance, 'now', { value: () => now })
  start('a')
  await end('a', new Error('first'))
  t.same(errors, [['first', { key: 'a' }]])
  t.equal(made.busy, 1, 'the failure is remembered')
  t.equal(start('b'), true)
  await end('b')
  for (const pauseMs of [60_000, 100_000, 100_000]) {
    now += pauseMs - 1
    t.equal(start('a'), false)
    now += 1
    t.equal(start('a'), true, `after ${pauseMs} ms`)
    await end('a', new Error('again'))
  }
  now += 100_000
  start('a')
  await end('a')
  t.equal(made.busy, 0, 'a success forgets the failures')
  start('a')
  await end('a', new Error('anew'))
  now += 60_000
  t.equal(start('a'), true, 'the first pause is the short one')
  await end('a')
  await made.close()
})

t.test('a failure is forgotten by itself, and by a close', async t => {
  const { jobs: made, start, end } = jobs({ pauseMs: 2 })
  start('a')
  await end('a', new Error('broken'))
  while (made.busy > 0) await pass(1)
  start('b')
  await end('b', new Error('broken'))
  await made.close()
  t.equal(made.busy, 0)
})

t.test('a close drops waiting jobs, and resolves when running jobs have ended', async t => {
  const { jobs: made, start, end, running } = jobs({ concurrency: 1 })
  start('a')
  start('b')
  let closed = false
  const closing = made.close().then(() => {
    closed = true
  })
  await turn()
  t.equal(closed, false)
  await end('a', new TwinrailError('unavailable', 'away'))
  await closing
  t.same(running(), [])
  t.equal(made.busy, 0)
})
