/** Groups of event types. Without zod, so that the client's bundle can use it. PROTOCOL.md, "Events". */
import type { KnownType } from './events.ts'

/** The types of terminal events. Every run has exactly one, and no event of the run follows it. */
export const terminalTypes = ['run.completed', 'run.failed', 'run.cancelled'] as const satisfies KnownType[]
/** The type of a terminal event. */
export type TerminalType = (typeof terminalTypes)[number]

/** Whether an event of this type ends its run. */
export function isTerminal(type: string): type is TerminalType {
  return type === 'run.completed' || type === 'run.failed' || type === 'run.cancelled'
}

/** Types that only commands make, or a change of the session itself. Agents and producers must not send them. */
export const commandOnlyTypes: ReadonlySet<string> = new Set<KnownType>([
  'session.updated',
  'run.cancel-requested',
  'input.answered',
  'input.steered',
])

/** The types of deltas, which fold with their neighbours. The value is the field of `data` with the id of the part. */
export const deltaParts: Readonly<Record<string, 'partId' | 'toolCallId' | 'artifactId'>> = {
  'text.delta': 'partId',
  'reasoning.delta': 'partId',
  'tool.delta': 'toolCallId',
  'artifact.delta': 'artifactId',
} satisfies Partial<Record<KnownType, 'partId' | 'toolCallId' | 'artifactId'>>
