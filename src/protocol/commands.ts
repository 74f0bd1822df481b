/** Commands: what a client asks for, over WebSocket or HTTP POST alike. PROTOCOL.md, "Commands". */
import { z } from 'zod'
import { CustomBody } from './events.ts'
import { Id, Offset } from './ids.ts'
import { TEXT_CHARS, WINDOW_BYTES } from './limits.ts'
import { SubscriptionOptions } from './subscription.ts'

const CommandId = z.string().min(1).max(64)
const base = { id: CommandId, key: Id.optional() }
const inSession = { ...base, sessionId: Id }

/** client → server: follow a session. */
export const Subscribe = z.object({
  ...inSession,
  type: z.literal('subscribe'),
  ...SubscriptionOptions.shape,
  /** UTF-8 bytes of event JSON that may be on the way beyond the last `window`. */
  windowBytes: z.number().int().min(1).max(WINDOW_BYTES).optional(),
})

/** client → server: stop following. */
export const Unsubscribe = z.object({ ...inSession, type: z.literal('unsubscribe') })

/** client → server: everything up to `offset` is consumed. */
export const Window = z.object({
  id: CommandId.optional(),
  type: z.literal('window'),
  sessionId: Id,
  offset: Offset,
})

/** client → server: answered by `pong`. */
export const Ping = z.object({ id: CommandId.optional(), type: z.literal('ping'), time: z.number() })

/** What becomes of a run while nobody watches it. */
export const OnNoViewers = z.union([
  z.literal('continue'),
  z.object({ cancelAfterMs: z.number().int().min(0).max(86_400_000) }),
])
export type OnNoViewers = z.output<typeof OnNoViewers>

export const RunStart = z.object({
  ...inSession,
  type: z.literal('run.start'),
  agent: z.string().min(1).max(256),
  input: z.unknown(),
  runId: Id.optional(),
  onNoViewers: OnNoViewers.default('continue'),
})

export const RunCancel = z.object({
  ...inSession,
  type: z.literal('run.cancel'),
  runId: Id,
  reason: z.string().max(1000).optional(),
})

export const InputAnswer = z.object({
  ...inSession,
  type: z.literal('input.answer'),
  requestId: Id,
  value: z.unknown().refine(value => value !== undefined, 'expected any JSON value'),
})

export const InputSteer = z.object({
  ...inSession,
  type: z.literal('input.steer'),
  runId: Id,
  text: z.string().min(1).max(TEXT_CHARS),
})

export const Publish = z.object({
  ...inSession,
  type: z.literal('publish'),
  event: CustomBody,
  ephemeral: z.boolean().default(false),
})

/** Commands that change a session; they go over either transport. */
export const SessionCommand = z.discriminatedUnion('type', [
  RunStart,
  RunCancel,
  InputAnswer,
  InputSteer,
  Publish,
])
export type SessionCommand = z.output<typeof SessionCommand>

/** Commands that only make sense on a WebSocket. */
export const ConnectionCommand = z.discriminatedUnion('type', [Subscribe, Unsubscribe, Window, Ping])
export type ConnectionCommand = z.output<typeof ConnectionCommand>

/** Every command of the protocol. */
export const Command = z.discriminatedUnion('type', [SessionCommand, ConnectionCommand])
export type Command = z.output<typeof Command>

/** Types that HTTP POST refuses. */
export const connectionCommandTypes: ReadonlySet<string> = new Set([
  'subscribe',
  'unsubscribe',
  'window',
  'ping',
])
