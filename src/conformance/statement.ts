/** A statement of PROTOCOL.md, and how it is checked. */
import type { Channel } from './channels.ts'
import type { Check } from './check.ts'

export interface Statement {
  /** PROTOCOL.md has it at the anchor `c<number>`. A number is never used for another statement. */
  readonly number: number
  /** What it says, in a sentence. */
  readonly says: string
  readonly on: readonly Channel[]
  /** @throws Error that says what was expected and what came */
  check(check: Check): Promise<void>
}

export function statement(
  number: number,
  says: string,
  on: readonly Channel[],
  check: Statement['check'],
): Statement {
  return { number, says, on, check }
}
