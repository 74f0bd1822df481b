/** The names that the guide's parts share: transports, scenarios and measures. */

export type Transport = 'sse' | 'websocket' | 'long-poll'

/** What people build; each name is also that of a benchmark's workload. */
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
export type ScenarioName = (typeof scenarioNames)[number]

/** What can be measured of a workload, and how it is called in a sentence. */
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
export type Measure = keyof typeof measures

/**
 * One figure of one workload, such as `chat/deliver`. The memory of an idle connection depends on no workload: the same
 * figure stands under each.
 */
export type EvidenceId = `${ScenarioName}/${Measure}`
