/** Combines rounds: medians and quartiles over the rounds, and their merged delays. */
import type { Cell, Counts, Delays, Figure } from '../guide/findings.ts'
import type { PhaseCounts } from '../load/count-deliveries.ts'
import type { Percentiles } from '../load/delays.ts'
import { median, quartilesOf, sum } from '../stats.ts'
import type { CellRound } from './cell-round.ts'
import type { CellPlan } from './variants.ts'

/** The merged delays of all rounds under a name. */
export type Curves = (name: string) => Promise<[number, number][]>

export const figureOf = (samples: readonly number[]): Figure => ({ samples, ...quartilesOf(samples) })

/** The counts of all phases; the rates are those of the main phases. */
export function countsOf(rounds: readonly CellRound[]): Counts {
  const all = rounds.flatMap(({ counts }) => counts)
  const total = (of: keyof PhaseCounts) => sum(all.map(counts => counts[of]))
  const live = (of: keyof PhaseCounts) => median(rounds.map(({ main }) => main.counts[of]))
  return {
    expected: total('expected'),
    delivered: total('delivered'),
    lost: total('lost'),
    doubled: total('doubled'),
    outOfOrder: total('outOfOrder'),
    failedConnections: total('failedConnections'),
    offeredPerSecond: live('offeredPerSecond'),
    achievedPerSecond: live('achievedPerSecond'),
  }
}

async function delaysOf(
  rounds: readonly (Percentiles | undefined)[],
  name: string,
  curves: Curves,
): Promise<Delays> {
  const known = rounds.filter(round => round !== undefined)
  const over = (of: keyof Percentiles) => figureOf(known.map(round => round[of]))
  return {
    count: sum(known.map(({ count }) => count)),
    p50: over('p50'),
    p90: over('p90'),
    p99: over('p99'),
    p999: over('p999'),
    max: over('max'),
    curve: await curves(name),
  }
}

/** Combines the rounds of a cell. @throws RangeError without rounds */
export async function cellOf(
  { workload, variant }: CellPlan,
  rounds: readonly CellRound[],
  curves: Curves,
): Promise<Cell> {
  const over = (of: (round: CellRound) => number) => figureOf(rounds.map(of))
  /** Over the rounds in which it was measured; undefined if in none. */
  const optional = (of: (round: CellRound) => number | undefined) => {
    const samples = rounds.map(of).filter(value => value !== undefined)
    return samples.length > 0 ? figureOf(samples) : undefined
  }
  const delays = (name: string, of: (round: CellRound) => Percentiles | undefined) =>
    delaysOf(rounds.map(of), `${workload}|${variant.name}|${name}`, curves)
  const knee = optional(({ kneePerSecond }) => kneePerSecond)
  const commandBytes = optional(round => round.commandBytes)
  const heldMiB = optional(round => round.slow?.heldMiB)
  const currentMs = optional(round => round.storm?.currentMs.at(-1))
  const p50Ms = optional(round => round.autocannon?.p50Ms)
  const p99Ms = optional(round => round.autocannon?.p99Ms)
  const perSecond = optional(round => round.autocannon?.perSecond)
  const hasUplink = rounds.some(({ main }) => main.uplink !== undefined)
  return {
    workload,
    variant: variant.name,
    firstEventMs: over(round => round.firstEventMs),
    deliver: await delays('deliver', ({ main }) => main.deliver),
    deliverFromSend: await delays('deliverFromSend', ({ main }) => main.deliverFromSend),
    ...(hasUplink && { uplink: await delays('uplink', ({ main }) => main.uplink) }),
    ...(commandBytes && { commandBytes }),
    ...(p50Ms && p99Ms && perSecond && { autocannon: { p50Ms, p99Ms, perSecond } }),
    ...(knee && { kneePerSecond: knee }),
    cpuUserUs: over(round => round.cpuUserUs),
    cpuSystemUs: over(round => round.cpuSystemUs),
    bytesPerEvent: over(round => round.bytesPerEvent),
    handshakeBytes: over(round => round.handshakeBytes),
    ...(heldMiB && {
      slow: { healthy: await delays('slow|deliver', ({ slow }) => slow?.result.deliver), heldMiB },
    }),
    ...(currentMs && { storm: { currentMs, recovery: recoveryOf(rounds, currentMs.median) } }),
    counts: countsOf(rounds),
    generator: { lateP99Ms: over(({ main }) => main.lateP99Ms), busy: over(({ main }) => main.busy) },
  }
}

/** The part of the clients that are current over time, of the round that is nearest to the median. */
function recoveryOf(rounds: readonly CellRound[], medianMs: number): [number, number][] {
  const all = rounds.flatMap(({ storm }) => (storm ? [storm.currentMs] : []))
  const away = (currentMs: readonly number[]) => Math.abs((currentMs.at(-1) ?? 0) - medianMs)
  const [typical = []] = [...all].sort((a, b) => away(a) - away(b))
  return typical.map((ms, index) => [ms, (index + 1) / typical.length])
}
