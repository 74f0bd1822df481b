/** The options of a subscription, the same in a query and in `subscribe`. PROTOCOL.md, "Subscribing". */
import { z } from 'zod'
import { Id, Offset } from './ids.ts'

/** Which part of the backlog is sent, and whether it is folded. */
export const Replay = z.enum(['compact', 'full', 'none'])

/** The policy for a subscriber that falls behind. PROTOCOL.md, "Lag policies". */
export const LagPolicy = z.enum(['conflate', 'wait', 'skip', 'disconnect'])

/** The start of a subscription and the way it is delivered. Unknown fields are ignored. */
export const SubscriptionOptions = z.object({
  /** Start after this offset. */
  after: Offset.optional(),
  /** Start this many events before the head; `after` takes precedence. */
  last: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  /** Only this run's events; the subscription ends with the run. */
  run: Id.optional(),
  /** `compact` folds deltas in the backlog, `full` sends them unfolded, `none` starts at the head. */
  replay: Replay.default('compact'),
  lag: LagPolicy.default('conflate'),
  /** Number of events behind the head at which the lag policy acts; at most the server's own limit. */
  lagEvents: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  /** The same limit in bytes of event JSON. */
  lagBytes: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  /** Collect the events of this many ms into one write; 0 writes once per event-loop turn. */
  coalesceMs: z.number().int().min(0).max(500).default(0),
  /** Send a ping after this many ms of silence. Without it the server's own interval applies, 15 s by default. */
  heartbeatMs: z.number().int().min(1000).max(60_000).optional(),
})
export type SubscriptionOptions = z.output<typeof SubscriptionOptions>

/** A whole number as text in a URL's query: 1 to 15 digits and no other characters. */
export const wholeNumber = (what: string) =>
  z
    .string()
    .max(15, `expected ${what}, a whole number`)
    .regex(/^\d{1,15}$/, `expected ${what}, a whole number`)
    .transform(Number)

/** Any value in a query. The schema that it is piped into checks it. */
const value = z.string().max(256)

/** {@link SubscriptionOptions} as text in a URL's query. */
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
