/**
 * The part of the protocol that the client uses. Only types come from files with zod schemas, so that no schema is
 * bundled into pages. The build compiles these files of `src/protocol/` into the client's own package.
 */
export type { OnNoViewers, SessionCommand } from '../src/protocol/commands.ts'
export type { Control, ControlOf } from '../src/protocol/controls.ts'
export { type ErrorCode, errorTable } from '../src/protocol/errors.ts'
export { deltaParts, isTerminal, type TerminalType } from '../src/protocol/event-kinds.ts'
export type {
  EphemeralEvent,
  EventOf,
  PresenceEvent,
  PresenceMember,
  TwinrailEvent,
} from '../src/protocol/events.ts'
export { FOLD_BYTES, HEARTBEAT_MS, WAIT_MS } from '../src/protocol/limits.ts'
export { type Position, parseOffset } from '../src/protocol/offsets.ts'
export type { SubscriptionOptions } from '../src/protocol/subscription.ts'
export { halfAtEnd } from '../src/protocol/text.ts'
export { type Cancel, startInterval, startTimer } from '../src/protocol/timers.ts'
