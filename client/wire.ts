/**
 * The few values of the protocol that a client needs: its bundle takes types from the schemas, not the schemas.
 * test/client/wire.test.ts holds them to the protocol.
 */
import type { TerminalType } from '../src/protocol/events.ts'
import type { Position } from '../src/protocol/ids.ts'

const OFFSET = /^([1-9]\d{0,15})-(0|[1-9]\d{0,15})$/

/** Takes a well-formed offset apart; `undefined` when it is malformed. */
export function parseOffset(offset: string): Position | undefined {
  const parts = OFFSET.exec(offset)
  return parts ? { epoch: Number(parts[1]), seq: Number(parts[2]) } : undefined
}

/** Whether an event of this type ends its run. */
export function isTerminal(type: string): type is TerminalType {
  return type === 'run.completed' || type === 'run.failed' || type === 'run.cancelled'
}

/** For the types whose neighbours fold: the field of `data` that names the part they belong to. */
export const deltaParts: Readonly<Record<string, 'partId' | 'toolCallId' | 'artifactId'>> = {
  'text.delta': 'partId',
  'reasoning.delta': 'partId',
  'tool.delta': 'toolCallId',
  'artifact.delta': 'artifactId',
}
