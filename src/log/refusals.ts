/** Errors that all drivers share. */
import { TwinrailError } from '../protocol/index.ts'

/** The error of every call after `close`. */
export function logClosed(): TwinrailError {
  return new TwinrailError('unavailable', 'the log is closed; the server is stopping')
}

/** `retryAfterMs` of refusals while the log is full, in ms. */
const FULL_RETRY_MS = 5000

/** The store has no room for this write. Reading, deleting and trimming continue. */
export function logFull(message: string, cause?: unknown): TwinrailError {
  return new TwinrailError('unavailable', message, {
    details: { reason: 'full' },
    retryAfterMs: FULL_RETRY_MS,
    cause,
  })
}

export function isFull(error: unknown): boolean {
  return error instanceof TwinrailError && error.details?.['reason'] === 'full'
}

/** @throws RangeError when the snapshot does not contain everything that is to be trimmed */
export function mustReach(snapshot: { readonly seq: number }, through: number): void {
  if (snapshot.seq >= through) return
  throw new RangeError(`trim through ${through} needs a snapshot that reaches it, got ${snapshot.seq}`)
}
