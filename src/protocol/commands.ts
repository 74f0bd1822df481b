/** Commands: the requests of a client, the same over WebSocket and HTTP POST. PROTOCOL.md, "Commands". */
import { z } from 'zod'
import { CustomBody } from './events.ts'
import { FreeObject, Id, Offset, ProviderId } from './ids.ts'
import {
  DESCRIPTION_CHARS,
  TEXT_CHARS,
  TOKEN_CHARS,
  WINDOW_BYTES,
  WORK_EVENTS,
  WORKER_AGENTS,
  WORKER_SLOTS,
} from './limits.ts'
import { SubscriptionOptions } from './subscription.ts'

const CommandId = z.string().min(1).max(64)
const base = { id: CommandId, key: Id.optional() }
const inSession = { ...base, sessionId: Id }
/** A command that changes a session; a server that traces uses its W3C `traceparent`, and ignores a malformed one. */
const traced = { ...inSession, traceparent: z.string().max(256).optional() }

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

/**
 * Client → server: proves or renews the principal of this WebSocket by a token. Answered by `ack`; with another principal
 * by `nack` with the code `forbidden`.
 */
export const Auth = z.object({
  id: CommandId,
  type: z.literal('auth'),
  token: z.string().min(1).max(TOKEN_CHARS),
})

/** Client → server: answered by `pong`. */
export const Ping = z.object({ id: CommandId.optional(), type: z.literal('ping'), time: z.number() })

const FieldName = z.string().min(1).max(256)

/** An agent of a worker. */
export const WorkerAgent = z.object({
  name: ProviderId,
  description: z.string().max(DESCRIPTION_CHARS),
  /** JSON Schema of the input of `run.start`. */
  input: FreeObject,
  /** Whether another worker may go on with a run whose worker died. */
  resume: z.boolean().default(false),
  /** The fields of the input that a chat fills. */
  chat: z
    .object({
      /** Gets the last text of the user, and is shown as what the user said. */
      text: FieldName.optional(),
      /** Gets the conversation, as a list of `{role, content}`. */
      messages: FieldName.optional(),
    })
    .optional(),
})
/** An agent of a worker, as the schema parsed it. */
export type WorkerAgent = z.output<typeof WorkerAgent>

/** A run that a worker was given on an earlier connection. */
export const OpenWork = z.object({
  workId: Id,
  sessionId: Id,
  runId: Id,
  agent: ProviderId,
  /** The last `work-input` event that the worker has. */
  after: Offset.optional(),
})
/** A run that a worker was given on an earlier connection, as the schema parsed it. */
export type OpenWork = z.output<typeof OpenWork>

/** Client → server: the agents of this worker and how many runs it takes; renews the leases of its runs. */
export const Worker = z.object({
  id: CommandId,
  type: z.literal('worker'),
  slots: z.number().int().min(0).max(WORKER_SLOTS),
  /** @default those of the worker's last command */
  agents: z.array(WorkerAgent).max(WORKER_AGENTS).optional(),
  works: z.array(OpenWork).max(WORKER_SLOTS).optional(),
})

/** Client → server: append events of a run that this worker was given. */
export const WorkAppend = z.object({
  id: CommandId,
  type: z.literal('work.append'),
  sessionId: Id,
  workId: Id,
  /** Number of the first event. A worker numbers the events of each run from 1. */
  seq: z.number().int().min(1),
  events: z.array(z.unknown()).min(1).max(WORK_EVENTS),
})

/** What happens to a run while nobody watches it: it continues, or it is cancelled after a time (0 to 24 h). */
export const OnNoViewers = z.union([
  z.literal('continue'),
  z.object({ cancelAfterMs: z.number().int().min(0).max(86_400_000) }),
])
/** What happens to a run while nobody watches it. */
export type OnNoViewers = z.output<typeof OnNoViewers>

/** Client → server: start a run of an agent. A known `runId` attaches to its run. */
export const RunStart = z.object({
  ...traced,
  type: z.literal('run.start'),
  agent: z.string().min(1).max(256),
  input: z.unknown(),
  runId: Id.optional(),
  onNoViewers: OnNoViewers.default('continue'),
})

/** Client → server: cancel a run. */
export const RunCancel = z.object({
  ...traced,
  type: z.literal('run.cancel'),
  runId: Id,
  reason: z.string().max(1000).optional(),
})

/** Client → server: answer a question of a run. The first answer in log order wins. */
export const InputAnswer = z.object({
  ...traced,
  type: z.literal('input.answer'),
  requestId: Id,
  value: z.unknown().refine(value => value !== undefined, 'expected any JSON value'),
})

/** Client → server: send a message to the agent of a run. */
export const InputSteer = z.object({
  ...traced,
  type: z.literal('input.steer'),
  runId: Id,
  text: z.string().min(1).max(TEXT_CHARS),
})

/** Client → server: append an event of the application's own, or send an ephemeral one. */
export const Publish = z.object({
  ...traced,
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
/** A command that changes a session, as the schema parsed it. */
export type SessionCommand = z.output<typeof SessionCommand>

/** A command with the session in the path of its request instead of in its body, where it may be repeated. */
type InBody<C> = C extends SessionCommand ? Omit<C, 'sessionId'> & { sessionId?: string } : never

const inBody = SessionCommand.options.map(option => option.extend({ sessionId: Id.optional() }))

/** A {@link SessionCommand} as the body of `POST …/commands`. */
export const CommandBody = z.discriminatedUnion(
  'type',
  inBody as [(typeof inBody)[number]],
) as unknown as z.ZodDiscriminatedUnion<(typeof inBody)[number][]> & z.ZodType<InBody<SessionCommand>>

/** The commands that concern one WebSocket, its subscriptions and its runs. */
export const ConnectionCommand = z.discriminatedUnion('type', [
  Subscribe,
  Unsubscribe,
  Window,
  Auth,
  Ping,
  Worker,
  WorkAppend,
])
/** A command that concerns one WebSocket, as the schema parsed it. */
export type ConnectionCommand = z.output<typeof ConnectionCommand>

/** Every command of the protocol. */
export const Command = z.discriminatedUnion('type', [...SessionCommand.options, ...ConnectionCommand.options])
/** Any command, as the schema parsed it. */
export type Command = z.output<typeof Command>

/** The types of {@link ConnectionCommand}, which HTTP POST refuses. */
export const connectionCommandTypes: ReadonlySet<string> = new Set([
  'subscribe',
  'unsubscribe',
  'window',
  'auth',
  'ping',
  'worker',
  'work.append',
])
