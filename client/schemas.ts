/** The application's own events, typed by its own schemas. */

/** Anything that checks a value: a zod schema, or an object with a `parse` of one's own. */
export interface Schema<T = unknown> {
  /** Gives the checked value. @throws when it has the wrong shape */
  parse(value: unknown): T
}

/** Schemas of the `data` of one's own events, by type. */
export type Schemas = Readonly<Record<`x.${string}`, Schema>>

/** What `parse` gives. */
export type Parsed<S> = S extends Schema<infer T> ? T : never

/** What goes in: zod schemas tell it, others take what they give. */
export type Accepted<S> = S extends { readonly _zod: { readonly input: infer T } } ? T : Parsed<S>
