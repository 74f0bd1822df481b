/** The options of a subscription, the same in a query and in `subscribe`. PROTOCOL.md, "Subscribing". */
import { z } from 'zod'
import { Id, Offset } from './ids.ts'
import { PAGE_EVENTS, WAIT_MS } from './limits.ts'

/** Which part of the backlog is sent, and whether it is folded. */
export const Replay = z.enum(['compact', 'full', 'none'])

/** The policy for a subscriber that falls behind. PROTOCOL.md, "Lag policies". */
export const LagPolicy = z.enum(['conflate', 'wait', 'skip', 'disconnect'])

const count = (least: number) => z.number().int().min(least).max(Number.MAX_SAFE_INTEGER)

/** The start of a subscription and the way it is delivered. Unknown fields are ignored. */
export const SubscriptionOptions = z.object({
  after: Offset.optional().describe('Start after this offset; without it, at the earliest event'),
  last: count(0).optional().describe('Start this many events before the head; `after` takes precedence'),
  run: Id.optional().describe("Only this run's events; the subscription ends with the run"),
  create: z
    .boolean()
    .default(false)
    .describe('Create the session if it does not exist; no effect with `after` or `run`'),
  replay: Replay.default('compact').describe(
    '`compact` folds deltas in the backlog, `full` sends them unfolded, `none` starts at the head',
  ),
  lag: LagPolicy.default('conflate').describe('What happens when the client falls behind'),
  lagEvents: count(1)
    .optional()
    .describe(
      "Number of events behind the head at which the lag policy acts; at most the server's own limit",
    ),
  lagBytes: count(1).optional().describe('The same limit in bytes of event JSON'),
  coalesceMs: z
    .number()
    .int()
    .min(0)
    .max(500)
    .default(0)
    .describe('Collect the events of this many ms into one write; 0 writes once per event-loop turn'),
  heartbeatMs: z
    .number()
    .int()
    .min(1000)
    .max(60_000)
    .optional()
    .describe("Send a ping after this many ms of silence; without it the server's own interval applies"),
})
/** The options of a subscription, as the schema parsed them. */
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

const SubscriptionTexts = z.object({
  after: value.optional(),
  last: wholeNumber('a count of events').optional(),
  run: value.optional(),
  create: z
    .enum(['1', 'true', '0', 'false'], 'expected 1 or 0')
    .transform(text => text === '1' || text === 'true')
    .optional(),
  replay: value.optional(),
  lag: value.optional(),
  lagEvents: wholeNumber('a count of events').optional(),
  lagBytes: wholeNumber('bytes').optional(),
  coalesceMs: wholeNumber('ms').optional(),
  heartbeatMs: wholeNumber('ms').optional(),
})

/** {@link SubscriptionOptions} as text in a URL's query. */
export const SubscriptionQuery = SubscriptionTexts.pipe(SubscriptionOptions)

const PAGE_RANGE = `expected 1 to ${PAGE_EVENTS} events`

/** The query of `GET …/events`: {@link SubscriptionOptions}, and the options that only pages have. */
export const EventsQuery = SubscriptionTexts.extend({
  limit: wholeNumber('a count of events').optional(),
  before: value.optional(),
  wait: wholeNumber('ms').optional(),
}).pipe(
  SubscriptionOptions.extend({
    limit: z
      .number()
      .int()
      .min(1, PAGE_RANGE)
      .max(PAGE_EVENTS, PAGE_RANGE)
      .default(PAGE_EVENTS)
      .describe('Pages only: maximum number of events'),
    before: Offset.optional().describe('Pages only: read backwards, the events just before this offset'),
    wait: z
      .number()
      .int()
      .min(0)
      .max(WAIT_MS, `expected at most ${WAIT_MS} ms`)
      .default(0)
      .describe('Pages only: without events after the cursor, wait up to this many ms for the next one'),
  }),
)
/** The query of `GET …/events`, as the schema parsed it. */
export type EventsQuery = z.output<typeof EventsQuery>
