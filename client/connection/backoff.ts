/** Waits between attempts to connect or to send a command. */
import { startTimer } from '../protocol.ts'

/** The waits between attempts: random times below a bound that doubles with each failure. */
export interface Backoff {
  /** Upper bound of the first wait, in ms. @default 1000 */
  baseMs: number
  /** Upper bound of every wait, in ms. A wait that the server asks for is added to it. @default 30000 */
  capMs: number
  /**
   * Number of consecutive failures that are retried before the error is thrown; 0 throws the first error.
   * @default Infinity
   */
  attempts: number
  /** A connection that lasts this long resets the count of failures, in ms. @default 5000 */
  stableMs: number
  /** Returns a number from 0 to 1. @default Math.random */
  random: () => number
}

/** The default values of {@link Backoff}. */
export const defaultBackoff: Backoff = {
  baseMs: 1000,
  capMs: 30_000,
  attempts: Number.POSITIVE_INFINITY,
  stableMs: 5000,
  random: Math.random,
}

/**
 * Returns the wait in ms after `failures` earlier consecutive failures: `floorMs` plus a random part of a bound that
 * doubles up to the cap. The floor is added and not a minimum: a stopping server gives many clients similar floors, and
 * with a minimum they would all reconnect at the same moment.
 */
export function backoffMs(failures: number, floorMs: number, backoff: Partial<Backoff> = {}): number {
  const { baseMs, capMs, random } = { ...defaultBackoff, ...backoff }
  return floorMs + random() * Math.min(capMs, baseMs * 2 ** failures)
}

/**
 * Resolves after `ms`, or earlier when `end` is called; rejects with the signal's reason as soon as that aborts.
 * @param early receives `end` and returns the function that stops it from being called; it must not call `end` itself
 */
export function sleep(
  ms: number,
  signal?: AbortSignal,
  early?: (end: () => void) => () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const settle = () => {
      cancel()
      stop?.()
      signal?.removeEventListener('abort', settle)
      if (signal?.aborted) reject(signal.reason)
      else resolve()
    }
    const cancel = startTimer(ms, settle)
    const stop = early?.(settle)
    signal?.addEventListener('abort', settle)
  })
}
