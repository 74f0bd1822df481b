/** Ends runs that nobody watches. */
import type { Bus } from '../bus/bus.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'
import type { Presence } from './presence.ts'

/** Pause before a failed `end` is tried again, in ms; `afterMs` where that is longer. */
const RETRY_MS = 1000

/** Other nodes get at least so long to say that somebody watches there, in ms. */
const ANSWER_MS = 1000

export interface UnwatchedParts {
  readonly presence: Presence
  readonly bus: Bus
  readonly sessionId: string
  readonly runId: string
  /** How long nobody may watch, in ms. */
  readonly afterMs: number
  end(): Promise<void>
  onError(error: unknown): void
}

/**
 * Calls `end` once nobody on any node has watched the run for `afterMs`, and not before other nodes could answer.
 * @returns a function that calls this off
 * @throws TwinrailError `session-not-found`
 */
export async function endUnwatched(parts: UnwatchedParts): Promise<() => void> {
  const { presence, bus, sessionId, runId, afterMs, end, onError } = parts
  let timer: Cancel | undefined
  let isOver = false
  const answeredAt = performance.now() + ANSWER_MS

  const wait = (ms: number) => {
    const mine = startTimer(ms, () => {
      // A notification from another node may have been lost on the way.
      const refreshed = tracking.refresh().then(() => (timer === mine ? end() : undefined))
      refreshed.catch(error => {
        onError(error)
        if (timer === mine && !isOver) wait(Math.max(ms, RETRY_MS))
      })
    })
    timer = mine
  }
  const tracking = await presence.trackViewers(bus, sessionId, runId, watched => {
    timer?.()
    timer = undefined
    if (!watched) wait(Math.max(afterMs, answeredAt - performance.now()))
  })
  return () => {
    isOver = true
    timer?.()
    tracking.stop()
  }
}
