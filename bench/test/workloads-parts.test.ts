/** The parts of the workloads that need no sockets. */
import t from 'tap'
import { curve, DelayRound } from '../load/delays.ts'
import { DeliveryLog } from '../load/delivery-log.ts'
import { remaining } from '../progress.ts'
import type { CellRound } from '../workloads/cell-round.ts'
import { cellOf, countsOf, figureOf } from '../workloads/gather.ts'
import { cellsOf } from '../workloads/variants.ts'
import { clientCount, Script, type Step, sessionsOf, workloadNames } from '../workloads/workload.ts'
import { workloads } from '../workloads/workloads.ts'

t.test('a delivery log shows what is missing, doubled and out of order', async t => {
  const log = new DeliveryLog()
  const add = (from: number, seq: number, now: number) => log.add({ epoch: '1', from, seq }, now)
  add(5, 5, 1)
  log.begin(5)
  add(6, 6, 10)
  add(7, 9, 20)
  t.same([log.at(6), log.at(7), log.at(9), log.at(10)], [10, 20, 20, 0])
  add(9, 9, 30)
  t.same([log.doubled, log.outOfOrder, log.at(9)], [1, 0, 20], 'a repeat does not change the arrival')
  add(11, 11, 40)
  t.same([log.at(10), log.at(11), log.seq], [0, 40, 11], 'a hole')
  add(10, 10, 50)
  t.same([log.doubled, log.outOfOrder, log.at(10)], [1, 1, 50], 'a late event fills the hole')
  log.begin(11)
  t.same([log.doubled, log.outOfOrder, log.at(11)], [0, 0, 0], 'a new phase')
  add(11, 11, 60)
  t.equal(log.doubled, 1, 'an event of the phase before')
})

t.test('a script gives every process the same steps, however it is cut into phases', async t => {
  for (const name of workloadNames) {
    const workload = workloads[name]
    const one = new Script(workload, 3)
    const whole = new Script(workload, 3).next(900)
    const parts = [one.next(300), one.next(600)]
    t.same(parts.flat().map(stripped), whole.map(stripped), name)
    t.ok(
      whole.every(({ atMs }, i) => atMs >= (whole[i - 1]?.atMs ?? 0) && atMs < 900),
      `${name}: in order`,
    )
    const clients = clientCount(workload)
    for (const { sender, session } of whole) {
      if (sender === undefined) continue
      if (sender >= clients || !sessionsOf(workload, sender).includes(session))
        t.fail(`${name}: ${sender} does not follow the session ${session}`)
    }
  }
})

/** Without its time, which counts from the begin of its phase. */
const stripped = ({ session, number, sender, cue }: Step) => ({ session, number, sender, cue })

t.test('a script at twice the speed has the events of twice the time', async t => {
  const fast = new Script(workloads.chat, 5).next(500, 2)
  const live = new Script(workloads.chat, 5).next(1000)
  t.same(
    fast.map(({ atMs, cue }) => [atMs * 2, cue.type]),
    live.map(({ atMs, cue }) => [atMs, cue.type]),
  )
})

t.test('delays of several rounds are merged, not averaged', async t => {
  const rounds = [
    [1000, 2000, 3000],
    [100_000, 100_000, 100_000, 100_000],
  ].map(delays => {
    const round = new DelayRound()
    for (const us of delays) round.record(us)
    return round.close('merged')
  })
  t.match(rounds, [{ count: 3 }, { count: 4 }])
  t.ok(Math.abs((rounds[0]?.p50 ?? 0) - 2) < 0.01)
  const points = curve('merged')
  const half = points.find(([percentile]) => percentile >= 50)?.[1] ?? 0
  t.ok(half > 99, 'the median of seven of which four are 100 ms')
  t.ok(
    points.every(
      ([percentile, ms], i) => percentile >= (points[i - 1]?.[0] ?? 0) && ms >= (points[i - 1]?.[1] ?? 0),
    ),
  )
  t.equal(new DelayRound().close('nothing'), undefined)
  t.same(curve('nothing'), [])
})

const round = (ms: number): CellRound => {
  const percentiles = { count: 10, p50: ms, p90: ms, p99: ms, p999: ms, max: ms }
  const counts = {
    expected: 10,
    delivered: 9,
    lost: 1,
    doubled: 0,
    outOfOrder: 0,
    failedConnections: 0,
    offeredPerSecond: 10 * ms,
    achievedPerSecond: 9 * ms,
  }
  const main = {
    counts,
    lateP99Ms: ms / 10,
    busy: 0.1,
    commands: 0,
    deliver: percentiles,
    deliverFromSend: percentiles,
    currentMs: [],
  }
  return {
    firstEventMs: ms,
    main,
    cpuUserUs: ms,
    cpuSystemUs: ms,
    bytesPerEvent: ms,
    handshakeBytes: ms,
    storm: { ...main, currentMs: [ms, 2 * ms] },
    ...(ms < 3 && { kneePerSecond: 1000 * ms }),
    counts: [counts, { ...counts, doubled: 2 }],
  }
}

t.test('a cell combines its rounds: medians and quartiles, and the counts of all phases', async t => {
  const rounds = [1, 3, 2, 5, 4].map(round)
  t.same(figureOf([1, 3, 2, 5, 4]), { samples: [1, 3, 2, 5, 4], median: 3, low: 2, high: 4 })
  t.match(countsOf(rounds), { expected: 100, delivered: 90, lost: 10, doubled: 10, offeredPerSecond: 30 })
  const [plan] = cellsOf('chat', true)
  const cell = await cellOf(plan as NonNullable<typeof plan>, rounds, async name => [[0, name.length]])
  t.match(cell, {
    workload: 'chat',
    variant: 'SSE',
    deliver: { count: 50, p50: { median: 3 }, curve: [[0, 'chat|SSE|deliver'.length]] },
    kneePerSecond: { samples: [1000, 2000], median: 1500 },
    storm: {
      currentMs: { median: 6 },
      recovery: [
        [3, 0.5],
        [6, 1],
      ],
    },
  })
  t.equal(cell.uplink, undefined)
  t.equal(cell.slow, undefined)
})

t.test('the remaining time is in seconds, from 100 s on in minutes', async t => {
  t.same([4_400, 99_000, 100_000, 1_500_000].map(remaining), [
    '4 s left',
    '99 s left',
    '2 min left',
    '25 min left',
  ])
})
