/** How a client asks for a session's events: the same names in a query and in `subscribe`. */
import { z } from 'zod'
import { Id, Offset } from './ids.ts'

/** What of the backlog is sent, and folded or not. */
export const Replay = z.enum(['compact', 'full', 'none'])

/** What happens to a subscriber that falls behind. */
export const LagPolicy = z.enum(['conflate', 'wait', 'skip', 'disconnect'])

/** Where to begin and how to deliver. Unknown fields are ignored. */
export const SubscriptionOptions = z.object({
  /** Start after this offset. */
  after: Offset.optional(),
  /** Start this many events before the head; `after` beats it. */
  last: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  /** Only this run's events; the subscription ends with the run. */
  run: Id.optional(),
  /** `compact` folds deltas in the backlog, `full` sends it as it was, `none` starts at the head. */
  replay: Replay.default('compact'),
  lag: LagPolicy.default('conflate'),
  /** Events behind the head at which the lag policy acts; at most the server's own limit. */
  lagEvents: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  /** The same in bytes of event JSON. */
  lagBytes: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  /** Gather events for so many ms into one write; 0 writes once per event-loop turn. */
  coalesceMs: z.number().int().min(0).max(500).default(0),
  /** Ping after so many ms without anything else; the server's own choice when absent, 15 s unless it says otherwise. */
  heartbeatMs: z.number().int().min(1000).max(60_000).optional(),
})
export type SubscriptionOptions = z.output<typeof SubscriptionOptions>

/** A whole number as it stands in a URL's query; nothing else reads as one. */
export const wholeNumber = (what: string) =>
  z
    .string()
    .max(15, `expected ${what}, a whole number`)
    .regex(/^\d{1,15}$/, `expected ${what}, a whole number`)
    .transform(Number)

/** Any value in a query; the schema that it is piped into tells what is right. */
const value = z.string().max(256)

/** {@link SubscriptionOptions} as they stand in a URL's query. */
export const SubscriptionQuery = z
  .object({
    after: value.optional(),
    last: wholeNumber('a count of events').optional(),
    run: value.optional(),
    replay: value.optional(),
    lag: value.optional(),
    lagEvents: wholeNumber('a count of events').optional(),
    lagBytes: wholeNumber('bytes').optional(),
    coalesceMs: wholeNumber('ms').optional(),
    heartbeatMs: wholeNumber('ms').optional(),
  })
  .pipe(SubscriptionOptions)
