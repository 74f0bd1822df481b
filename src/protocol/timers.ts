/**
 * Timers for delays that are configured, or that somebody else sent. `setTimeout` takes at most 2^31 − 1 ms (24.8 days)
 * and fires after 1 ms when given more, `Infinity` included; these wait as long as they were told to.
 */

/** The longest delay that a timer of the platform takes, in ms. */
export const MAX_DELAY_MS = 2 ** 31 - 1

/** Stops a timer. May be called at any time and more than once. */
export type Cancel = () => void

export interface TimerOptions {
  /** The process may end while the timer waits; means nothing in browsers. @default false */
  readonly unref?: boolean
}

/** Calls `callback` once after `ms`, however long that is; never when `ms` is `Infinity`. */
export function startTimer(ms: number, callback: () => void, { unref = false }: TimerOptions = {}): Cancel {
  let timer: ReturnType<typeof setTimeout>
  const wait = (left: number): void => {
    const step = Math.min(left, MAX_DELAY_MS)
    timer = setTimeout(() => (left > step ? wait(left - step) : callback()), step)
    if (unref) (timer as { unref?(): void }).unref?.()
  }
  wait(ms)
  return () => clearTimeout(timer)
}

/** Calls `callback` every `ms`, however long that is; never when `ms` is `Infinity`. */
export function startInterval(ms: number, callback: () => void, options: TimerOptions = {}): Cancel {
  let cancel: Cancel
  const wait = (): void => {
    cancel = startTimer(
      ms,
      () => {
        wait()
        callback()
      },
      options,
    )
  }
  wait()
  return () => cancel()
}

/** Resolves after `ms`, however long that is. @throws the signal's reason, as soon as it aborts */
export function sleep(ms: number, signal?: AbortSignal, options: TimerOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const abort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = startTimer(
      ms,
      () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      },
      options,
    )
    signal?.addEventListener('abort', abort, { once: true })
  })
}
