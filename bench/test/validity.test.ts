import t from 'tap'
import { regression } from '../guide/cells.ts'
import type { Cell, Counts } from '../guide/findings.ts'
import { checksOf, limits } from '../guide/validity.ts'
import { type Found, figureOf, makeFound, withCell } from './fixtures/findings.ts'

const found = makeFound()

const failed = (found: Found) => checksOf(found).filter(({ holds }) => !holds)

const changed = (change: (cell: Cell) => Cell, variant = 'SSE') => withCell(found, 'chat', variant, change)

const counting = (counts: Partial<Counts>) =>
  changed(cell => ({ ...cell, counts: { ...cell.counts, ...counts } }))

const constant = (value: number) => figureOf([value, value, value, value, value])

t.test('a run without faults is valid', async t => {
  t.same(failed(found), [])
  t.same(failed(makeFound({ quick: true })), [])
  t.same(failed(makeFound({ workloads: ['game'] })), [], 'also one workload alone')
  t.ok(checksOf(found).length >= 10)
})

const faults: [string, Found, RegExp, RegExp][] = [
  ['one event lost', counting({ lost: 1, delivered: 59_999 }), /lost/, /chat, SSE: 1, expected 0/],
  ['one event doubled', counting({ doubled: 1 }), /doubled/, /chat, SSE: 1/],
  ['one event out of order', counting({ outOfOrder: 1 }), /out of order/, /chat, SSE: 1/],
  ['a connection refused', counting({ failedConnections: 1 }), /no connection failed/, /chat, SSE: 1/],
  ['nothing expected', counting({ expected: 0, delivered: 0 }), /every event/, /0 of 0/],
  [
    'less done than offered',
    counting({ offeredPerSecond: 1000, achievedPerSecond: 989 }),
    /at least 99 %/,
    /chat, SSE: 989 of 1000 events\/s/,
  ],
  [
    'a load that was late',
    changed(cell => ({ ...cell, generator: { ...cell.generator, lateP99Ms: constant(30) } })),
    /in time/,
    /chat, SSE: 30\.0 ms, expected at most 8/,
  ],
  [
    'a load whose lateness is in the figures',
    changed(cell => ({ ...cell, deliverFromSend: { ...cell.deliver, p50: constant(0.3) } })),
    /what the load was late/,
    /chat, SSE: 0\.6\d ms, expected at most 0\.50 ms/,
  ],
  [
    'a load that was busy',
    changed(cell => ({ ...cell, generator: { ...cell.generator, busy: constant(0.71) } })),
    /busy/,
    /chat, SSE: 71\.0 %/,
  ],
  [
    'a server that is faster than bare sockets',
    changed(cell => ({ ...cell, deliver: { ...cell.deliver, p50: constant(0.1) } })),
    /floor/,
    /chat, SSE: p50 0\.10 ms, the floor's 0\.5/,
  ],
  [
    'too few rounds',
    changed(cell => ({ ...cell, cpuUserUs: figureOf([8, 8, 8, 8]) })),
    /at least 5 rounds/,
    /chat, SSE: 4/,
  ],
  [
    'too few delays',
    changed(cell => ({ ...cell, deliver: { ...cell.deliver, count: 99 } })),
    /at least 100 delays/,
    /chat, SSE: 99/,
  ],
  [
    'a workload that was not run on a transport',
    { ...found, cells: found.cells.filter(cell => cell.workload !== 'game' || cell.variant !== 'WebSocket') },
    /each workload/,
    /game: nothing of websocket/,
  ],
  [
    'a variant that was not run at all',
    { ...found, cells: found.cells.filter(({ variant }) => variant !== 'floor SSE') },
    /each variant/,
    /floor SSE/,
  ],
  [
    'memory that does not grow in a line',
    {
      ...found,
      memory: found.memory.map((one, i) =>
        i === 0
          ? { ...one, points: one.points.map((point, j) => ({ ...point, bytes: (j % 2) * 1e6 })) }
          : one,
      ),
    },
    /memory/,
    /SSE: .* KiB a connection, .* % explained/,
  ],
  [
    'a figure that is none',
    changed(cell => ({
      ...cell,
      bytesPerEvent: { samples: [1, 1, 1, 1, 1], median: Number.NaN, low: 1, high: 1 },
    })),
    /is a number/,
    /chat, SSE/,
  ],
  [
    'percentiles that fall',
    changed(cell => ({ ...cell, deliver: { ...cell.deliver, p99: constant(0.5) } })),
    /percentiles rise/,
    /chat, SSE: a higher percentile is lower/,
  ],
  ['nothing at all', { ...found, cells: [] }, /something was measured/, /no cell/],
]

for (const [name, wrong, what, detail] of faults) {
  t.test(`${name}: invalid`, async t => {
    const [check, ...others] = failed(wrong)
    t.same(
      others.map(({ what }) => what),
      name === 'one event lost' ? ['every event that was expected was delivered'] : [],
      'one rule finds it',
    )
    t.match(check?.what, what)
    t.match(check?.detail, detail)
  })
}

t.test('a run at the limits is valid', async t => {
  const { median } = changed(cell => cell).cells[0]?.deliver.p50 ?? { median: 0 }
  t.ok(median * limits.lateOfDelay < limits.lateMs, 'on a loopback it is the ms that count')
  const late = (ms: number) =>
    failed(changed(cell => ({ ...cell, generator: { ...cell.generator, lateP99Ms: constant(ms) } }))).length
  t.equal(late(limits.lateMs), 0)
  t.equal(late(limits.lateMs + 0.01), 1)
  t.equal(failed(counting({ offeredPerSecond: 1000, achievedPerSecond: 990 })).length, 0)
  const slow = changed(cell => ({
    ...cell,
    deliver: {
      ...cell.deliver,
      ...{
        p50: constant(100),
        p90: constant(200),
        p99: constant(300),
        p999: constant(400),
        max: constant(500),
      },
    },
    deliverFromSend: { ...cell.deliverFromSend, p50: constant(90) },
    generator: { ...cell.generator, lateP99Ms: constant(10) },
  }))
  t.same(failed(slow), [], 'a tenth of a long delay is allowed')
})

t.test('a delay below the floor within the noise is accepted', async t => {
  const floor = found.cells.find(({ variant }) => variant === 'floor SSE') as Cell
  const near = constant(floor.deliver.p50.median * 0.95)
  t.same(failed(changed(cell => ({ ...cell, deliver: { ...cell.deliver, p50: near } }))), [])
})

t.test('a cell that was left out for a reason is not missing', async t => {
  const without = {
    ...found,
    cells: found.cells.filter(cell => cell.workload !== 'game' || cell.variant !== 'long-poll'),
    leftOut: [
      ...found.leftOut,
      { workload: 'game', variant: 'long-poll', why: 'No time.', impossible: false },
    ],
  }
  t.same(failed(without), [])
})

t.test('of many faults five are listed and the others counted', async t => {
  const all = {
    ...found,
    cells: found.cells.map(cell => ({ ...cell, counts: { ...cell.counts, doubled: 2 } })),
  }
  const [check] = failed(all)
  t.match(check?.detail, /; and \d+ more$/)
  t.equal(check?.detail?.split('; ').length, 6)
})

t.test('a regression has a slope, its standard error and the explained part', async t => {
  const points = [0, 1000, 2000].map(connections => ({ connections, bytes: 1e8 + connections * 10_240 }))
  const line = regression({ variant: 'SSE', points, kibPerConnection: 10 })
  t.ok(Math.abs(line.slope - 10) < 1e-9)
  t.ok(line.error < 1e-6)
  t.ok(line.explained > 0.999)
  const flat = points.map(point => ({ ...point, bytes: 1e8 }))
  t.equal(regression({ variant: 'SSE', points: flat, kibPerConnection: 0 }).explained, 0)
  t.match(regression({ variant: 'SSE', points: flat.slice(0, 1), kibPerConnection: 0 }), {
    slope: Number.NaN,
  })
})
