/** The parts of the workloads' harness that need no sockets. */
import t from 'tap'
import { curve, DelayRound } from '../../bench/load/delays.ts'
import { Finder } from '../../bench/load/finder.ts'
import { Track } from '../../bench/load/track.ts'
import { remaining } from '../../bench/progress.ts'
import type { CellRound } from '../../bench/workloads/cell-round.ts'
import { cellOf, countsOf, figureOf } from '../../bench/workloads/gather.ts'
import { cellsOf } from '../../bench/workloads/variants.ts'
import { clientCount, Script, type Step, sessionsOf, workloadNames } from '../../bench/workloads/workload.ts'
import { workloads } from '../../bench/workloads/workloads.ts'

const event = (seq: number, from?: number) =>
  JSON.stringify({
    offset: `1763812345678-${seq}`,
    sessionId: 'chat-1',
    runId: 'r1',
    type: 'text.delta',
    time: 1,
    ...(from !== undefined && { from: `1763812345678-${from}` }),
    data: { partId: 'p', delta: 'so {"offset":"1-9" it goes ' },
  })

const ephemeral = (n: number) =>
  JSON.stringify({
    sessionId: 'chat-1',
    type: 'x.cursor',
    time: 1,
    by: 'me',
    ephemeral: true,
    data: { n, at: { x: 1 } },
  })

/** What a finder says of the text when it comes in pieces of this size, each in a buffer that is used again. */
function find(text: string, size: number): string[] {
  const said: string[] = []
  const finder = new Finder({
    onEvent: (sessionId, epoch, seq, from) => said.push(`${sessionId} ${epoch} ${from}-${seq}`),
    onEphemeral: number => said.push(`ephemeral ${number}`),
    onControl: (type, text) => said.push(`${type} ${text.length}`),
  })
  const bytes = Buffer.from(text)
  const reused = Buffer.alloc(size)
  for (let at = 0; at < bytes.length; at += size) {
    finder.push(reused.subarray(0, bytes.copy(reused, 0, at, at + size)))
  }
  return said
}

t.test('the finder sees events, ephemeral ones and control messages, cut anywhere', async t => {
  const ack = '{"type":"ack","id":"c1","offset":"1763812345678-3"}'
  const text = `event: hello\ndata: {"type":"hello","limits":{"a":1}}\n\nid: 1\ndata: ${event(1)}\n\n${event(3, 2)}\n${ephemeral(12)}\n${ack}\n\n`
  const whole = find(text, text.length)
  t.same(whole, [
    'hello 32',
    'chat-1 1763812345678 1-1',
    'chat-1 1763812345678 2-3',
    'ephemeral 12',
    `ack ${ack.length}`,
  ])
  for (let size = 1; size < text.length; size++) {
    if (find(text, size).join() !== whole.join()) t.fail(`pieces of ${size}: ${find(text, size).join()}`)
  }
})

t.test('a track tells what is missing, doubled and out of order', async t => {
  const track = new Track()
  track.take('1', 5, 5, 1)
  track.mark(5)
  track.take('1', 6, 6, 10)
  track.take('1', 7, 9, 20)
  t.same([track.at(6), track.at(7), track.at(9), track.at(10)], [10, 20, 20, 0])
  track.take('1', 9, 9, 30)
  t.same([track.doubled, track.outOfOrder, track.at(9)], [1, 0, 20], 'a repeat does not count as its arrival')
  track.take('1', 11, 11, 40)
  t.same([track.at(10), track.at(11), track.seq], [0, 40, 11], 'a hole')
  track.take('1', 10, 10, 50)
  t.same([track.doubled, track.outOfOrder, track.at(10)], [1, 1, 50], 'what comes late fills it')
  track.mark(11)
  t.same([track.doubled, track.outOfOrder, track.at(11)], [0, 0, 0], 'a new phase')
  track.take('1', 11, 11, 60)
  t.equal(track.doubled, 1, 'an event of the phase before')
})

t.test('a script is the same in every process, however it is cut in phases', async t => {
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

t.test('delays are merged over rounds, never averaged', async t => {
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

t.test('rounds are put together: medians and quartiles, counts of all phases', async t => {
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

t.test('what is left is said as people say it', async t => {
  t.same([4_400, 99_000, 100_000, 1_500_000].map(remaining), [
    '4 s left',
    '99 s left',
    '2 min left',
    '25 min left',
  ])
})
