import { performance } from 'node:perf_hooks'
import t from 'tap'
import { playback } from '../../src/agents/playback.ts'
import { mulberry32 } from '../../src/agents/random.ts'
import { type EventBody, ProviderId } from '../../src/protocol/index.ts'
import { fakeRun, flaws, inShort, play, textOf } from '../fixtures/run-context.ts'

function deltas(events: EventBody[]): string[] {
  return events.flatMap(event => (event.type === 'text.delta' ? [event.data.delta] : []))
}

async function deltasOf(input: object): Promise<string[]> {
  return deltas((await play(playback, { rate: 0, ...input }, fakeRun())).events)
}

/** Plays and notes when each event came, in ms from just before the start. */
async function timed(input: object, onEvent?: (event: EventBody, index: number) => void) {
  const start = performance.now()
  const times: number[] = []
  const { error } = await play(playback, input, fakeRun(), event => {
    times.push(performance.now() - start)
    onEvent?.(event, times.length - 1)
  })
  t.notOk(error)
  return times
}

/** Holds the whole process, as a slow log would the run. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

t.test('the text that a run generates is bounded by count times bytes', async t => {
  const refused = playback.input.safeParse({ count: 10_000_000, bytes: 65_536, rate: 0 })
  t.match(refused.error?.issues, [{ path: ['count'], message: /at most 268435456 bytes/ }])
  for (const input of [
    { count: 4096, bytes: 65_536, rate: 0 },
    { count: 10_000_000, rate: 0 },
    { events: [], speed: 1 },
  ]) {
    t.equal(playback.input.safeParse(input).success, true, JSON.stringify(input))
  }
  t.equal(playback.input.safeParse({ count: 4097, bytes: 65_536, rate: 0 }).success, false)
})

t.test('generated text', async t => {
  t.test('is one text of count deltas: a word each, lower-case, with spaces and punctuation', async t => {
    const { events, result } = await play(playback, { count: 500, rate: 0 }, fakeRun())
    t.equal(events.length, 502)
    t.same([events[0]?.type, events.at(-1)?.type], ['text.start', 'text.end'])
    t.same(flaws(events), [])
    t.equal(result, undefined)
    for (const delta of deltas(events)) if (!/^[a-z]+[.,]? $/.test(delta)) t.fail(delta)
    t.match(textOf(events), /[a-z]\. [a-z]/)
    t.match(textOf(events), /[a-z], [a-z]/)
  })

  t.test('is the same for the same seed, which is 1 unless given', async t => {
    const text = await deltasOf({ count: 50, seed: 1 })
    t.same(await deltasOf({ count: 50 }), text)
    t.strictNotSame(await deltasOf({ count: 50, seed: 2 }), text)
    t.equal(text.slice(0, 8).join(''), 'if. said come their were when on have ')
  })

  t.test('has deltas of exactly the bytes that are asked for', async t => {
    const words = (await deltasOf({ count: 2000 })).join('')
    for (const bytes of [1, 7, 200, 65_536]) {
      const pieces = await deltasOf({ count: 3, bytes })
      t.same(
        pieces.map(piece => Buffer.byteLength(piece)),
        [bytes, bytes, bytes],
      )
      if (bytes < 1000) t.ok(words.startsWith(pieces.join('')), 'cut from the same text')
    }
  })

  t.test('is spread over messages, none lost', async t => {
    const { events } = await play(playback, { count: 10, rate: 0, messages: 4 }, fakeRun())
    t.same(flaws(events), [])
    t.equal(events.filter(event => event.type === 'text.start').length, 4)
    t.same(deltas(events), await deltasOf({ count: 10 }))
    t.equal((await play(playback, { count: 0, rate: 0, messages: 2 }, fakeRun())).events.length, 4)
  })

  t.test('has parts with unique ids, also with a long run id', async t => {
    const ids = new Set<unknown>()
    for (const runId of ['a', 'b', `${'r'.repeat(127)}1`, `${'r'.repeat(127)}2`]) {
      const { events } = await play(playback, { count: 0, rate: 0, messages: 2 }, fakeRun({ runId }))
      for (const { type, data } of events) if (type === 'text.start') ids.add(ProviderId.parse(data.partId))
    }
    t.equal(ids.size, 8)
  })

  t.test('yields events at its rate, never early', async t => {
    const rate = 500
    const times = await timed({ count: 100, rate })
    const early = times.slice(1, -1).filter((time, index) => time < (index * 1000) / rate)
    t.same(early, [])
  })

  t.test('catches up at once after a stall, so that delays do not add up', async t => {
    // 10 deltas/s: in the 2 s that the stall lasts, 20 fall due. Paced anew they would take 1.8 s more.
    const times = await timed({ count: 25, rate: 10 }, (_, index) => {
      if (index === 1) stall(2000)
    })
    t.ok(times[20]! - times[2]! < 1000, `${times[20]! - times[2]!} ms`)
  })

  t.test('stops waiting when the run is cancelled, and leaves no timer', async t => {
    const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
    const before = timers()
    const run = fakeRun()
    const { events, error } = await play(playback, { count: 2, rate: 0.001 }, run, event => {
      if (event.type === 'text.delta') setImmediate(run.cancel)
    })
    t.match(error, { name: 'AbortError' })
    t.equal(events.length, 2)
    t.equal(timers(), before)
  })

  t.test('stops between events that do not wait', async t => {
    const run = fakeRun()
    const { events, error } = await play(playback, { count: 1000, rate: 0 }, run, event => {
      if (event.type === 'text.delta') run.cancel()
    })
    t.match(error, { name: 'AbortError' })
    t.equal(events.length, 2)
  })
})

t.test('a recording', async t => {
  const at = (time: number | undefined, type: string, data: unknown) => ({
    offset: '5-9',
    from: '5-7',
    sessionId: 'other',
    runId: 'other',
    by: 'bob',
    ...(time !== undefined && { time }),
    type,
    data,
  })
  const delta = (time: number | undefined, text: string) =>
    at(time, 'text.delta', { partId: 'p', delta: text })
  const events = [
    at(1000, 'run.started', { agent: 'a', input: {} }),
    at(1080, 'text.start', { partId: 'p' }),
    at(1085, 'input.requested', { requestId: 'q', kind: 'approval', message: 'May I?' }),
    at(1086, 'input.answered', { requestId: 'q', value: true }),
    at(1090, 'input.steered', { inputId: 'i', text: 'Go on' }),
    at(1090, 'input.applied', { inputId: 'i' }),
    delta(1120, 'Hel'),
    delta(undefined, 'lo'),
    at(1160, 'x.tick', { n: 1 }),
    at(1160, 'text.end', { partId: 'p' }),
    at(1170, 'run.cancel-requested', {}),
    at(1170, 'run.completed', {}),
  ]

  t.test('plays the events that agents may yield, without the old envelope', async t => {
    const played = await play(playback, { events, speed: 0 }, fakeRun())
    t.same(inShort(played.events), ['text.start', 'text.delta:Hel', 'text.delta:lo', 'x.tick', 'text.end'])
    t.same(
      played.events.map(event => Object.keys(event)),
      played.events.map(() => ['type', 'data']),
    )
  })

  t.test('keeps its spacing from its first event on, divided by speed', async t => {
    for (const speed of [1, 2]) {
      const times = await timed({ events, speed })
      t.equal(times.length, 5)
      const due = [80, 120, 120, 160, 160].map(ms => ms / speed)
      t.same(
        times.filter((time, index) => time < due[index]!),
        [],
      )
    }
  })

  t.test('continues at once when its clock was set back', async t => {
    const times = await timed({ events: [delta(9_000_000, 'a'), delta(0, 'b'), delta(9_000_000, 'c')] })
    t.equal(times.length, 3)
  })

  t.test('is refused where an event is not one, naming the place', async t => {
    const issues = playback.input.safeParse({ events: [delta(0, 'a'), at(0, 'text.delta', { partId: 'p' })] })
    t.match(issues.error?.issues[0], { path: ['events', 1, 'data', 'delta'] })
    const unknown = playback.input.safeParse({ events: [at(0, 'text.deltas', {})] })
    t.match(unknown.error?.issues[0], { path: ['events', 0, 'type'], message: /unknown event type/ })
  })
})

t.test('input out of bounds is refused', async t => {
  const refused = [
    {},
    { count: 1 },
    { count: 10_000_001, rate: 0 },
    { count: -1, rate: 0 },
    { count: 1.5, rate: 0 },
    { count: 1, rate: 100_001 },
    { count: 1, rate: -1 },
    { count: 1, rate: Number.NaN },
    { count: 1, rate: 0, bytes: 0 },
    { count: 1, rate: 0, bytes: 65_537 },
    { count: 1, rate: 0, messages: 0 },
    { events: [], speed: -1 },
    { events: [{}] },
    { events: Array.from({ length: 100_001 }, () => ({ type: 'x.a', data: 0 })) },
  ]
  for (const input of refused)
    t.notOk(playback.input.safeParse(input).success, JSON.stringify(input).slice(0, 60))
})

t.test('mulberry32 gives its well-known numbers', async t => {
  const random = mulberry32(1)
  t.same([random(), random(), random()], [0.6270739405881613, 0.002735721180215478, 0.5274470399599522])
})
