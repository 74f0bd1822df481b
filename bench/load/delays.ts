/** Delays of many rounds: each round's percentiles, and all rounds merged. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** Of one round, ms. */
export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** An HdrHistogram from 1 ns to 60 s with three digits, Node's own. */
const histogram = () => createHistogram({ lowest: 1, highest: 60e9, figures: 3 })

const merged = new Map<string, RecordableHistogram>()

/** The delays of one round. */
export class DelayRound {
  readonly #round = histogram()

  /** @param us delay in µs; negative values count as 0 */
  record(us: number): void {
    this.#round.record(Math.min(60e9, Math.max(1, Math.round(us * 1000))))
  }

  /** Merges the round into its name. @returns the round's percentiles; undefined without a delay */
  close(name: string): Percentiles | undefined {
    const round = this.#round
    if (round.count === 0) return undefined
    const all = merged.get(name) ?? histogram()
    all.add(round)
    merged.set(name, all)
    const at = (percentile: number) => round.percentile(percentile) / 1e6
    return { count: round.count, p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: round.max / 1e6 }
  }

  /** Delay at a percentile, ms; 0 without delays. */
  percentile = (percentile: number) =>
    this.#round.count === 0 ? 0 : this.#round.percentile(percentile) / 1e6

  /** Forgets all delays. */
  reset(): void {
    this.#round.reset()
  }
}

/** The merged rounds of a name: `[percentile, ms]`, percentiles rising from 0 to 100. */
export function curve(name: string): [number, number][] {
  const points = [...(merged.get(name)?.percentiles ?? [])] as [number, number][]
  return points.map(([percentile, ns]) => [percentile, ns / 1e6])
}
