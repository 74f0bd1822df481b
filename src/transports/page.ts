/** One page of a session's events, as it is answered. */
import type { LogEvent } from '../log/event.ts'
import type { Control } from '../protocol/index.ts'

export interface Page {
  events: readonly LogEvent[]
  /** The `reset`, `gap` and `end` that a stream would send. */
  controls: readonly Control[]
  head: string
  earliest: string
  /** The cursor after this page: the next `after`, or the next `before` of a backward page. */
  next: string
  /** Whether the log has no more events in this direction. */
  caughtUp: boolean
  /** What was read of the log for it, from its first event on, where these events are large. */
  large?: readonly LogEvent[] | undefined
  /** Its JSON, once it was made. In a WeakMap it would survive V8's quick collections, which drop no values of a map. */
  encoded?: Buffer
}

/** The bytes of events together, as they stand in the log. */
export const bytesOf = (events: readonly LogEvent[]): number =>
  events.reduce((sum, { bytes }) => sum + bytes, 0)
