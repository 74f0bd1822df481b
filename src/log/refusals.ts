/** What drivers refuse alike. */
import { TwinrailError } from '../protocol/index.ts'

/** Any call after `close`. */
export function logClosed(): TwinrailError {
  return new TwinrailError('unavailable', 'the log is closed; the server is stopping')
}

/** How clients are told to come back while the log is full, in ms. */
const FULL_RETRY_MS = 5000

/** The store has no room for what is to be written. Reading goes on, and so does what makes room. */
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

/** Trimming what the snapshot does not hold would lose it. @throws RangeError */
export function mustReach(snapshot: { readonly seq: number }, through: number): void {
  if (snapshot.seq >= through) return
  throw new RangeError(`trim through ${through} needs a snapshot that reaches it, got ${snapshot.seq}`)
}
