/** The client: follow a session over any transport, send it commands. Runs in browsers and in Node alike. */
export * from './backoff.ts'
export * from './command.ts'
export * from './errors.ts'
export { type FollowOptions, follow } from './follow.ts'
export { endpoint, type Message, type Socket, type SocketConstructor, type Transport } from './rail.ts'
export type { FollowStatus } from './status.ts'
