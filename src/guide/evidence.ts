/** What the benchmark measured, and how to say it. */
import { type EvidenceId, type Measure, measures, type ScenarioName, type Transport } from './names.ts'

/** What several rounds gave: the median, and the quartiles around it. */
export interface Range {
  readonly median: number
  readonly low: number
  readonly high: number
}

export type Figure = { readonly unit: string } & { readonly [T in Transport]?: Range | undefined }

/** What one run of the benchmark measured. */
export interface Measured {
  /** The day of the run, `YYYY-MM-DD`; empty before the first. */
  readonly date: string
  /** Processor, cores, system and runtime, in a line. */
  readonly machine: string
  readonly figures: { readonly [I in EvidenceId]?: Figure | undefined }
}

/** A figure that was measured, with the sentence that says it. */
export interface Evidence {
  id: EvidenceId
  text: string
  figure: Figure
}

/**
 * A difference smaller than the spread, both ranges together, is no difference. Of five rounds each of the same thing
 * that is wrong once in twenty; the wider range alone would be wrong once in seven.
 */
export function isDifference(one: Range, other: Range): boolean {
  const spread = one.high - one.low + other.high - other.low
  return Math.abs(one.median - other.median) > spread
}

/** Puts ids into words, in their order and each once; leaves out what was not measured. */
export function evidenceFor(ids: readonly EvidenceId[], { figures }: Measured): Evidence[] {
  return [...new Set(ids)].flatMap(id => {
    const figure = figures[id]
    return figure ? [{ id, text: sentence(id, figure), figure }] : []
  })
}

/** Transports as they stand in a sentence. */
export const transportNames = { sse: 'SSE', websocket: 'WebSocket', 'long-poll': 'long-poll' } as const

function sentence(id: EvidenceId, figure: Figure): string {
  const [workload, measure] = id.split('/') as [ScenarioName, Measure]
  const values = (Object.keys(transportNames) as Transport[]).flatMap(transport => {
    const range = figure[transport]
    return range ? [`${short(range.median)} ${figure.unit} over ${transportNames[transport]}`] : []
  })
  return `${workload}: ${measures[measure]} ${values.join(', ')}${comparison(figure)}`
}

/** How SSE and WebSocket compare, where both were measured. */
function comparison({ sse, websocket }: Figure): string {
  if (!sse || !websocket) return ''
  if (!isDifference(sse, websocket)) return ': no difference beyond the spread'
  const [less, more] = sse.median < websocket.median ? ['SSE', 'WebSocket'] : ['WebSocket', 'SSE']
  const [small, large] = [sse.median, websocket.median].sort((a, b) => a - b) as [number, number]
  return `: ${less} ${Math.round((1 - small / large) * 100)} % less than ${more}`
}

/** A number with about three digits that mean something. */
function short(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(2 + Number(value >= 10))))
}
