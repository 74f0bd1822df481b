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
}
