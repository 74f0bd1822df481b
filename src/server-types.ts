/** What the type of a server tells clients that are written in TypeScript. Nothing here exists when the program runs. */
import type { z } from 'zod'
import type { Agent } from './agents/agent.ts'
import type { EventSchemas } from './sessions/own-events.ts'

/** The result that a run of an agent may have; `unknown` for an agent whose type does not tell. */
type ResultOf<R> = R extends { result: infer T }
  ? T
  : R extends { result?: infer T }
    ? T | undefined
    : undefined

/** The agents of a server by name, and the application's own events by type, with what each accepts and gives. */
export interface TypesOf<Agents extends readonly Agent[], Events extends EventSchemas> {
  /** What runs of each agent take, and their results, by name. */
  agents: {
    [One in Agents[number] as One['name']]: One extends Agent<infer _Input, string, infer Given, infer Result>
      ? { input: Given; result: ResultOf<Result> }
      : never
  }
  /** What is accepted of each of the application's own events, and what readers get, by type. */
  events: { [T in keyof Events]: { given: z.input<Events[T]>; data: z.output<Events[T]> } }
}

/**
 * Carries the types of a server's agents and events for `createClient<typeof server>()` of `twinrail-client`. The field
 * is never set.
 */
export interface Typed<Types> {
  /** Never set; only its type is used. */
  readonly '~types'?: Types
}
