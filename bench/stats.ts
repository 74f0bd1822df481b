/** Figures from samples. Pure. */

/** A value and how it is spread: the quartiles of what was measured, in the order low, median, high. */
export interface Spread {
  readonly low: number
  readonly median: number
  readonly high: number
  /** How many samples it was made of, after trimming. */
  readonly samples: number
}

/** The value that a part `q` of the samples is at or below, interpolated. @throws RangeError without samples */
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

/** The samples in ascending order without the given part at each end; from few samples none are taken. */
export function trimmed(samples: readonly number[], part: number): number[] {
  const cut = Math.round(samples.length * part)
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted.length > 2 * cut ? sorted.slice(cut, sorted.length - cut) : sorted
}

/** Median and quartiles of the samples without the 10 % at each end. */
export function spread(samples: readonly number[]): Spread {
  const kept = trimmed(samples, 0.1)
  return {
    low: quantile(kept, 0.25),
    median: median(kept),
    high: quantile(kept, 0.75),
    samples: kept.length,
  }
}

/** What each variant cost in one group of turns, measured side by side. */
export type Group = Readonly<Record<string, number>>

/**
 * How a variant compares with another: their ratio in each group, so that noise that lasts longer than a group hits
 * both. Groups that lack one of them are left out.
 */
export function ratio(groups: readonly Group[], variant: string, against: string): Spread {
  const ratios = groups.flatMap(group => {
    const [a, b] = [group[variant], group[against]]
    return a === undefined || b === undefined ? [] : [a / b]
  })
  return spread(ratios)
}

/** The slope of the straight line through the points with the least squares. */
export function slope(points: readonly { x: number; y: number }[]): number {
  const meanX = sum(points.map(({ x }) => x)) / points.length
  const meanY = sum(points.map(({ y }) => y)) / points.length
  const covariance = sum(points.map(({ x, y }) => (x - meanX) * (y - meanY)))
  const variance = sum(points.map(({ x }) => (x - meanX) ** 2))
  if (variance === 0) throw new RangeError('expected at least two points with different x')
  return covariance / variance
}
