/** Statistics. Pure. */

/** Median and quartiles. */
export interface Spread {
  readonly low: number
  readonly median: number
  readonly high: number
  /** Number of samples after trimming. */
  readonly samples: number
}

/** The `q` quantile, interpolated. @throws RangeError without samples */
export function quantile(samples: readonly number[], q: number): number {
  if (samples.length === 0) throw new RangeError('expected at least one sample, got none')
  const sorted = [...samples].sort((a, b) => a - b)
  const place = (sorted.length - 1) * q
  const below = sorted[Math.floor(place)] as number
  const above = sorted[Math.ceil(place)] as number
  return below + (above - below) * (place - Math.floor(place))
}

export const median = (samples: readonly number[]) => quantile(samples, 0.5)

export const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)

/** The samples in ascending order, without the given part at each end; of few samples all stay. */
export function trimmed(samples: readonly number[], part: number): number[] {
  const cut = Math.round(samples.length * part)
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted.length > 2 * cut ? sorted.slice(cut, sorted.length - cut) : sorted
}

export const quartilesOf = (samples: readonly number[]) => ({
  low: quantile(samples, 0.25),
  median: median(samples),
  high: quantile(samples, 0.75),
})

/** Median and quartiles of the samples, without 10 % at each end. */
export function spread(samples: readonly number[]): Spread {
  const kept = trimmed(samples, 0.1)
  return { ...quartilesOf(kept), samples: kept.length }
}

/** The cost of each variant in one group of turns, measured side by side. */
export type Group = Readonly<Record<string, number>>

/**
 * The ratio of two variants, made within each group, so that noise that lasts longer than a group affects both. Groups
 * that lack one of them are left out.
 */
export function ratio(groups: readonly Group[], variant: string, against: string): Spread {
  const ratios = groups.flatMap(group => {
    const [a, b] = [group[variant], group[against]]
    return a === undefined || b === undefined ? [] : [a / b]
  })
  return spread(ratios)
}

/** Slope of the least-squares line. */
export function slope(points: readonly { x: number; y: number }[]): number {
  const meanX = sum(points.map(({ x }) => x)) / points.length
  const meanY = sum(points.map(({ y }) => y)) / points.length
  const covariance = sum(points.map(({ x, y }) => (x - meanX) * (y - meanY)))
  const variance = sum(points.map(({ x }) => (x - meanX) ** 2))
  if (variance === 0) throw new RangeError('expected at least two points with different x')
  return covariance / variance
}
