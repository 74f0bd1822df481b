/** When to try again. */
import { startTimer } from '../src/protocol/timers.ts'

export interface Backoff {
  /** Upper bound of the first wait, in ms. @default 1000 */
  baseMs: number
  /** Upper bound of any wait, the server's own wish aside, in ms. @default 30000 */
  capMs: number
  /** Failures in a row after which the error is thrown; 0 gives up at the first. @default Infinity */
  attempts: number
  /** How long a connection must have been open for its failure to count as the first, in ms. @default 5000 */
  stableMs: number
  /** A number from 0 to 1. @default Math.random */
  random: () => number
}

export const defaultBackoff: Backoff = {
  baseMs: 1000,
  capMs: 30_000,
  attempts: Number.POSITIVE_INFINITY,
  stableMs: 5000,
  random: Math.random,
}

/**
 * Ms to wait after the `failures`-th failure in a row, counted from 0: a random part of a bound that doubles up to
 * the cap, on top of `floorMs`. The floor is added and not compared: everybody gets the same one from a stopping
 * server, so the higher of the two would bring them all back at the same moment.
 */
export function backoffMs(failures: number, floorMs: number, backoff: Partial<Backoff> = {}): number {
  const { baseMs, capMs, random } = { ...defaultBackoff, ...backoff }
  return floorMs + random() * Math.min(capMs, baseMs * 2 ** failures)
}

/**
 * Resolves after `ms`; rejects with the signal's reason as soon as it aborts.
 * @param early is given the way to end it before its time
 */
export function sleep(ms: number, signal?: AbortSignal, early?: (end: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => {
      cancel()
      reject(signal?.reason)
    }
    const end = () => {
      cancel()
      signal?.removeEventListener('abort', stop)
      resolve()
    }
    const cancel = startTimer(ms, end)
    signal?.addEventListener('abort', stop, { once: true })
    early?.(end)
  })
}
