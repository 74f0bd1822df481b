/** Commands: the requests of a client, the same over WebSocket and HTTP POST. PROTOCOL.md, "Commands". */
import { z } from 'zod'
import { CustomBody } from './events.ts'
import { Id, Offset } from './ids.ts'
import { TEXT_CHARS, WINDOW_BYTES } from './limits.ts'
import { SubscriptionOptions } from './subscription.ts'

const CommandId = z.string().min(1).max(64)
const base = { id: CommandId, key: Id.optional() }
const inSession = { ...base, sessionId: Id }

/** Client → server: subscribe to a session on this WebSocket. Answered by `ack` and the subscription's messages. */
export const Subscribe = z.object({
  ...inSession,
  type: z.literal('subscribe'),
  ...SubscriptionOptions.shape,
  /** UTF-8 bytes of event JSON that the server may send beyond the last `window`. Without it there is no window. */
  windowBytes: z.number().int().min(1).max(WINDOW_BYTES).optional(),
})

/** Client → server: end the subscription to a session. */
export const Unsubscribe = z.object({ ...inSession, type: z.literal('unsubscribe') })

/** Client → server: the client has consumed everything up to `offset`. Moves the window of the subscription. */
export const Window = z.object({
  id: CommandId.optional(),
  type: z.literal('window'),
  sessionId: Id,
  offset: Offset,
})

/** Client → server: answered by `pong`. */
export const Ping = z.object({ id: CommandId.optional(), type: z.literal('ping'), time: z.number() })

/** What happens to a run while nobody watches it: it continues, or it is cancelled after a time (0 to 24 h). */
export const OnNoViewers = z.union([
  z.literal('continue'),
  z.object({ cancelAfterMs: z.number().int().min(0).max(86_400_000) }),
])
export type OnNoViewers = z.output<typeof OnNoViewers>

/** Client → server: start a run of an agent. A known `runId` attaches to its run. */
export const RunStart = z.object({
  ...inSession,
  type: z.literal('run.start'),
  agent: z.string().min(1).max(256),
  input: z.unknown(),
  runId: Id.optional(),
  onNoViewers: OnNoViewers.default('continue'),
})

/** Client → server: cancel a run. */
export const RunCancel = z.object({
  ...inSession,
  type: z.literal('run.cancel'),
  runId: Id,
  reason: z.string().max(1000).optional(),
})

/** Client → server: answer a question of a run. The first answer in log order wins. */
export const InputAnswer = z.object({
  ...inSession,
  type: z.literal('input.answer'),
  requestId: Id,
  value: z.unknown().refine(value => value !== undefined, 'expected any JSON value'),
})

/** Client → server: send a message to the agent of a run. */
export const InputSteer = z.object({
  ...inSession,
  type: z.literal('input.steer'),
  runId: Id,
  text: z.string().min(1).max(TEXT_CHARS),
})

/** Client → server: append an event of the application's own, or send an ephemeral one. */
export const Publish = z.object({
  ...inSession,
  type: z.literal('publish'),
  event: CustomBody,
  ephemeral: z.boolean().default(false),
})

/** The commands that change a session. They can be sent over WebSocket and HTTP POST. */
export const SessionCommand = z.discriminatedUnion('type', [
  RunStart,
  RunCancel,
  InputAnswer,
  InputSteer,
  Publish,
])
export type SessionCommand = z.output<typeof SessionCommand>

/** A command with the session in the path of its request instead of in its body, where it may be repeated. */
type InBody<C> = C extends SessionCommand ? Omit<C, 'sessionId'> & { sessionId?: string } : never

const inBody = SessionCommand.options.map(option => option.extend({ sessionId: Id.optional() }))

/** A {@link SessionCommand} as the body of `POST …/commands`. */
export const CommandBody = z.discriminatedUnion(
  'type',
  inBody as [(typeof inBody)[number]],
) as unknown as z.ZodDiscriminatedUnion<(typeof inBody)[number][]> & z.ZodType<InBody<SessionCommand>>

/** The commands that concern one WebSocket and its subscriptions. */
export const ConnectionCommand = z.discriminatedUnion('type', [Subscribe, Unsubscribe, Window, Ping])
export type ConnectionCommand = z.output<typeof ConnectionCommand>

/** Every command of the protocol. */
export const Command = z.discriminatedUnion('type', [...SessionCommand.options, ...ConnectionCommand.options])
export type Command = z.output<typeof Command>

/** The types of {@link ConnectionCommand}, which HTTP POST refuses. */
export const connectionCommandTypes: ReadonlySet<string> = new Set([
  'subscribe',
  'unsubscribe',
  'window',
  'ping',
])
