/** A hook for pages that make their own state of a session's events. */
import { useEffect, useState } from 'react'
import type { Schemas, Session, TypedEvent } from 'twinrail-client'

export interface Followed<State> {
  state: State
  /** Whether the log was read to its end, so that `state` is current. */
  isLive: boolean
  /** Why the stream ended, if the server refused it. */
  error: Error | undefined
}

/**
 * Follows a session while the component is mounted, creates it if it does not exist, and returns what `reduce` makes of
 * its events. The component is drawn at most once per frame.
 * @param session must stay the same object, as must `initial` and `reduce`
 */
export function useEvents<S extends Schemas, State>(
  session: Session<S>,
  initial: State,
  reduce: (state: State, event: TypedEvent<S>) => State,
): Followed<State> {
  const [followed, show] = useState<Followed<State>>({ state: initial, isLive: false, error: undefined })
  useEffect(() => {
    const stop = new AbortController()
    let state = initial
    let isLive = false
    let error: Error | undefined
    let frame = 0
    const draw = () => {
      frame = 0
      show({ state, isLive, error })
    }
    const read = async () => {
      try {
        for await (const event of session.events({ create: true, signal: stop.signal })) {
          // The log was lost or deleted: what was read of it is void.
          if (event.type === 'reset') state = initial
          if (event.type === 'caught-up') isLive = true
          state = reduce(state, event)
          frame ||= requestAnimationFrame(draw)
        }
      } catch (thrown) {
        if (stop.signal.aborted) return
        error = thrown as Error
        draw()
      }
    }
    void read()
    return () => {
      stop.abort()
      cancelAnimationFrame(frame)
    }
  }, [session, initial, reduce])
  return followed
}
