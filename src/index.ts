/**
 * Twinrail for Node: agent runs as durable sessions over SSE, WebSocket and long-poll. Agents that ship with it and the
 * logs on disk and in Redis have entries of their own (`twinrail/agents/…`, `twinrail/log/…`), so that this one loads
 * only what every server needs.
 */
export * from './agents/agent.ts'
export { playback } from './agents/playback.ts'
export type { Action, Authorize } from './auth.ts'
export type { Bus, BusOptions } from './bus/bus.ts'
export type { Journal } from './bus/journal.ts'
export type { LagLimits } from './bus/lag.ts'
export type { HoldBounds } from './bus/producer-gate.ts'
export { LogEvent } from './log/event.ts'
export type * from './log/log.ts'
export { createMemoryLog } from './log/memory.ts'
export * from './protocol/index.ts'
export { createServer, type ServerOptions, type TwinrailServer } from './server.ts'
export type { Principal } from './sessions/principal.ts'
export type { RetentionLimits } from './sessions/retention.ts'
export type { Sessions } from './sessions/sessions.ts'
export type { Tls } from './tls.ts'
