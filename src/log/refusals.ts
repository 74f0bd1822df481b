/** What drivers refuse alike. */
import { TwinrailError } from '../protocol/index.ts'

/** Any call after `close`. */
export function logClosed(): TwinrailError {
  return new TwinrailError('unavailable', 'the log is closed; the server is stopping')
}

/** Trimming what the snapshot does not hold would lose it. @throws RangeError */
export function mustReach(snapshot: { readonly seq: number }, through: number): void {
  if (snapshot.seq >= through) return
  throw new RangeError(`trim through ${through} needs a snapshot that reaches it, got ${snapshot.seq}`)
}
