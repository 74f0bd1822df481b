/** Looks up measurements by workload, transport and measure. Pure. */
import type { Measure, Range, ScenarioName, Transport } from '../package/guide.ts'
import { quartilesOf, slope, sum } from '../stats.ts'
import type { Cell, Delays, Figure, Findings, Memory, Variant } from './findings.ts'

/** The results of a run without the checks. */
export type Found = Omit<Findings, 'checks' | 'valid'>

export const transports = ['sse', 'websocket', 'long-poll'] as const satisfies Transport[]

export const transportNames = { sse: 'SSE', websocket: 'WebSocket', 'long-poll': 'long-poll' } as const

export const units: Readonly<Record<Measure, string>> = {
  firstEvent: 'ms',
  deliver: 'ms',
  uplink: 'ms',
  knee: 'events/s',
  cpu: 'µs',
  bytes: 'B',
  handshake: 'B',
  memory: 'KiB',
  slow: 'ms',
  storm: 'ms',
}

export const cellOf = ({ cells }: Found, workload: string, variant: string): Cell | undefined =>
  cells.find(cell => cell.workload === workload && cell.variant === variant)

export const workloadsOf = ({ cells }: Found): string[] => [...new Set(cells.map(({ workload }) => workload))]

/** Our server over plain HTTP/1.1 on that path. */
export const isPlain = (
  { server, http, tls, compressed, path }: Variant,
  wanted: Variant['path'] = 'direct',
) => server === 'twinrail' && http === '1.1' && !tls && !compressed && path === wanted

/**
 * The variant that represents a transport in a workload: our server without TLS and compression; direct, except in
 * `buffered`, where it is behind nginx as documented.
 */
export function variantOf({ variants }: Found, workload: string, transport: Transport): Variant | undefined {
  const path = workload === 'buffered' ? 'nginx as documented' : 'direct'
  return variants.find(variant => variant.transport === transport && isPlain(variant, path))
}

/**
 * The least-squares line through the points: slope and its standard error in KiB per connection, and the explained part of
 * the variance. NaN when there is no line.
 */
export function regression({ points }: Memory): { slope: number; error: number; explained: number } {
  const line = points.map(({ connections, bytes }) => ({ x: connections, y: bytes / 1024 }))
  const mean = (values: readonly number[]) => sum(values) / values.length
  const [meanX, meanY] = [mean(line.map(({ x }) => x)), mean(line.map(({ y }) => y))]
  const inX = sum(line.map(({ x }) => (x - meanX) ** 2))
  if (!(inX > 0)) return { slope: Number.NaN, error: Number.NaN, explained: 0 }
  const perConnection = slope(line)
  const off = sum(line.map(({ x, y }) => (y - meanY - perConnection * (x - meanX)) ** 2))
  const inY = sum(line.map(({ y }) => (y - meanY) ** 2))
  return {
    slope: perConnection,
    error: line.length > 2 ? Math.sqrt(off / (line.length - 2) / inX) : Number.POSITIVE_INFINITY,
    explained: inY === 0 ? 0 : 1 - off / inY,
  }
}

/** Sum of user and system time, by round. */
export function cpu({ cpuUserUs, cpuSystemUs }: Cell): Range {
  const samples = cpuUserUs.samples.map((user, round) => user + (cpuSystemUs.samples[round] ?? Number.NaN))
  return quartilesOf(samples)
}

const rangeOf = ({ median, low, high }: Range): Range => ({ median, low, high })

/** A percentile is shown when at least ten delays lie beyond it. */
export const isShown = ({ count }: Delays, percentile: number) => count * (1 - percentile / 100) >= 10

/** The percentile; undefined when too few delays lie beyond it. */
const shown = (delays: Delays | undefined, percentile: number, figure: 'p50' | 'p99'): Figure | undefined =>
  delays && isShown(delays, percentile) ? delays[figure] : undefined

/** A measure of a cell. Memory does not belong to a cell. */
function inCell(cell: Cell, measure: Exclude<Measure, 'memory'>): Range | undefined {
  switch (measure) {
    case 'firstEvent':
      return cell.firstEventMs
    case 'deliver':
      return shown(cell.deliver, 50, 'p50')
    case 'uplink':
      return shown(cell.uplink, 50, 'p50')
    case 'knee':
      // A single sample has no spread to compare by.
      return (cell.kneePerSecond?.samples.length ?? 0) > 1 ? cell.kneePerSecond : undefined
    case 'cpu':
      return cpu(cell)
    case 'bytes':
      return cell.bytesPerEvent
    case 'handshake':
      return cell.handshakeBytes
    case 'slow':
      return shown(cell.slow?.healthy, 99, 'p99')
    case 'storm':
      return cell.storm?.currentMs
  }
}

/** A measure with its spread; for memory, one standard error to both sides. */
export function measured(
  found: Found,
  workload: ScenarioName,
  transport: Transport,
  measure: Measure,
): Range | undefined {
  if (measure === 'memory') {
    const variant = found.variants.find(variant => variant.transport === transport && isPlain(variant))
    const memory = found.memory.find(memory => memory.variant === variant?.name)
    if (!memory || memory.points.length < 3) return undefined
    const { slope: median, error } = regression(memory)
    return { median, low: median - error, high: median + error }
  }
  const variant = variantOf(found, workload, transport)
  const cell = variant && cellOf(found, workload, variant.name)
  const range = cell && inCell(cell, measure)
  return range && Number.isFinite(range.median) ? rangeOf(range) : undefined
}
