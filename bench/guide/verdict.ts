/** Compares the figures of each scenario with the guide and the tutorial. Pure. */
import {
  type EvidenceId,
  evidenceFor,
  isDifference,
  type Measure,
  type Measured,
  measures,
  type NetworkMeasure,
  type Range,
  recommend,
  type Scenario,
  type ScenarioName,
  scenarioNames,
  scenarios,
  type Transport,
} from '../package/guide.ts'
import { workloads } from '../workloads/workloads.ts'
import { type Found, transportNames, units } from './cells.ts'
import { measuredOf } from './figures.ts'

/** A difference beyond the spread is reported; from this part of the larger figure on it is clear. */
export const CLEAR = 0.2

/** A clear difference counts for a transport; for delays only from this many ms on, since any network hides less. */
export const COUNTS_MS = 1

/** Measures where more is better. */
const moreIsBetter: ReadonlySet<Measure | NetworkMeasure> = new Set(['knee'])

type Pair = 'sse' | 'websocket'

/** One measure on both transports, and long-poll as control. */
export interface Comparison {
  readonly measure: Measure | NetworkMeasure
  readonly unit: string
  readonly ranges: { readonly [T in Transport]?: Range | undefined }
  /** The better of SSE and WebSocket; `neither` within the spread; undefined when one is missing. */
  readonly better?: Pair | 'neither'
  /** The difference is at least `CLEAR`. */
  readonly clear: boolean
  /** The difference is large enough to count for a transport. */
  readonly counts: boolean
  /** `no difference`, `WebSocket 12 % less`, `not measured`. */
  readonly text: string
  /** Number of a client's connections that the figures are for. @default 1 */
  readonly connections?: number
}

/** A reason of the tutorial that can be tested. */
export interface Trial {
  readonly claim: string
  /** Undefined when it was not measured. */
  readonly holds: boolean | undefined
  /** The difference is clear but too small to count. */
  readonly hardly?: boolean
  /** The figures in a sentence. */
  readonly figures: string
}

export interface Verdict {
  readonly name: ScenarioName
  readonly scenario: Scenario
  /** What was measured, the scenario's own measures first. */
  readonly comparisons: readonly Comparison[]
  /** The transport with more votes of the scenario's own measures. */
  readonly speaksFor: Pair | 'neither'
  readonly guide: Transport
  /** The guide's reasons. */
  readonly because: readonly string[]
  /** The figures do not favour the other transport. */
  readonly guideAgrees: boolean
  /** The same for the tutorial; absent where it recommends nothing. */
  readonly tutorialAgrees?: boolean
  readonly trials: readonly Trial[]
  readonly wasMeasured: boolean
  /** Why the figures are not judged. */
  readonly notJudged?: string
}

/** The measures that matter for a scenario: of its workload, and of the imitated network. */
export const ownMeasures = ({ measures, networkMeasures = [] }: Scenario): (Measure | NetworkMeasure)[] => [
  ...measures,
  ...networkMeasures,
]

/** Compares one measure. */
export function compare(measure: Comparison['measure'], ranges: Comparison['ranges']): Comparison {
  const unit = measure in measures ? units[measure as Measure] : 'ms'
  const base = { measure, unit, ranges }
  const { sse, websocket } = ranges
  if (!sse || !websocket) return { ...base, clear: false, counts: false, text: 'not measured on both' }
  if (!isDifference(sse, websocket))
    return { ...base, better: 'neither', clear: false, counts: false, text: 'no difference' }
  const less: Pair = sse.median < websocket.median ? 'sse' : 'websocket'
  const other: Pair = less === 'sse' ? 'websocket' : 'sse'
  const [small, large] = [ranges[less]?.median ?? 0, ranges[other]?.median ?? 0]
  const part = 1 - small / large
  const clear = large - small >= CLEAR * large
  return {
    ...base,
    better: moreIsBetter.has(measure) ? other : less,
    clear,
    counts: clear && (base.unit !== 'ms' || large - small >= COUNTS_MS),
    text: `${transportNames[less]} ${Math.round(part * 100) || '< 1'} % less`,
  }
}

/** The transport with more votes. */
export function speaksFor(comparisons: readonly Comparison[]): Verdict['speaksFor'] {
  const votes = (pair: Pair) => comparisons.filter(({ better, counts }) => counts && better === pair).length
  const [sse, websocket] = [votes('sse'), votes('websocket')]
  return sse === websocket ? 'neither' : sse > websocket ? 'sse' : 'websocket'
}

/** A claim of the tutorial that a measure can test. */
interface Claim {
  readonly claim: string
  readonly measure: Measure
  /** The transport that must have the lower figure; `neither`: none may. */
  readonly less: Pair | 'neither'
}

const claims: Partial<Record<ScenarioName, readonly Claim[]>> = {
  chat: [{ claim: 'SSE brings tokens as soon as WebSocket', measure: 'deliver', less: 'neither' }],
  editing: [{ claim: 'WebSocket takes edits sooner', measure: 'uplink', less: 'websocket' }],
  training: [{ claim: 'SSE brings metrics as soon as WebSocket', measure: 'deliver', less: 'neither' }],
  game: [
    { claim: 'WebSocket brings events sooner', measure: 'deliver', less: 'websocket' },
    { claim: 'WebSocket takes moves sooner', measure: 'uplink', less: 'websocket' },
  ],
  documents: [{ claim: 'SSE brings progress as soon as WebSocket', measure: 'deliver', less: 'neither' }],
}

/** Scenarios whose workload does not test the guide's choice. */
const notJudged: Partial<Record<ScenarioName, string>> = {
  buffered:
    'nginx does not buffer these streams, even with its defaults, since their headers ask it not to; the figures show what nginx costs. A proxy that does buffer was not measured',
}

function trial(name: ScenarioName, { claim, measure, less }: Claim, measured: Measured): Trial {
  const figure = measured.figures[`${name}/${measure}`]
  const [evidence] = evidenceFor([`${name}/${measure}`], measured)
  const { better, clear, counts } = compare(measure, figure ?? {})
  if (better === undefined || !evidence) return { claim, holds: undefined, figures: 'not measured' }
  const holds = less === 'neither' ? !(clear && better === 'websocket') : clear && better === less
  return { claim, holds, hardly: clear && !counts, figures: evidence.text }
}

/**
 * Memory of a client that follows many sessions: SSE and long-poll need a connection for each, WebSocket one for all. All
 * other measures are per client already.
 */
function ofAll(comparison: Comparison, connections: number): Comparison {
  const { measure, ranges } = comparison
  if (connections === 1 || measure !== 'memory') return comparison
  const times = (range: Range | undefined) =>
    range && {
      median: range.median * connections,
      low: range.low * connections,
      high: range.high * connections,
    }
  const all = { ...ranges, sse: times(ranges.sse), 'long-poll': times(ranges['long-poll']) }
  return { ...compare(measure, all), connections }
}

/**
 * The verdict on one scenario.
 * @param connections that a client of the workload needs over SSE. @default 1
 */
export function verdictOf(name: ScenarioName, measured: Measured, connections = 1): Verdict {
  const scenario = scenarios[name]
  const others = (Object.keys(measures) as Measure[]).filter(measure => !scenario.measures.includes(measure))
  const compared = (measure: Measure | NetworkMeasure, id: EvidenceId) => {
    const { unit: _, ...ranges } = measured.figures[id] ?? { unit: '' }
    return Object.keys(ranges).length > 0 ? [ofAll(compare(measure, ranges), connections)] : []
  }
  const { networkMeasures = [] } = scenario
  const ofWorkload = (list: readonly Measure[]) =>
    list.flatMap(measure => compared(measure, `${name}/${measure}`))
  const comparisons = [
    ...ofWorkload(scenario.measures),
    ...networkMeasures.flatMap(measure => compared(measure, `networks/${measure}`)),
    ...ofWorkload(others),
  ]
  const reason = notJudged[name]
  const own = comparisons.filter(({ measure }) => ownMeasures(scenario).includes(measure))
  const figures = reason === undefined ? speaksFor(own) : 'neither'
  const agrees = (transport: Transport) => figures === 'neither' || figures === transport
  const { transport, because } = recommend(name)
  return {
    name,
    scenario,
    comparisons,
    speaksFor: figures,
    guide: transport,
    because: because.map(({ text }) => text),
    guideAgrees: agrees(transport),
    ...(scenario.teaching && { tutorialAgrees: agrees(scenario.teaching.transport) }),
    trials: (claims[name] ?? []).map(claim => trial(name, claim, measured)),
    // Memory of an idle connection does not belong to a workload, nor do the figures of the network.
    wasMeasured: comparisons.some(({ measure }) => measure !== 'memory' && measure in measures),
    ...(reason !== undefined && { notJudged: reason }),
  }
}

/**
 * The verdicts on all scenarios, in the guide's order.
 * @param networks the figures of the imitated network
 */
export function verdicts(found: Found, networks: Measured): Verdict[] {
  const own = measuredOf(found)
  const measured = { ...own, figures: { ...own.figures, ...networks.figures } }
  return scenarioNames.map(name => {
    const { followsAll, sessions } = workloads[name]
    return verdictOf(name, measured, followsAll ? sessions : 1)
  })
}
