/** The types of the messages that a session's stream yields, and of the schemas for the application's own events. */
import type { ControlOf, EphemeralEvent, EventOf, PresenceEvent, TwinrailEvent } from './protocol.ts'

/** Validates a value: a zod schema, or any object with a `parse` method. */
export interface Schema<T = unknown> {
  /** Returns the validated value. @throws when the value has the wrong shape */
  parse(value: unknown): T
}

/** Schemas for the `data` of the application's own events, by type. */
export type Schemas = Readonly<Record<`x.${string}`, Schema>>

/** The type that a schema's `parse` returns. */
export type Parsed<S> = S extends Schema<infer T> ? T : never

/** The type that may be published: a zod schema's input, any other schema's output. */
export type Accepted<S> = S extends { readonly _zod: { readonly input: infer T } } ? T : Parsed<S>

/**
 * The event types that a session with these schemas may publish: those of the schemas, or any `x.<name>` without
 * schemas.
 */
export type Publishable<S extends Schemas> = [keyof S] extends [never]
  ? `x.${string}`
  : keyof S & `x.${string}`

/** An event of the application's own whose `data` the schema refused. The stream continues after it. */
export interface InvalidEvent {
  /** Distinguishes it from events, whose types have a dot. */
  type: 'invalid'
  /** The event as it was received. */
  event: TwinrailEvent | EphemeralEvent
  /** The error that the schema threw. */
  error: unknown
}

/**
 * The control messages that a session's stream yields. `gap`: some events will not be delivered. `reset`: all events
 * before it are void. `caught-up`: the backlog is delivered. `end`: the stream is over.
 */
export type StreamControl = ControlOf<'gap' | 'reset' | 'caught-up' | 'end'>

/** Everything that `events()` yields. `type` discriminates; events are the types with a dot. */
export type SessionEvent = TwinrailEvent | EphemeralEvent | PresenceEvent | StreamControl | InvalidEvent

type Known = Exclude<TwinrailEvent, EventOf<`x.${string}`>>

/** The `run.completed` of an agent with this result. */
export type Completed<Result> = Omit<EventOf<'run.completed'>, 'data'> & {
  data: Omit<EventOf<'run.completed'>['data'], 'result'> & { result: Result }
}

/** The event of a type that has a result, with the type of the result where it is known. */
export type WithResult<E, Result> = unknown extends Result
  ? E
  : E extends { type: 'run.completed' }
    ? Completed<Result>
    : E

/** The events of a run: with the types of its result and of the application's own events, where they are known. */
export type RunEvent<S extends Schemas, Result> = WithResult<
  [keyof S] extends [never] ? SessionEvent : TypedEvent<S>,
  Result
>

/** {@link SessionEvent} with the application's own events typed by its schemas. */
export type TypedEvent<S extends Schemas> =
  | Known
  | { [T in keyof S & string]: Omit<EventOf<T>, 'data'> & { data: Parsed<S[T]>; ephemeral?: true } }[keyof S &
      string]
  | PresenceEvent
  | StreamControl
  | InvalidEvent
