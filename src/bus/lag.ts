/** Lag: how far a subscriber may fall behind, and what happens then. PROTOCOL.md, "Lag policies". */

/** Bounds of a subscription's lag. */
export interface LagLimits {
  /** Events behind the head. */
  readonly events: number
  /** UTF-16 units of event JSON behind the head, the cheap measure of bytes. */
  readonly bytes: number
}

export const defaultLagLimits: LagLimits = { events: 1000, bytes: 1024 * 1024 }

/** The part of the limits at which a `wait` subscriber begins to hold producers. */
export const HIGH_MARK = 0.8

/** The part of the limits under which it lets them go. */
export const LOW_MARK = 0.3

/** How full the limits are; 1 is at the limit. */
export function fullness(limits: LagLimits, lag: LagLimits): number {
  return Math.max(lag.events / limits.events, lag.bytes / limits.bytes)
}
