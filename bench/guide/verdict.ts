/** What the figures say of each scenario, beside what the guide and the teaching text say. Pure. */
import {
  evidenceFor,
  isDifference,
  type Measure,
  type Measured,
  measures,
  type Range,
  recommend,
  type Scenario,
  type ScenarioName,
  scenarioNames,
  scenarios,
  type Transport,
} from '../../src/guide/index.ts'
import { workloads } from '../workloads/workloads.ts'
import { type Found, transportNames, units } from './cells.ts'
import { measuredOf } from './figures.ts'

/** A difference beyond the spread is told; one of this part of the larger figure is clear. */
export const CLEAR = 0.2

/** A clear difference counts for a transport; of delays, one of so many ms: any network hides less. */
export const COUNTS_MS = 1

/** Where more is better; of all else less is. */
const moreIsBetter: ReadonlySet<Measure> = new Set(['knee'])

type Pair = 'sse' | 'websocket'

/** One measure on both transports, and long-poll as control. */
export interface Comparison {
  readonly measure: Measure
  readonly unit: string
  readonly ranges: { readonly [T in Transport]?: Range | undefined }
  /** The better of SSE and WebSocket; `neither` when they do not differ beyond the spread; nothing when one is missing. */
  readonly better?: Pair | 'neither'
  /** The difference is clear. */
  readonly clear: boolean
  /** It is also large enough to speak for a transport. */
  readonly counts: boolean
  /** `no difference`, `WebSocket 12 % less`, `not measured`. */
  readonly text: string
  /** A client's connections that the figures are of. @default one */
  readonly connections?: number
}

/** A reason of the teaching text that can be put to the test. */
export interface Trial {
  readonly claim: string
  /** Undefined when it was not measured. */
  readonly holds: boolean | undefined
  /** The difference is clear, but too small to count. */
  readonly hardly?: boolean
  /** The figures in a sentence. */
  readonly figures: string
}

export interface Verdict {
  readonly name: ScenarioName
  readonly scenario: Scenario
  /** What was measured: first what matters most for the scenario. */
  readonly comparisons: readonly Comparison[]
  /** For which of the two more of the scenario's own measures speak. */
  readonly speaksFor: Pair | 'neither'
  readonly guide: Transport
  /** Why the guide takes it. */
  readonly because: readonly string[]
  /** The figures do not speak for the other transport than the guide takes. */
  readonly guideAgrees: boolean
  /** The same of the teaching text; nothing where it says nothing. */
  readonly teachingAgrees?: boolean
  readonly trials: readonly Trial[]
  readonly wasMeasured: boolean
  /** Why nothing is concluded from the figures, where that is so. */
  readonly notJudged?: string
}

/** Compares one measure. A difference smaller than the spread is called no difference. */
export function compare(measure: Measure, ranges: Comparison['ranges']): Comparison {
  const base = { measure, unit: units[measure], ranges }
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

/** For whom more of the measures speak. */
export function speaksFor(comparisons: readonly Comparison[]): Verdict['speaksFor'] {
  const votes = (pair: Pair) => comparisons.filter(({ better, counts }) => counts && better === pair).length
  const [sse, websocket] = [votes('sse'), votes('websocket')]
  return sse === websocket ? 'neither' : sse > websocket ? 'sse' : 'websocket'
}

/** What is there to be tried of the teaching text's reasons. */
interface Claim {
  readonly claim: string
  readonly measure: Measure
  /** Where the figure has to be less; `neither`: nowhere. */
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

/** Where the workload is not what the guide's choice is about. */
const notJudged: Partial<Record<ScenarioName, string>> = {
  buffered:
    'nginx does not hold these streams back, even as it comes, since they ask it not to; the figures say what it costs. What a proxy that holds responses back leaves of SSE was not measured',
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
 * What a client's connections hold that follows many sessions: SSE and long-poll take one for each, WebSocket one for all.
 * All else was measured per client.
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
 * @param connections that a client of the workload needs over SSE @default 1
 */
export function verdictOf(name: ScenarioName, measured: Measured, connections = 1): Verdict {
  const scenario = scenarios[name]
  const others = (Object.keys(measures) as Measure[]).filter(measure => !scenario.measures.includes(measure))
  const comparisons = [...scenario.measures, ...others].flatMap(measure => {
    const { unit: _, ...ranges } = measured.figures[`${name}/${measure}`] ?? { unit: '' }
    return Object.keys(ranges).length > 0 ? [ofAll(compare(measure, ranges), connections)] : []
  })
  const reason = notJudged[name]
  const own = comparisons.filter(({ measure }) => scenario.measures.includes(measure))
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
    ...(scenario.teaching && { teachingAgrees: agrees(scenario.teaching.transport) }),
    trials: (claims[name] ?? []).map(claim => trial(name, claim, measured)),
    // The memory of an idle connection is no workload's own.
    wasMeasured: comparisons.some(({ measure }) => measure !== 'memory'),
    ...(reason !== undefined && { notJudged: reason }),
  }
}

/** The verdicts on all scenarios, in the guide's order. */
export function verdicts(found: Found): Verdict[] {
  const measured = measuredOf(found)
  return scenarioNames.map(name => {
    const { followsAll, sessions } = workloads[name]
    return verdictOf(name, measured, followsAll ? sessions : 1)
  })
}
