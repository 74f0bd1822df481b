/** A statement of PROTOCOL.md, and how it is checked. */
import type { Check } from './check.ts'

/** What a statement is checked on: a transport of events, or plain requests. */
export const channels = ['sse', 'websocket', 'long-poll', 'http'] as const
export type Channel = (typeof channels)[number]

export interface Statement {
  /** PROTOCOL.md has it at the anchor `c<number>`. */
  readonly number: number
  /** What it says, in a sentence. */
  readonly says: string
  readonly on: readonly Channel[]
  /** @throws Error that says what was expected and what came */
  check(check: Check): Promise<void>
}

/** Streams that push, and pages. */
export const everywhere = ['sse', 'websocket', 'long-poll'] as const satisfies Channel[]
export const pushed = ['sse', 'websocket'] as const satisfies Channel[]
/** Where commands are sent. */
export const commanded = ['http', 'websocket'] as const satisfies Channel[]

export function statement(
  number: number,
  says: string,
  on: readonly Channel[],
  check: Statement['check'],
): Statement {
  return { number, says, on, check }
}
