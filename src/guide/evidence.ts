/** The figures that the benchmark measured, and sentences about them. */
import {
  CITED_ROUND_TRIP_MS,
  type EvidenceId,
  type Measure,
  measures,
  type NetworkMeasure,
  networkMeasures,
  type Transport,
} from './names.ts'

/** The result of several rounds: the median and the quartiles. */
export interface Range {
  /** The median of the rounds. */
  readonly median: number
  /** The lower quartile. */
  readonly low: number
  /** The upper quartile. */
  readonly high: number
}

/** One measured figure, with the result of each transport that was measured. */
export type Figure = { readonly unit: string } & { readonly [T in Transport]?: Range | undefined }

/** The figures of one run of the benchmark: of its workloads, or of its imitated network. */
export interface Measured {
  /** The day of the run, `YYYY-MM-DD`; empty before the first run. */
  readonly date: string
  /** Processor, cores, system and runtime, in one line. */
  readonly machine: string
  /** The figures by id; figures that were not measured are absent. */
  readonly figures: { readonly [I in EvidenceId]?: Figure | undefined }
}

/** A measured figure with a sentence about it. */
export interface Evidence {
  /** The workload, or `networks`, and the measure. */
  id: EvidenceId
  /** The figure in words, for people. */
  text: string
  /** The figure, for each transport that was measured. */
  figure: Figure
}

/**
 * Whether two results differ by more than the spread, which is the sum of both interquartile ranges. With five rounds of
 * the same variant this finds a difference by mistake once in twenty times; the wider range alone would once in seven.
 */
export function isDifference(one: Range, other: Range): boolean {
  const spread = one.high - one.low + other.high - other.low
  return Math.abs(one.median - other.median) > spread
}

/** The figures with these ids, in this order and each once. Figures that were not measured are left out. */
export function evidenceFor(ids: readonly EvidenceId[], { figures }: Measured): Evidence[] {
  return [...new Set(ids)].flatMap(id => {
    const figure = figures[id]
    return figure ? [{ id, text: sentence(id, figure), figure }] : []
  })
}

/** The names of the transports in sentences. */
export const transportNames = { sse: 'SSE', websocket: 'WebSocket', 'long-poll': 'long-poll' } as const

function sentence(id: EvidenceId, figure: Figure): string {
  const [workload, measure] = id.split('/') as [string, Measure | NetworkMeasure]
  const what =
    workload === 'networks'
      ? `${CITED_ROUND_TRIP_MS} ms round trip, TLS: ${networkMeasures[measure as NetworkMeasure]}`
      : `${workload}: ${measures[measure as Measure]}`
  const values = (Object.keys(transportNames) as Transport[]).flatMap(transport => {
    const range = figure[transport]
    return range ? [`${short(range.median)} ${figure.unit} over ${transportNames[transport]}`] : []
  })
  return `${what} ${values.join(', ')}${comparison(figure)}`
}

/** The comparison of SSE and WebSocket; empty unless both were measured. */
function comparison({ sse, websocket }: Figure): string {
  if (!sse || !websocket) return ''
  if (!isDifference(sse, websocket)) return ': no difference beyond the spread'
  const [less, more] = sse.median < websocket.median ? ['SSE', 'WebSocket'] : ['WebSocket', 'SSE']
  const [small, large] = [sse.median, websocket.median].sort((a, b) => a - b) as [number, number]
  return `: ${less} ${Math.round((1 - small / large) * 100)} % less than ${more}`
}

/** A number with two or three significant digits. */
function short(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(2 + Number(value >= 10))))
}
