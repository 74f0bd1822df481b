/**
 * What a client knows of its server by its type. It reads the types of `twinrail` by their shape, so that this package does
 * not need that one.
 */
import type { Schema, Schemas, SessionEvent, TypedEvent } from './events.ts'
import type { RunOptions } from './run.ts'

/** What an agent accepts, and the `result` of its runs. */
export interface AgentTypes {
  /** What `run` takes. */
  input: unknown
  /** What a completed run may have as its result. */
  result: unknown
}

/** What is accepted as `data` of an event of the application's own, and what readers get. */
export interface EventTypes {
  /** What `publish` takes. */
  given: unknown
  /** What readers get. */
  data: unknown
}

/** The agents of a server by name, and the application's own events by type. */
export interface ServerTypes {
  /** The agents by name. */
  agents: Record<string, AgentTypes>
  /** The application's own events by type. */
  events: Record<string, EventTypes>
}

/** Of a server that nothing is known of: any agents and events. */
export interface AnyServer {
  /** Any name is accepted. */
  agents: Record<string, AgentTypes>
  /** None is known. */
  events: Record<never, never>
}

/** An agent of `defineAgent`. */
interface AgentShape {
  readonly name: string
  readonly input: { readonly _zod: { readonly input: unknown } }
  run(input: never, context: never): AsyncGenerator<unknown, unknown, void>
}

type ResultOf<A extends AgentShape> =
  ReturnType<A['run']> extends AsyncGenerator<unknown, infer R, void>
    ? unknown extends R
      ? unknown
      : NonNullable<R> extends { result?: infer T }
        ? T
        : undefined
    : unknown

interface AgentsOf<List extends readonly AgentShape[]> extends AnyServer {
  agents: {
    [A in List[number] as A['name']]: { input: A['input']['_zod']['input']; result: ResultOf<A> }
  }
}

/**
 * The types of `S`, which is the type of a server (of `createServer` or `createHandler`), or of a list of agents of
 * `defineAgent`. {@link AnyServer} for every other type.
 */
export type TypesOf<S> = S extends readonly AgentShape[]
  ? AgentsOf<S>
  : S extends { readonly '~types'?: infer T }
    ? NonNullable<T> extends ServerTypes
      ? NonNullable<T>
      : AnyServer
    : AnyServer

/** The names of the agents. */
export type AgentName<T extends ServerTypes> = keyof T['agents'] & string

/** The input of an agent. */
export type InputOf<T extends ServerTypes, N extends AgentName<T>> = T['agents'][N]['input']

/** The application's own events, as if a session had schemas of them. */
export type ServerSchemas<T extends ServerTypes> = {
  [Type in keyof T['events'] & `x.${string}`]: Schema<T['events'][Type]['data']> & {
    readonly _zod: { readonly input: T['events'][Type]['given'] }
  }
}

/** The schemas of a session: its own, and the server's for other types. */
export type SchemasWith<T extends ServerTypes, S extends Schemas> = [keyof T['events']] extends [never]
  ? S
  : [keyof S] extends [never]
    ? ServerSchemas<T>
    : Omit<ServerSchemas<T>, keyof S> & S

/** The events of a session. */
export type EventsOf<T extends ServerTypes> = [keyof T['events']] extends [never]
  ? SessionEvent
  : TypedEvent<ServerSchemas<T>>

/** Starts a run of an agent of the server. */
export type Start<T extends ServerTypes> = <N extends AgentName<T>>(
  agent: N,
  input: InputOf<T, N>,
  options?: RunOptions,
) => Promise<string | undefined>
