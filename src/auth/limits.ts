/** How much one principal may do at a time, so that it leaves room for others. */

/**
 * Bounds for each principal. All clients of one address may together do a multiple of them: see `perAddress` of
 * `createServer`. Principals of a server where everybody may do everything have none.
 */
export interface PrincipalLimits {
  /**
   * Commands, tickets, and sessions created, updated, deleted or listed, per second in the long run. Ingest does not
   * count. @default 100
   */
  commandsPerSecond: number
  /** How many of these may come at once after a pause. @default 500 */
  commandBurst: number
  /** Bytes of commands, ingest and other bodies per second in the long run. @default 8 MiB */
  bytesPerSecond: number
  /** How many of these may come at once after a pause. @default 64 MiB */
  burstBytes: number
  /** Open WebSockets, event streams, uploads of NDJSON and waiting long-polls. @default 500 */
  connections: number
  /** Open event streams, subscriptions of WebSockets, and waiting long-polls. @default 2000 */
  subscriptions: number
  /** Sessions that it creates per hour in the long run, and at once after a pause. @default 1000 */
  sessionsPerHour: number
  /** Sessions that it has created and that exist. @default 10,000 */
  sessions: number
  /** Runs that it has started and that have not ended. @default 200 */
  runs: number
}

export const principalDefaults: PrincipalLimits = {
  commandsPerSecond: 100,
  commandBurst: 500,
  bytesPerSecond: 8 * 1024 * 1024,
  burstBytes: 64 * 1024 * 1024,
  connections: 500,
  subscriptions: 2000,
  sessionsPerHour: 1000,
  sessions: 10_000,
  runs: 200,
}

/** Names of the limits, in `details.limit` of refusals and in metrics. */
export const limitNames = [
  'commands',
  'bytes',
  'connections',
  'subscriptions',
  'new-sessions',
  'sessions',
  'runs',
] as const
export type LimitName = (typeof limitNames)[number]

/** Whom a limit bounds. */
export type LimitOf = 'principal' | 'address'
