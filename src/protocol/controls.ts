/**
 * Control messages: messages of the server about one connection or subscription. They are never in the log. A control
 * type has no dot, an event type has one. PROTOCOL.md, "Control messages".
 */
import { z } from 'zod'
import { type ErrorCode, errorTable } from './errors.ts'
import { EphemeralEventSchema, EventSchema } from './events.ts'
import { Id, Offset, ProviderId } from './ids.ts'
import { Replay } from './subscription.ts'

/** The stable codes of errors. */
export const ErrorCodeSchema = z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]])

/** The reasons of `end`. */
export const EndReason = z.enum(['run-ended', 'deleted', 'forbidden'])
/** Why a subscription ended. */
export type EndReason = z.output<typeof EndReason>

/** The schema of each control message, by its type. Unknown fields are let through. */
export const controlSchemas = {
  hello: z.looseObject({
    type: z.literal('hello'),
    protocol: z.literal(1),
    connectionId: z.string(),
    serverTime: z.int(),
    heartbeatMs: z.int(),
    limits: z.looseObject({ eventBytes: z.int(), messageBytes: z.int(), subscriptions: z.int() }),
    expiresAt: z.number().optional(),
  }),
  subscribed: z.looseObject({
    type: z.literal('subscribed'),
    sessionId: Id,
    head: Offset,
    earliest: Offset,
    after: Offset,
    replay: Replay,
  }),
  'caught-up': z.looseObject({ type: z.literal('caught-up'), sessionId: Id, offset: Offset }),
  gap: z.looseObject({
    type: z.literal('gap'),
    sessionId: Id,
    from: Offset,
    to: Offset,
    reason: z.enum(['trimmed', 'skipped']),
  }),
  reset: z.looseObject({
    type: z.literal('reset'),
    sessionId: Id,
    reason: z.enum(['epoch', 'ahead', 'lost']),
    head: Offset,
  }),
  ping: z.looseObject({ type: z.literal('ping'), time: z.int() }),
  pong: z.looseObject({
    type: z.literal('pong'),
    time: z.number(),
    serverTime: z.int(),
    id: z.string().optional(),
  }),
  ack: z.looseObject({
    type: z.literal('ack'),
    id: z.string(),
    offset: Offset.optional(),
    runId: Id.optional(),
    inputId: ProviderId.optional(),
    expiresAt: z.number().optional(),
    renewMs: z.int().optional(),
  }),
  nack: z.looseObject({
    type: z.literal('nack'),
    id: z.string().nullable(),
    code: ErrorCodeSchema,
    message: z.string(),
    retryable: z.boolean(),
    details: z.record(z.string(), z.unknown()).optional(),
    retryAfterMs: z.int().optional(),
  }),
  end: z.looseObject({
    type: z.literal('end'),
    sessionId: Id,
    runId: Id.optional(),
    reason: EndReason,
  }),
  closing: z.looseObject({
    type: z.literal('closing'),
    code: ErrorCodeSchema,
    reason: z.string(),
    retryAfterMs: z.int().optional(),
  }),
  work: z.looseObject({
    type: z.literal('work'),
    workId: Id,
    sessionId: Id,
    runId: Id,
    agent: ProviderId,
    input: z.unknown(),
    by: z.string().optional(),
    start: Offset,
    resumed: z.boolean().optional(),
    traceparent: z.string().optional(),
  }),
  'work-input': z.looseObject({ type: z.literal('work-input'), workId: Id, event: EventSchema }),
  'work-over': z.looseObject({
    type: z.literal('work-over'),
    workId: Id,
    code: ErrorCodeSchema,
    reason: z.string(),
  }),
} as const

/** The types of control messages. */
export type ControlType = keyof typeof controlSchemas

/** The schema of any control message. `protocolJsonSchema` and the OpenAPI document are made from it. */
export const ControlSchema = z.discriminatedUnion('type', [
  controlSchemas.hello,
  controlSchemas.subscribed,
  controlSchemas['caught-up'],
  controlSchemas.gap,
  controlSchemas.reset,
  controlSchemas.ping,
  controlSchemas.pong,
  controlSchemas.ack,
  controlSchemas.nack,
  controlSchemas.end,
  controlSchemas.closing,
  controlSchemas.work,
  controlSchemas['work-input'],
  controlSchemas['work-over'],
])
/** Any message of the server on a stream or a socket: an event, an ephemeral event or a control message. */
export const ServerMessage = z
  .union([EventSchema, EphemeralEventSchema, ControlSchema])
  .describe('An event, an ephemeral event, or a control message, whose `type` has no dot')

/** Any control message. */
export type Control = z.output<typeof ControlSchema>

/** The control message of one type. */
export type ControlOf<T extends ControlType> = Extract<Control, { type: T }>
