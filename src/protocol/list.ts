/** Schemas of lists with a maximum length. */
import { z } from 'zod'

/**
 * The schema of a list of at most `max` entries. It checks the length before the entries: zod collects the issues of
 * all entries, about 20 µs each, so a body of 1 MiB could keep the server busy for seconds.
 */
export function listOf<S extends z.ZodType>(entry: S, max: number): z.ZodType<z.output<S>[], z.input<S>[]> {
  return z.array(z.unknown()).max(max).pipe(z.array(entry)) as unknown as z.ZodType<
    z.output<S>[],
    z.input<S>[]
  >
}

/** The entry's schema of a {@link listOf}; `undefined` for any other schema. */
export function entryOf(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  const { def } = schema._zod as unknown as { def: z.core.$ZodPipeDef }
  if (def.type !== 'pipe' || def.in._zod.def.type !== 'array' || def.out._zod.def.type !== 'array')
    return undefined
  return (def.out._zod.def as unknown as z.core.$ZodArrayDef).element
}
