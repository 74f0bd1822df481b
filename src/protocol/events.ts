/** Events: the immutable entries of a session's log. PROTOCOL.md, "Events". */
import { z } from 'zod'
import { check } from './check.ts'
import { TwinrailError } from './errors.ts'
import { FreeObject, Id, Offset, ProviderId } from './ids.ts'
import { PLAN_STEPS, TEXT_CHARS } from './limits.ts'
import { listOf } from './list.ts'

const name = z.string().min(1).max(256)
const text = z.string().max(TEXT_CHARS)

/** The kinds of questions that a run may ask its users. */
export const InputKind = z.enum(['approval', 'question', 'tool'])

const partStart = () =>
  z.looseObject({ partId: ProviderId, messageId: ProviderId.optional(), role: name.optional() })
const partDelta = () => z.looseObject({ partId: ProviderId, delta: text })
const partEnd = () => z.looseObject({ partId: ProviderId })
const step = () => z.looseObject({ stepId: ProviderId, name })

/**
 * The schema of `data` for each event type of the protocol. Unknown fields are let through unchanged. Each type has a
 * schema object of its own, which /openapi.json names after the type.
 */
export const eventData = {
  'session.updated': z.looseObject({ metadata: FreeObject }),
  'run.started': z.looseObject({
    agent: name,
    input: z.unknown(),
    messageId: ProviderId.optional(),
    /** The input as a chat shows it. */
    inputText: text.optional(),
    parentRunId: Id.optional(),
    /** The W3C trace context of the command that started the run, on a server that traces. */
    traceparent: z.string().max(256).optional(),
  }),
  'run.status': z.looseObject({ status: name, message: text.optional() }),
  'run.completed': z.looseObject({
    finishReason: name.default('stop'),
    result: z.unknown().optional(),
    usage: FreeObject.optional(),
  }),
  'run.failed': z.looseObject({ code: name, message: text, retryable: z.boolean().default(false) }),
  'run.cancelled': z.looseObject({ reason: text.default('requested') }),
  'run.cancel-requested': z.looseObject({ reason: text.optional() }),
  'plan.updated': z.looseObject({
    title: text.optional(),
    steps: listOf(
      z.looseObject({ title: text, status: z.enum(['pending', 'running', 'done', 'failed']) }),
      PLAN_STEPS,
    ),
  }),
  'step.started': step(),
  'step.finished': step(),
  'text.start': partStart(),
  'text.delta': partDelta(),
  'text.end': partEnd(),
  'reasoning.start': partStart(),
  'reasoning.delta': partDelta(),
  'reasoning.end': partEnd(),
  'tool.started': z.looseObject({ toolCallId: ProviderId, toolName: name }),
  'tool.delta': z.looseObject({ toolCallId: ProviderId, delta: text }),
  'tool.called': z.looseObject({ toolCallId: ProviderId, toolName: name, input: z.unknown() }),
  'tool.finished': z.looseObject({
    toolCallId: ProviderId,
    output: z.unknown(),
    isError: z.boolean().optional(),
  }),
  'source.added': z.looseObject({
    sourceId: ProviderId,
    title: text,
    url: text.optional(),
    excerpt: text.optional(),
  }),
  'artifact.start': z.looseObject({ artifactId: ProviderId, kind: name, name }),
  'artifact.delta': z.looseObject({ artifactId: ProviderId, delta: text }),
  'artifact.end': z.looseObject({ artifactId: ProviderId }),
  'input.requested': z.looseObject({
    requestId: Id,
    kind: InputKind,
    message: text,
    schema: z.union([FreeObject, z.boolean()]).optional(),
    toolCallId: ProviderId.optional(),
    /** When the question expires, in ms since 1970. Without it the question does not expire. */
    expiresAt: z.number().int().positive().optional(),
  }),
  'input.answered': z.looseObject({ requestId: Id, value: z.unknown() }),
  'input.expired': z.looseObject({ requestId: Id }),
  'input.steered': z.looseObject({ inputId: ProviderId, text: text.min(1) }),
  'input.applied': z.looseObject({ inputId: ProviderId }),
} as const

/** The event types of the protocol. */
export type KnownType = keyof typeof eventData

/** Any event type: the protocol's, or the application's own `x.<name>`. */
export type EventType = KnownType | `x.${string}`

/**
 * The named fields of a schema's type. The schemas let unknown fields through, which would make a misspelt field
 * `unknown` instead of an error.
 */
type Exact<T> = T extends readonly (infer E)[]
  ? Exact<E>[]
  : T extends object
    ? [keyof Named<T>] extends [never]
      ? T
      : { [K in keyof T as string extends K ? never : K]: Exact<T[K]> }
    : T

type Named<T> = { [K in keyof T as string extends K ? never : K]: true }

/** An event as an agent or a producer gives it. The server adds the other fields. */
export type EventBody =
  | { [T in KnownType]: { type: T; runId?: string; data: Exact<z.input<(typeof eventData)[T]>> } }[KnownType]
  | { type: `x.${string}`; runId?: string; data: unknown }

type Data<T extends string> = T extends KnownType ? Exact<z.output<(typeof eventData)[T]>> : unknown

/** An event as clients get it. The keys are in this order on the wire. */
export interface EventOf<T extends string> {
  /** The position in the log; absent on ephemeral events only. */
  offset: string
  /** The session of the event. */
  sessionId: string
  /** The run that the event belongs to; absent on events outside a run. */
  runId?: string
  /** The type, which tells the shape of `data`. */
  type: T
  /** The clock of the process that appended the event, in ms since 1970. For display; the offset gives the order. */
  time: number
  /** The id of the principal that caused the event; absent on events of agents and of the server. */
  by?: string
  /** On a folded event: the offset of the first event in it. */
  from?: string
  /** The event's data. */
  data: Data<T>
}

/** Any event of a log. Narrow it by `type`. */
export type TwinrailEvent = { [T in KnownType]: EventOf<T> }[KnownType] | EventOf<`x.${string}`>

/** An event for the current live subscriptions only. It is never logged, so it has no offset. */
export interface EphemeralEvent extends Omit<EventOf<`x.${string}`>, 'offset' | 'from'> {
  /** Distinguishes it from events of the log. */
  ephemeral: true
}

/** The types of the application's own events: `x.<name>`. */
const CUSTOM_TYPE = /^x\.[A-Za-z0-9][A-Za-z0-9._-]{0,125}$/

const CustomType = z
  .templateLiteral(['x.', z.string().max(126)])
  .refine(type => CUSTOM_TYPE.test(type), 'expected x.<name>')
  .meta({ pattern: CUSTOM_TYPE.source })

/** The application's own events: any JSON under a type `x.<name>`. */
export const CustomBody = z.object({
  type: CustomType,
  runId: Id.optional(),
  data: z.unknown().refine(data => data !== undefined, 'expected any JSON value'),
})

const knownBodies = Object.entries(eventData).map(([type, data]) =>
  z.object({ type: z.literal(type), runId: Id.optional(), data }),
)

/** The body of an event of the protocol, by its type. */
export const KnownBody = z.discriminatedUnion('type', knownBodies as [(typeof knownBodies)[number]])

/** The schema of the body of any event. */
export const EventBodySchema = z.union([KnownBody, CustomBody])

/** The fields of all events, also of ephemeral ones. */
const anyEvent = { sessionId: Id, runId: Id.optional(), time: z.number().int(), by: text.optional() }
const loggedEvent = { offset: Offset, ...anyEvent, from: Offset.optional() }

const knownEvents = Object.entries(eventData).map(([type, data]) =>
  z.looseObject({ ...loggedEvent, type: z.literal(type), data }),
)

/** The schema of an event of the protocol on the wire, by its type. */
export const KnownEventSchema = z.discriminatedUnion('type', knownEvents as [(typeof knownEvents)[number]])

/** The schema of an application's own event on the wire. */
export const CustomEventSchema = z
  .looseObject({ ...loggedEvent, type: CustomType, data: z.unknown() })
  .describe("An application's own event: any JSON under a type `x.<name>`")

/** The schema of any event of a log on the wire. `protocolJsonSchema` and the OpenAPI document are made from it. */
export const EventSchema = z
  .union([KnownEventSchema, CustomEventSchema])
  .describe(
    'An event of a log. A type that begins with `x.` is of a CustomEvent; all others tell the schema of `data`',
  )

/** A member of a session. PROTOCOL.md, "Presence". */
export const PresenceMember = z.object({
  memberId: Id,
  principal: z.string(),
  since: z.int().describe('When it joined, in ms since 1970'),
  state: z.unknown().optional().describe('What it shows to others'),
})
/** A member of a session. */
export type PresenceMember = Exact<z.output<typeof PresenceMember>>

/** The `data` of `presence.changed`. */
export const PresenceChanges = z.looseObject({
  joined: z.array(PresenceMember),
  updated: z.array(PresenceMember),
  left: z.array(z.looseObject({ memberId: Id, principal: z.string() })),
  truncated: z.literal(true).optional().describe('There were more changes: read the list again'),
})

/** The members of a session have changed: an ephemeral event of the server. */
export interface PresenceEvent extends Omit<EphemeralEvent, 'type' | 'data'> {
  /** Distinguishes it from other ephemeral events. */
  type: 'presence.changed'
  /** The members that have joined, changed their state or left. */
  data: Exact<z.output<typeof PresenceChanges>>
}

/** The schema of an ephemeral event on the wire. */
export const EphemeralEventSchema = z
  .union([
    z.looseObject({ ...anyEvent, type: CustomType, ephemeral: z.literal(true), data: z.unknown() }),
    z.looseObject({
      ...anyEvent,
      type: z.literal('presence.changed'),
      ephemeral: z.literal(true),
      data: PresenceChanges,
    }),
  ])
  .describe('An event for the current live subscriptions only. It is never logged, so it has no offset')

/**
 * Checks the body of an event from outside and returns it as the schema parsed it.
 * @param what the name of the value in the error's message
 * @throws TwinrailError `bad-request` with the wrong field in the message
 */
export function parseEventBody(value: unknown, what = 'event'): EventBody {
  const type = (value as { type?: unknown } | null)?.type
  if (typeof type === 'string' && type.startsWith('x.')) return check(CustomBody, value, what) as EventBody
  if (typeof type === 'string' && !Object.hasOwn(eventData, type)) {
    throw new TwinrailError(
      'bad-request',
      `${what}: unknown event type; expected one of the protocol's, or x.<name> for your own`,
      { details: { path: 'type' } },
    )
  }
  return check(KnownBody, value, what) as EventBody
}
