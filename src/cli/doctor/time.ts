/** Time as the doctor takes it. */
import { startTimer } from '../../protocol/timers.ts'

/** ms since 1970, of a clock that never jumps. */
export function now(): number {
  return performance.timeOrigin + performance.now()
}

/** The middle one; 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Resolves when `promise` settles, after `ms`, or when `signal` aborts: whichever is first. */
export async function atMost(ms: number, promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let wake = () => {}
  const enough = new Promise<void>(resolve => {
    wake = resolve
  })
  const cancel = startTimer(ms, wake)
  signal.addEventListener('abort', wake)
  if (signal.aborted) wake()
  try {
    await Promise.race([promise.catch(() => {}), enough])
  } finally {
    cancel()
    signal.removeEventListener('abort', wake)
  }
}
