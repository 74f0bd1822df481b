import t from 'tap'
import { type RunRange, type Start, startOf } from '../../src/bus/cursor.ts'
import type { LogPosition } from '../../src/log/log.ts'
import type { SubscriptionOptions } from '../../src/protocol/index.ts'

type Options = Pick<SubscriptionOptions, 'after' | 'last' | 'replay'>

const EPOCH = 5
const compact: Options = { after: undefined, last: undefined, replay: 'compact' }

/** Every log of up to five events, trimmed in every way. */
const logs: LogPosition[] = []
for (let head = 0; head <= 5; head++) {
  for (let earliest = 1; earliest <= head + 1; earliest++) logs.push({ epoch: EPOCH, head, earliest })
}

/** Every place of a run in a log, ended or not. */
function runsOf({ head }: LogPosition): (RunRange | undefined)[] {
  const runs: (RunRange | undefined)[] = [undefined]
  for (let start = 1; start <= head; start++) {
    runs.push({ start, end: undefined })
    for (let end = start + 1; end <= head; end++) runs.push({ start, end })
  }
  return runs
}

/**
 * The cursor rules of PROTOCOL.md, stated by the numbers that a subscriber may expect rather than by arithmetic on cursors:
 * those wanted are either held, or make up the gap.
 */
function expected(log: LogPosition, options: Options, run: RunRange | undefined): Start {
  const { head, earliest } = log
  const all = Array.from({ length: head }, (_, i) => i + 1)
  const [epoch, seq] = (options.after ?? '').split('-').map(Number) as [number, number]
  let reset: Start['reset']
  if (options.after !== undefined && epoch !== EPOCH) reset = 'epoch'
  else if (options.after !== undefined && seq > head) reset = 'ahead'

  let wanted = all
  if (options.after !== undefined && !reset) wanted = all.filter(n => n > seq)
  else if (options.replay === 'none') wanted = []
  else if (options.last !== undefined && !reset) wanted = options.last === 0 ? [] : all.slice(-options.last)

  const cursorOf = (numbers: number[], none: number) => (numbers[0] === undefined ? none : numbers[0] - 1)
  let cursor = cursorOf(wanted, head)
  if (run) {
    const ofRun = wanted.filter(n => n >= run.start && (run.end === undefined || n <= run.end))
    // With nothing of the run left the cursor stays where it was, never before the run.
    cursor = cursorOf(ofRun, Math.max(cursor, run.start - 1))
    wanted = ofRun
    if (run.end !== undefined && wanted.length === 0) return { cursor, reset, gap: undefined, over: true }
  }
  const trimmed = wanted.filter(n => n < earliest)
  const [from] = trimmed
  const to = trimmed.at(-1)
  if (from === undefined || to === undefined) return { cursor, reset, gap: undefined, over: false }
  return { cursor: to, reset, gap: { from, to }, over: to === run?.end }
}

t.test('every cursor into every log and run of it', async t => {
  let cases = 0
  for (const log of logs) {
    const afters = [
      undefined,
      ...Array.from({ length: 8 }, (_, seq) => `${EPOCH}-${seq}`),
      '4-0',
      '4-3',
      '6-1',
      '55-2',
    ]
    for (const run of runsOf(log)) {
      for (const after of afters) {
        for (const last of [undefined, 0, 1, 3, 5, 6, 1000]) {
          for (const replay of ['compact', 'full', 'none'] as const) {
            const options = { after, last, replay }
            const got = startOf(log, options, run)
            const want = expected(log, options, run)
            cases++
            if (JSON.stringify(got) === JSON.stringify(want)) continue
            t.same(got, want, JSON.stringify({ log, options, run }))
          }
        }
      }
    }
  }
  t.ok(cases > 10_000, `${cases} cases`)
})

const log: LogPosition = { epoch: EPOCH, head: 10, earliest: 4 }
const whole: LogPosition = { ...log, earliest: 1 }

t.test('no cursor: from the earliest, with a gap when something is trimmed', async t => {
  t.same(startOf(whole, compact), { cursor: 0, reset: undefined, gap: undefined, over: false })
  t.same(startOf(log, compact), { cursor: 3, reset: undefined, gap: { from: 1, to: 3 }, over: false })
  const emptied = { ...log, earliest: 11 }
  t.same(startOf(emptied, compact), { cursor: 10, reset: undefined, gap: { from: 1, to: 10 }, over: false })
  t.same(startOf({ epoch: EPOCH, head: 0, earliest: 1 }, compact).gap, undefined)
})

t.test('a cursor: delivery continues after it, with a gap for trimmed events', async t => {
  const at = (seq: number) => startOf(log, { ...compact, after: `5-${seq}` })
  t.match(at(10), { cursor: 10, gap: undefined, reset: undefined })
  t.match(at(4), { cursor: 4, gap: undefined })
  t.match(at(3), { cursor: 3, gap: undefined }, 'the event after it is the earliest')
  t.match(at(2), { cursor: 3, gap: { from: 3, to: 3 } })
  t.match(at(0), { cursor: 3, gap: { from: 1, to: 3 } })
  t.match(startOf(log, { after: '5-6', last: 1, replay: 'none' }), { cursor: 6 }, 'it beats all else')
})

t.test('a cursor that means nothing here: reset, then as without one', async t => {
  t.same(startOf(log, { ...compact, after: '4-9' }), {
    cursor: 3,
    reset: 'epoch',
    gap: { from: 1, to: 3 },
    over: false,
  })
  t.match(startOf(log, { ...compact, after: '5-11' }), { cursor: 3, reset: 'ahead', gap: { from: 1, to: 3 } })
  t.match(
    startOf(log, { ...compact, after: '6-99' }),
    { reset: 'epoch' },
    'of another epoch, numbers mean nothing',
  )
  t.match(startOf(log, { after: '5-11', last: 2, replay: 'compact' }), { cursor: 3 }, 'last does not apply')
  t.match(
    startOf(log, { after: '5-11', last: 2, replay: 'none' }),
    { cursor: 10, reset: 'ahead' },
    'replay does',
  )
  const run = { start: 6, end: 8 }
  t.match(
    startOf(log, { ...compact, after: '4-9' }, run),
    { cursor: 5, reset: 'epoch', over: false },
    'so does run',
  )
})

t.test(
  'a run subscription starts at the run, has gaps only within it, and ends after its terminal event',
  async t => {
    const of = (run: RunRange, options: Partial<Options> = {}) =>
      startOf(log, { ...compact, ...options }, run)
    t.match(of({ start: 6, end: 8 }), { cursor: 5, gap: undefined, over: false })
    t.match(of({ start: 2, end: 8 }), { cursor: 3, gap: { from: 2, to: 3 }, over: false })
    t.match(
      of({ start: 1, end: 3 }),
      { cursor: 3, gap: { from: 1, to: 3 }, over: true },
      'trimmed as a whole',
    )
    t.match(of({ start: 1, end: 2 }), { cursor: 2, gap: { from: 1, to: 2 }, over: true })
    t.match(of({ start: 6, end: 8 }, { after: '5-7' }), { cursor: 7, over: false })
    t.match(of({ start: 6, end: 8 }, { after: '5-8' }), { cursor: 8, over: true })
    t.match(of({ start: 6, end: 8 }, { after: '5-10' }), { cursor: 10, over: true })
    t.match(of({ start: 6, end: undefined }, { after: '5-10' }), { cursor: 10, over: false })
    t.match(of({ start: 6, end: 8 }, { replay: 'none' }), { over: true })
    t.match(of({ start: 6, end: undefined }, { replay: 'none' }), { cursor: 10, over: false })
    t.match(of({ start: 6, end: undefined }, { last: 2 }), { cursor: 8 })
  },
)

t.test('last: this many events before the head, with a gap when some of them are trimmed', async t => {
  const last = (last: number) => startOf(log, { ...compact, last })
  t.match(last(0), { cursor: 10, gap: undefined })
  t.match(last(7), { cursor: 3, gap: undefined })
  t.match(last(8), { cursor: 3, gap: { from: 3, to: 3 } })
  t.match(last(1000), { cursor: 3, gap: { from: 1, to: 3 } })
  t.match(startOf(log, { ...compact, last: 3, replay: 'none' }), { cursor: 10 })
})
