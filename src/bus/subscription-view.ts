/** What an operator sees of a subscription. */
import type { z } from 'zod'
import type { LagPolicy, Replay } from '../protocol/index.ts'

/** The connection that a subscription writes to. */
export interface SubscribingConnection {
  /** The `connectionId` of its `hello`, where it has one. */
  readonly id: string
  readonly transport: string
  /** The id of the principal whose connection it is. */
  readonly principal: string
  /** Bytes that this process has buffered for its socket. */
  readonly waitingBytes: number
}

/**
 * How a subscription gets its events.
 *
 * - `opening`: it has sent nothing yet.
 * - `live`: it has everything; its live group serves it.
 * - `catching-up`: it reads the log, page by page.
 * - `folded`: it was live, fell behind, and gets folded pages until it is live again.
 * - `paused`: it waits for credit: the client has not consumed what its window holds.
 * - `stalled`: it waits for the socket: the client, or its network, does not take what was written.
 * - `waiting`: a long-poll that waits for news.
 */
export const deliveryStates = [
  'opening',
  'live',
  'catching-up',
  'folded',
  'paused',
  'stalled',
  'waiting',
] as const
export type DeliveryState = (typeof deliveryStates)[number]

/** One subscription at one moment. */
export interface SubscriptionView {
  /** Unique in this process. Later subscriptions have greater ones. */
  readonly number: number
  readonly connection: SubscribingConnection
  /** When it was made, in ms since 1970. */
  readonly since: number
  /** The run that it follows; the whole session without one. */
  readonly run: string | undefined
  readonly lag: z.output<typeof LagPolicy>
  readonly replay: z.output<typeof Replay>
  /** The offset of the last event that was written to the connection. */
  readonly cursor: string
  /** Events between the cursor and the head. */
  readonly lagEvents: number
  /** UTF-16 units of event JSON between them, the cheap measure of bytes; 0 until it has caught up once. */
  readonly lagBytes: number
  readonly state: DeliveryState
}

let last = 0

/** The number of a subscription that is made now. */
export function nextNumber(): number {
  last += 1
  return last
}
