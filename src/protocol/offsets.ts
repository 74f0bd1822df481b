/**
 * Offsets as text and as numbers. Without zod, so that the client's bundle can use it. PROTOCOL.md, "Ids, offsets,
 * cursors".
 */

/** An offset in two parts: the epoch of the log and the number of the event. */
export interface Position {
  /** One incarnation of a log; compared for equality only. */
  readonly epoch: number
  /** The number of the event in its epoch, from 1; 0 is the position before the first event. */
  readonly seq: number
}

/** An offset: two whole numbers of at most 16 digits without leading zeros; the epoch is at least 1. */
export const OFFSET_PATTERN = /^([1-9]\d{0,15})-(0|[1-9]\d{0,15})$/

/** Parses an offset. Returns `undefined` when it is malformed. */
export function parseOffset(offset: string): Position | undefined {
  const parts = OFFSET_PATTERN.exec(offset)
  return parts ? { epoch: Number(parts[1]), seq: Number(parts[2]) } : undefined
}

/** The offset of event number `seq` in the log of `epoch`. */
export function formatOffset(epoch: number, seq: number): string {
  return `${epoch}-${seq}`
}
