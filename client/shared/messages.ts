/** What tabs tell each other over BroadcastChannels. */

import type { Start } from '../connection/transport.ts'
import { ClientError } from '../errors.ts'
import type { Transport } from '../guide.ts'

/** What a tab wants to follow. Tabs whose wishes differ only in their cursors share a feed. */
export interface Wish {
  transport: Transport
  sessionId: string
  start: Start
}

/** What a feed tells one of its readers. */
export type FeedPart =
  /** It reads. `isFirst`: the feed was opened at its cursor; otherwise it gets what comes from now on. */
  | { type: 'attached'; isFirst: boolean }
  /** Messages as JSON, in order. */
  | { type: 'messages'; texts: string[] }
  /** It gets no more: it read too slowly, or the leader changed. It goes on at its own cursor. */
  | { type: 'detached' }
  /** The connection ended. */
  | { type: 'ended'; error?: PlainError }
  | { type: 'retry'; ms: number }
  | { type: 'clock'; sentAt: number; serverTime: number }
  | { type: 'buffering' }

/** Messages of one tab to another. `from` is the sender, `id` its or the receiver's reader. */
export type TabMessage =
  | { type: 'attach'; from: string; id: number; wish: Wish }
  /** It has taken messages of so many characters. */
  | { type: 'taken'; from: string; id: number; chars: number }
  | { type: 'detach'; from: string; id: number }
  | { type: 'ping'; from: string }
  | { type: 'pong'; from: string }
  | { type: 'part'; from: string; id: number; part: FeedPart }

/** Messages to all tabs. */
export type CommonMessage = { type: 'who' } | { type: 'leader'; id: string; since: number }

interface PlainError {
  code: string
  message: string
  retryable: boolean
  retryAfterMs: number | undefined
  details: Record<string, unknown> | undefined
}

/** An error as it can be sent: structured clones of errors lose their fields. */
export function plainError(error: unknown): PlainError {
  if (!(error instanceof ClientError)) {
    return plainError(new ClientError('connection-lost', `Another tab failed: ${String(error)}`))
  }
  const { code, message, retryable, retryAfterMs, details } = error
  return { code, message, retryable, retryAfterMs, details }
}

export function errorOfPlain({ code, message, ...rest }: PlainError): ClientError {
  return new ClientError(code, message, rest)
}
