/** Decides whether a run is valid. Pure. */
import type { Transport } from '../package/guide.ts'
import { type Check, figure } from '../report.ts'
import { type Found, regression, transports, workloadsOf } from './cells.ts'
import type { Cell, Delays, Figure } from './findings.ts'

/**
 * Limits of a valid run. They are for two cores that server and load share; each is as tight as a quiet machine allows, so
 * that it fails only when something is wrong.
 */
export const limits = {
  /**
   * What the load's own lateness may add to a median delay: a part of the delay, or this many ms in any case. Delays count
   * from when an event was due, so they contain the lateness; the delays from sending show how much it is. The median delay
   * on loopback is below 1 ms: a tenth of that is less than it takes to wake a thread.
   */
  lateInMedian: 0.1,
  lateInMedianMs: 0.5,
  /**
   * How late the load may be at its p99: a part of the median delay, or this many ms in any case. It sends and reads in one
   * thread, and on two cores with more than two processes it may wait for a time slice (about 3 ms), once in a hundred
   * times for two of them: quiet runs show 1 to 5 ms. More means another load on the machine. Every transport's p99
   * contains it, so compare medians.
   */
  lateOfDelay: 0.1,
  lateMs: 8,
  /** Part of its time that the load may be busy: beyond that it queues by itself. */
  busy: 0.7,
  /** Part of the offered events that must arrive in time: less means a server or a load beyond its limit. */
  achieved: 0.99,
  /** How far a server's median delay may be below the floor's, in addition to the spread: the floor does less work. */
  belowFloor: 0.1,
  /**
   * Part of the variance of memory that the line must explain. Resident memory grows in steps of some MiB; verdicts account
   * for that by the slope's standard error. Below this part the points are no line.
   */
  explained: 0.8,
  rounds: { full: 5, quick: 2 },
  /** Delays in a cell: ten must lie beyond the p90. Higher percentiles are shown only where ten lie beyond them. */
  delays: 100,
  memoryPoints: { full: 5, quick: 3 },
} as const

const nameOf = ({ workload, variant }: Cell) => `${workload}, ${variant}`

/** A check over many things, which holds when none is wrong; the detail names those that are. */
function rule<T>(
  what: string,
  all: readonly T[],
  wrong: (one: T) => string | undefined,
  none?: string,
): Check {
  const found = all.flatMap(one => wrong(one) ?? [])
  if (found.length === 0) return { what, holds: true, ...(none !== undefined && { detail: none }) }
  const more = found.length > 5 ? [`and ${found.length - 5} more`] : []
  return { what, holds: false, detail: [...found.slice(0, 5), ...more].join('; ') }
}

const largest = (cells: readonly Cell[], value: (cell: Cell) => number, unit: string) => {
  const worst = cells.reduce((worst, cell) => (value(cell) > value(worst) ? cell : worst))
  return `at most ${figure(value(worst))}${unit} (${nameOf(worst)})`
}

/** All checks of a run, with the values where one fails. The run is valid when all hold. */
export function checksOf(found: Found): Check[] {
  const { cells, settings } = found
  if (cells.length === 0)
    return [{ what: 'something was measured', holds: false, detail: 'there is no cell' }]
  return [
    ...counted(cells),
    ...generator(cells),
    floor(found),
    ...complete(found, settings.quick ? 'quick' : 'full'),
    numbers(cells),
  ]
}

/** No event is lost, doubled or out of order, no connection failed, and everything was in time. */
function counted(cells: readonly Cell[]): Check[] {
  const none = (what: string, count: (cell: Cell) => number) =>
    rule(what, cells, cell => (count(cell) === 0 ? undefined : `${nameOf(cell)}: ${count(cell)}, expected 0`))
  return [
    none('no event was lost', ({ counts }) => counts.lost),
    none('no event was doubled', ({ counts }) => counts.doubled),
    none('no event was out of order', ({ counts }) => counts.outOfOrder),
    none('no connection failed', ({ counts }) => counts.failedConnections),
    rule('every event that was expected was delivered', cells, cell => {
      const { expected, delivered } = cell.counts
      if (delivered === expected && expected > 0) return undefined
      return `${nameOf(cell)}: ${delivered} of ${expected}`
    }),
    {
      ...rule(`at least ${limits.achieved * 100} % of what was offered was done in time`, cells, cell => {
        const { offeredPerSecond: offered, achievedPerSecond: achieved } = cell.counts
        if (achieved >= limits.achieved * offered) return undefined
        return `${nameOf(cell)}: ${figure(achieved)} of ${figure(offered)} events/s`
      }),
      ofMachine: true,
    },
  ]
}

/** The lower median: a load that cannot keep up is late in most rounds, a hiccup of the host is in one. */
function inMostRounds(samples: readonly number[]): number {
  const rising = [...samples].sort((a, b) => a - b)
  return rising[Math.floor((rising.length - 1) / 2)] ?? Number.NaN
}

/** The load was able to send in time. */
function generator(cells: readonly Cell[]): Check[] {
  const busy = (cell: Cell) => cell.generator.busy.median * 100
  const late = (cell: Cell) => inMostRounds(cell.generator.lateP99Ms.samples)
  const mayBeLate = ({ deliver }: Cell) => Math.max(limits.lateMs, limits.lateOfDelay * deliver.p50.median)
  const added = ({ deliver, deliverFromSend }: Cell) =>
    inMostRounds(deliver.p50.samples.map((ms, round) => ms - (deliverFromSend.p50.samples[round] ?? ms)))
  const mayAdd = ({ deliver }: Cell) =>
    Math.max(limits.lateInMedianMs, limits.lateInMedian * deliver.p50.median)
  const atMost = (value: (cell: Cell) => number, limit: (cell: Cell) => number) => (cell: Cell) =>
    value(cell) <= limit(cell)
      ? undefined
      : `${nameOf(cell)}: ${figure(value(cell))} ms, expected at most ${figure(limit(cell))} ms`
  const checks = [
    rule(
      `the load was in time at its p99: late by at most ${limits.lateOfDelay * 100} % of the median delay, or ${limits.lateMs} ms`,
      cells,
      atMost(late, mayBeLate),
      largest(cells, late, ' ms'),
    ),
    rule(
      `what the load was late is at most ${limits.lateInMedian * 100} % of the median delay, or ${limits.lateInMedianMs} ms`,
      cells,
      atMost(added, mayAdd),
      largest(cells, added, ' ms'),
    ),
    rule(
      `the load was busy for at most ${limits.busy * 100} % of its time`,
      cells,
      cell => (busy(cell) <= limits.busy * 100 ? undefined : `${nameOf(cell)}: ${figure(busy(cell))} %`),
      largest(cells, busy, ' %'),
    ),
  ]
  return checks.map(check => ({ ...check, ofMachine: true as const }))
}

/** The floor only writes: a server that is faster was not measured by the same clock. */
function floor({ cells, variants }: Found): Check {
  const variantOf = (name: string) => variants.find(variant => variant.name === name)
  const isFloor = ({ variant }: Cell) => variantOf(variant)?.server === 'floor'
  return rule('nothing was faster than the floor of bare sockets', cells, cell => {
    const below = cells.find(
      other =>
        isFloor(other) &&
        other.workload === cell.workload &&
        variantOf(other.variant)?.transport === variantOf(cell.variant)?.transport,
    )
    if (!below || isFloor(cell)) return undefined
    const [got, least] = [cell.deliver.p50, below.deliver.p50]
    const noise = Math.max(got.high - got.low, least.high - least.low) + limits.belowFloor * least.median
    if (got.median >= least.median - noise) return undefined
    return `${nameOf(cell)}: p50 ${figure(got.median)} ms, the floor's ${figure(least.median)} ms`
  })
}

/** Rounds, delays, counts and cells as the method requires. */
function complete(found: Found, size: 'full' | 'quick'): Check[] {
  const { cells, memory, leftOut, variants } = found
  const rounds = limits.rounds[size]
  const ofOurs = (transport: Transport) =>
    variants.filter(one => one.server === 'twinrail' && one.transport === transport).map(({ name }) => name)
  const wanted = workloadsOf(found).flatMap(workload =>
    transports.map(transport => ({ workload, transport })),
  )
  return [
    rule(`at least ${rounds} rounds`, cells, cell => {
      const fewest = Math.min(...figuresOf(cell).map(({ samples }) => samples.length))
      return fewest >= rounds ? undefined : `${nameOf(cell)}: ${fewest}`
    }),
    rule(`at least ${limits.delays} delays in each cell`, cells, cell =>
      cell.deliver.count >= limits.delays ? undefined : `${nameOf(cell)}: ${cell.deliver.count}`,
    ),
    rule('each workload was run on SSE, WebSocket and long-poll', wanted, ({ workload, transport }) => {
      const known = [...cells, ...leftOut].some(
        one => one.workload === workload && ofOurs(transport).includes(one.variant),
      )
      return known ? undefined : `${workload}: nothing of ${transport}, and no reason why`
    }),
    rule('each variant was run, or a reason is given', variants, ({ name }) => {
      const known = [...cells, ...leftOut, ...memory].some(({ variant }) => variant === name)
      return known ? undefined : name
    }),
    rule(
      `memory is a line through at least ${limits.memoryPoints[size]} counts of connections`,
      memory,
      one => {
        if (one.points.length < limits.memoryPoints[size])
          return `${one.variant}: ${one.points.length} counts`
        const { slope, explained } = regression(one)
        if (slope > 0 && explained >= limits.explained) return undefined
        return `${one.variant}: ${figure(slope)} KiB a connection, ${figure(100 * explained)} % explained`
      },
    ),
  ]
}

const figuresOf = ({ firstEventMs, deliver, cpuUserUs, cpuSystemUs, bytesPerEvent }: Cell): Figure[] => [
  firstEventMs,
  deliver.p50,
  deliver.p99,
  cpuUserUs,
  cpuSystemUs,
  bytesPerEvent,
]

/** Percentiles rise and no figure is negative: otherwise clocks were mixed up. */
function numbers(cells: readonly Cell[]): Check {
  const rises = ({ p50, p90, p99, p999, max }: Delays) =>
    [p50, p90, p99, p999, max].every(({ median }, i, all) => median >= (all[i - 1]?.median ?? 0))
  return rule('every figure is a number from 0 on, and percentiles rise', cells, cell => {
    const { deliver, uplink, slow } = cell
    const bad = figuresOf(cell).some(({ median }) => !(Number.isFinite(median) && median >= 0))
    if (bad) return `${nameOf(cell)}: a figure is missing or below 0`
    const falls = [deliver, uplink, slow?.healthy].some(delays => delays && !rises(delays))
    return falls ? `${nameOf(cell)}: a higher percentile is lower` : undefined
  })
}

/** One line about a run: `valid`, or why it is not. A run is too slow only when nothing else is wrong with it. */
export function validityLine(checks: readonly Check[]): string {
  const failed = checks.filter(({ holds }) => !holds)
  if (failed.length === 0) return 'valid'
  const wrong = failed.filter(({ ofMachine }) => !ofMachine)
  return wrong.length === 0
    ? `invalid: machine too slow (${failed.map(({ what }) => what).join('; ')})`
    : `invalid: failed checks: ${wrong.map(({ what }) => what).join('; ')}`
}
