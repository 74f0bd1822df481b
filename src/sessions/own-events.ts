/** The application's own events, for which a server has schemas. */
import type { z } from 'zod'
import { check, type EventBody } from '../protocol/index.ts'

/** Schemas for the `data` of the application's own events, by type. */
export type EventSchemas = Readonly<Record<`x.${string}`, z.ZodType>>

/** Checks the application's own events, whoever appends or publishes them. */
export class OwnEvents {
  readonly #schemas: EventSchemas

  constructor(schemas: EventSchemas = {}) {
    this.#schemas = schemas
  }

  /**
   * Returns the event with the data that its schema returned. Types without a schema pass as they are.
   * @param what names the event in messages
   * @throws TwinrailError `bad-request`
   */
  checked<B extends Pick<EventBody, 'type' | 'data'>>(body: B, what: string): B {
    const { type } = body
    if (!type.startsWith('x.') || !Object.hasOwn(this.#schemas, type)) return body
    return { ...body, data: check(this.#schemas[type as `x.${string}`]!, body.data, `${what} ${type}`) }
  }
}
