/**
 * Timers for delays of any length, for delays that are configured or come from outside. `setTimeout` accepts at most
 * 2^31 − 1 ms (24.8 days) and fires after 1 ms for a longer delay, such as `Infinity`.
 */

/** The longest delay that `setTimeout` accepts, in ms. */
export const MAX_DELAY_MS = 2 ** 31 - 1

/** Stops a timer. May be called at any time and more than once. */
export type Cancel = () => void

/** The options of timers. */
export interface TimerOptions {
  /** Whether the process may end while the timer waits. Has no effect in browsers. @default false */
  readonly unref?: boolean
}

/** Calls `callback` once after `ms`, which may have any length; never when `ms` is `Infinity`. */
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

/** Calls `callback` every `ms`, which may have any length; never when `ms` is `Infinity`. */
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

/** Resolves after `ms`, which may have any length. Rejects with the signal's reason as soon as the signal aborts. */
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
