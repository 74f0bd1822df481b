/** How late the messages of one connection were, and whether something held them back. */
import type { Published } from './session.ts'
import type { Heard, Sighting } from './sighting.ts'
import { median } from './time.ts'

/** A message that is later than this, beside a round trip, was held back. */
const LATE_MS = 1000

/** So much later than by another transport, and something waits for more before it sends what it has. */
const DELAYED_MS = 100

/** Messages that were stamped at least so far apart must not come together. */
const APART_MS = 200

export interface Delivery {
  medianMs: number
  worstMs: number
  /** `lumps`: messages that were sent one by one came several at a time. */
  how: 'live' | 'late' | 'lumps'
}

/**
 * How far the server's clock is ahead of this machine's, to half a round trip: an event was stamped between its sending
 * and its answer. When no event came at all the quickest message is taken for immediate.
 */
export function clockAhead(published: readonly Published[], wires: readonly Sighting[]): number {
  const heard = wires.flatMap(({ heard }) => heard)
  const stamps = new Map(heard.map(({ offset, stampedAt }) => [offset, stampedAt]))
  const ahead = published.flatMap(({ offset, sentAt, ackedAt }) => {
    const stampedAt = stamps.get(offset)
    return stampedAt === undefined ? [] : [stampedAt - (sentAt + ackedAt) / 2]
  })
  if (ahead.length > 0) return median(ahead)
  return heard.length > 0 ? Math.max(...heard.map(({ stampedAt, arrivedAt }) => stampedAt - arrivedAt)) : 0
}

/** `undefined` when nothing came. */
export function deliveryOf(
  heard: readonly Heard[],
  clockAheadMs: number,
  roundTripMs: number,
): Delivery | undefined {
  if (heard.length === 0) return undefined
  const lateMs = heard.map(({ stampedAt, arrivedAt }) => Math.max(0, arrivedAt - stampedAt + clockAheadMs))
  const worstMs = Math.max(...lateMs)
  const how = worstMs > LATE_MS + roundTripMs ? 'late' : inLumps(heard) ? 'lumps' : 'live'
  return { medianMs: median(lateMs), worstMs, how }
}

/** Whether every message comes late although the way is shorter, as the other transports show. */
export function isDelayed({ medianMs }: Delivery, others: readonly (Delivery | undefined)[]): boolean {
  const best = Math.min(...others.flatMap(other => other?.medianMs ?? []))
  return medianMs - best > DELAYED_MS
}

/** One pair that comes together may be chance; half of them is not. */
function inLumps(heard: readonly Heard[]): boolean {
  const pairs = heard.slice(1).flatMap((next, i) => {
    const before = heard[i]!
    const stamped = next.stampedAt - before.stampedAt
    return stamped < APART_MS ? [] : [next.arrivedAt - before.arrivedAt < stamped / 4]
  })
  const together = pairs.filter(Boolean).length
  return together >= 2 && together >= pairs.length / 2
}
