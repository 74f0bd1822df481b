/** The order of sessions by their last activity, newest first. All drivers keep it by these rules. */
import type { Place, SessionInfo } from './log.ts'

/**
 * A session moves to the front of the order when it grows and its last move is at least this long ago, in ms. So an answer
 * of many events costs one move per second.
 */
export const ACTIVITY_MS = 1000

/** Whether a session that grows at `now` moves to the front. */
export function moves(activeAt: number, now: number): boolean {
  return now - activeAt >= ACTIVITY_MS
}

/** A number that is smaller the newer the activity is, and never negative. */
export function rankOf({ activeAt }: Pick<Place, 'activeAt'>): number {
  return Number.MAX_SAFE_INTEGER - activeAt
}

/** A text for each place; in the order of the texts the newest activity comes first. */
export function placeKey(place: Place): string {
  return `${String(rankOf(place)).padStart(16, '0')} ${place.sessionId}`
}

/** The id of the session at a {@link placeKey}. */
export function idOfPlaceKey(key: string): string {
  return key.slice(17)
}

/** The place of a session in the order. */
export function placeOf({ activeAt, sessionId }: SessionInfo): Place {
  return { activeAt, sessionId }
}

/** The text of a place as `next` of a page of sessions has it. */
export const PLACE = /^(\d{1,15})-([A-Za-z0-9][A-Za-z0-9._:-]{0,127})$/

export function formatPlace({ activeAt, sessionId }: Place): string {
  return `${activeAt}-${sessionId}`
}

/** The place that a text of the form {@link PLACE} names. */
export function parsePlace(text: string): Place {
  const [, activeAt, sessionId = ''] = PLACE.exec(text) ?? []
  return { activeAt: Number(activeAt), sessionId }
}
