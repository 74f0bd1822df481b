/** Deadlines for what a client sends or reads. */
import { type Cancel, startTimer, type TimerOptions } from '../protocol/timers.ts'

/**
 * Calls `callback` after `ms`, once the sockets have been looked at. A process that stood still, or was stopped, comes
 * back to timers that are over and to bytes that came in time but were not read. Without that look it would blame the
 * client.
 */
export function startDeadline(ms: number, callback: () => void, options?: TimerOptions): Cancel {
  let immediate: NodeJS.Immediate | undefined
  const cancel = startTimer(
    ms,
    () => {
      // Node reads sockets between timers and immediates.
      immediate = setImmediate(callback)
    },
    options,
  )
  return () => {
    cancel()
    clearImmediate(immediate)
  }
}
