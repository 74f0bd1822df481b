/**
 * What the client takes from the protocol: types, and the few values that a page needs. The bundle has no schemas in it;
 * test/client/protocol.test.ts compares the values below with the schemas.
 */
import type { TerminalType } from '../src/protocol/events.ts'
import type { Position } from '../src/protocol/ids.ts'

export type { OnNoViewers, SessionCommand } from '../src/protocol/commands.ts'
export type { Control, ControlOf } from '../src/protocol/controls.ts'
export { type ErrorCode, errorTable } from '../src/protocol/errors.ts'
export type { EphemeralEvent, EventOf, TerminalType, TwinrailEvent } from '../src/protocol/events.ts'
export type { Position } from '../src/protocol/ids.ts'
export { FOLD_BYTES, HEARTBEAT_MS, WAIT_MS } from '../src/protocol/limits.ts'
export type { SubscriptionOptions } from '../src/protocol/subscription.ts'
export { type Cancel, startTimer } from '../src/protocol/timers.ts'

const OFFSET = /^([1-9]\d{0,15})-(0|[1-9]\d{0,15})$/

/** Parses an offset; `undefined` when it is malformed. */
export function parseOffset(offset: string): Position | undefined {
  const parts = OFFSET.exec(offset)
  return parts ? { epoch: Number(parts[1]), seq: Number(parts[2]) } : undefined
}

/** Whether an event of this type ends its run. */
export function isTerminal(type: string): type is TerminalType {
  return type === 'run.completed' || type === 'run.failed' || type === 'run.cancelled'
}

/** The event types that fold, each with the field of `data` that names the part it belongs to. */
export const deltaParts: Readonly<Record<string, 'partId' | 'toolCallId' | 'artifactId'>> = {
  'text.delta': 'partId',
  'reasoning.delta': 'partId',
  'tool.delta': 'toolCallId',
  'artifact.delta': 'artifactId',
}
