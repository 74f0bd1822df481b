/** Ids of parts and tool calls from text of any form. */
import { createHash } from 'node:crypto'
import { ProviderId } from '../protocol/index.ts'

/** The text itself where the protocol takes it as a {@link ProviderId}, else its hash: equal texts give equal ids. */
export function safeId(text: string): string {
  if (ProviderId.safeParse(text).success) return text
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
