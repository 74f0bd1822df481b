/** Twinrail for Node: agent runs as durable sessions over SSE, WebSocket and long-poll. */
export * from './agents/agent.ts'
export type { Action, Authorize } from './auth.ts'
export type { AppendConditions, Appended, EventLog } from './log/log.ts'
export { createMemoryLog } from './log/memory.ts'
export * from './protocol/index.ts'
export { createServer, type ServerOptions, type TwinrailServer } from './server.ts'
export type { Principal } from './sessions/principal.ts'
