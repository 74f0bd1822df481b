/**
 * The client of Twinrail. It follows sessions over any transport, starts runs and sends commands. It runs in browsers
 * and in Node 20.19 or newer.
 */

export {
  type AgentInfo,
  type Client,
  type ClientOptions,
  createClient,
  type TicketOptions,
} from './client.ts'
export * from './command.ts'
export * from './connection/backoff.ts'
export type { Auth, AuthResult } from './connection/credentials.ts'
export { type Connect, type FollowOptions, follow, type Streams } from './connection/follow.ts'
export { forgetVerdicts } from './connection/route.ts'
export type { FollowStatus } from './connection/status.ts'
export {
  endpoint,
  type Message,
  type Socket,
  type SocketConstructor,
  type TransportRequest,
  type TransportStream,
} from './connection/transport.ts'
export * from './errors.ts'
export type {
  Completed,
  InvalidEvent,
  RunEvent,
  Schema,
  Schemas,
  SessionEvent,
  StreamControl,
  TypedEvent,
} from './events.ts'
export {
  type Choice,
  chooseTransport,
  type Needs,
  type Reason,
  type Recommendation,
  type Transport,
} from './guide.ts'
export type { PresenceEvent, PresenceMember } from './protocol.ts'
export type { Quality, QualitySnapshot } from './quality.ts'
export { EventQueue, QUEUE_LIMIT } from './queue.ts'
export type { Run, RunOptions, Terminal } from './run.ts'
export type { AgentName, AgentTypes, AnyServer, EventTypes, ServerTypes, TypesOf } from './server-types.ts'
export type * from './session.ts'
export type * from './session-summary.ts'
