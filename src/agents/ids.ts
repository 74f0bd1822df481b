/** Ids of the protocol from text of any form. */
import { createHash } from 'node:crypto'
import { Id } from '../protocol/index.ts'

/** The text itself where the protocol takes it as an id, else its hash: equal texts give equal ids. */
export function safeId(text: string): string {
  if (Id.safeParse(text).success) return text
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
