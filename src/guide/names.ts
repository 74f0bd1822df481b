/** Names that the parts of the guide share: transports, scenarios and measures. */

/** The transports of the protocol. */
export type Transport = 'sse' | 'websocket' | 'long-poll'

/** Typical applications. Each has a workload of the same name in the benchmark. */
export const scenarioNames = [
  'chat',
  'editing',
  'training',
  'game',
  'documents',
  'dashboards',
  'mobile',
  'buffered',
  'binary',
  'approvals',
] as const
/** The name of a typical application. */
export type ScenarioName = (typeof scenarioNames)[number]

/** The measures of a workload, with their names in sentences. */
export const measures = {
  firstEvent: 'connect → first event',
  deliver: 'publish → receive p50',
  uplink: 'command → answer p50',
  knee: 'events delivered a second, at the most',
  cpu: 'server CPU per delivered event',
  bytes: 'bytes on the wire per delivered event',
  handshake: 'bytes until subscribed',
  memory: 'server memory per idle connection',
  slow: 'publish → receive p99 beside slow readers',
  storm: 'all connections cut → all clients current',
} as const
/** The name of a measure. */
export type Measure = keyof typeof measures

/** Round trip of the imitated network whose figures are cited, ms. */
export const CITED_ROUND_TRIP_MS = 60

/**
 * What was measured through that network, with TLS, with their names in sentences. SSE is over HTTP/2 there, as browsers
 * choose it, where the name says nothing else.
 */
export const networkMeasures = {
  cold: 'connect → first event',
  resumed: 'connect again → missed events there',
  firstCommand: 'first command → answer',
  laterCommand: 'later command → answer',
  separateCommand: 'SSE over HTTP/1.1: first command → answer',
  others: 'SSE on ten connections: slowest event of nine sessions while a tenth waits for a lost packet',
} as const
/** The name of a measure that needs a network. */
export type NetworkMeasure = keyof typeof networkMeasures

/** The name of a measure in sentences. */
export const measureName = (measure: Measure | NetworkMeasure): string =>
  measure in networkMeasures
    ? `${networkMeasures[measure as NetworkMeasure]}, ${CITED_ROUND_TRIP_MS} ms round trip and TLS`
    : measures[measure as Measure]

/**
 * The id of one figure: of a workload, such as `chat/deliver`, or of the imitated network, such as `networks/cold`. The
 * memory of an idle connection does not depend on the workload, so every workload has the same figure for it.
 */
export type EvidenceId = `${ScenarioName}/${Measure}` | `networks/${NetworkMeasure}`
