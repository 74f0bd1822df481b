/** When to try again. */

export interface Backoff {
  /** Upper bound of the first wait, in ms. @default 1000 */
  baseMs: number
  /** Upper bound of any wait, the server's own wish aside, in ms. @default 30000 */
  capMs: number
  /** A number from 0 to 1. @default Math.random */
  random: () => number
}

const defaults: Backoff = { baseMs: 1000, capMs: 30_000, random: Math.random }

/**
 * Ms to wait after the `failures`-th failure in a row, counted from 0: a random part of a bound that doubles up to
 * the cap, on top of `floorMs`. The floor is added and not compared: everybody gets the same one from a stopping
 * server, so the higher of the two would bring them all back at the same moment.
 */
export function backoffMs(failures: number, floorMs: number, backoff: Partial<Backoff> = {}): number {
  const { baseMs, capMs, random } = { ...defaults, ...backoff }
  return floorMs + random() * Math.min(capMs, baseMs * 2 ** failures)
}

/** Resolves after `ms`; rejects with the signal's reason as soon as it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}
