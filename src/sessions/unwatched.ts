/** The end of runs that nobody watches. */
import type { Bus } from '../bus/bus.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'

/** When what failed is tried again, at the earliest, in ms. */
const RETRY_MS = 1000

export interface UnwatchedParts {
  readonly bus: Bus
  readonly sessionId: string
  readonly runId: string
  /** How long nobody may watch, in ms. */
  readonly afterMs: number
  end(): Promise<void>
  onError(error: unknown): void
}

/**
 * Calls `end` once nobody has watched the run for so long, on any node. Gives what stops it.
 * @throws TwinrailError `session-not-found`
 */
export async function endUnwatched(parts: UnwatchedParts): Promise<() => void> {
  const { bus, sessionId, runId, afterMs, end, onError } = parts
  let timer: Cancel | undefined
  let isOver = false

  const wait = (ms: number) => {
    const mine = startTimer(ms, () => {
      // What another node told may have been lost on the way.
      const looked = watch.lookAgain().then(() => (timer === mine ? end() : undefined))
      looked.catch(error => {
        onError(error)
        if (timer === mine && !isOver) wait(Math.max(ms, RETRY_MS))
      })
    })
    timer = mine
  }
  const watch = await bus.watchViewers(sessionId, runId, watched => {
    timer?.()
    timer = undefined
    if (!watched) wait(afterMs)
  })
  return () => {
    isOver = true
    timer?.()
    watch.stop()
  }
}
