/**
 * Twinrail for Node: agent runs as durable sessions over SSE, WebSocket and long-poll. Importing this entry loads no
 * package, so a file that only defines an agent starts fast; `createServer` loads the rest. The agents of the package,
 * logs, schemas and the guide have entries of their own: `twinrail/agents/…`, `twinrail/log`, `twinrail/log/…`,
 * `twinrail/protocol`, `twinrail/guide`.
 */
import type { ServerOptions, TwinrailServer } from './server.ts'

export * from './agents/agent.ts'
export { type Action, actionGroups, type Group, type Right, rights, type WorkRight } from './auth/actions.ts'
export { anyOf } from './auth/any-of.ts'
export { type ApiKey, apiKeyAuthorize } from './auth/api-keys.ts'
export type { Authorize, SessionFacts, Wanted } from './auth/authorize.ts'
export { type JwtOptions, jwtAuthorize } from './auth/jwt.ts'
export type { PrincipalLimits } from './auth/limits.ts'
export type { Bus, BusOptions } from './bus/bus.ts'
export type { Journal } from './bus/journal.ts'
export type { LagLimits } from './bus/lag.ts'
export type { OpenLimits } from './bus/open-limits.ts'
export type { HoldBounds } from './bus/producer-gate.ts'
export type { DialectName } from './dialects/names.ts'
export type { Tls } from './http/server.ts'
export type { LogEvent } from './log/event.ts'
export type * from './log/log.ts'
export {
  type ErrorCode,
  type ErrorOptions,
  errorTable,
  type Refusal,
  TwinrailError,
} from './protocol/errors.ts'
export type * from './protocol/index.ts'
export type { ServerOptions, TwinrailServer } from './server.ts'
export type { Principal } from './sessions/principal.ts'
export type { RetentionLimits } from './sessions/retention.ts'
export type { Sessions } from './sessions/sessions.ts'

/**
 * Creates a server. It does not listen yet: call `listen`, and `close` at the end. The server owns `options.log` and
 * closes it.
 * @throws Error when an option is out of range
 */
export async function createServer(options: ServerOptions = {}): Promise<TwinrailServer> {
  const server = await import('./server.ts')
  return server.createServer(options)
}
