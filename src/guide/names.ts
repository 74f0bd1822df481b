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

/**
 * The id of one figure of one workload, such as `chat/deliver`. The memory of an idle connection does not depend on the
 * workload, so every workload has the same figure for it.
 */
export type EvidenceId = `${ScenarioName}/${Measure}`
