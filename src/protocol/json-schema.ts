/** The protocol as JSON Schema (draft 2020-12), for docs, OpenAPI and clients in other languages. */
import { z } from 'zod'
import { Command } from './commands.ts'
import { ControlSchema } from './controls.ts'
import { EventSchema } from './events.ts'
import { entryOf } from './list.ts'

/** The JSON Schema of the values that a zod schema accepts. */
export function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const entry = entryOf(zodSchema)
      if (entry)
        jsonSchema.items = withoutDraft(jsonSchemaOf(entry as z.ZodType)) as NonNullable<
          typeof jsonSchema.items
        >
    },
  }) as Record<string, unknown>
}

/** JSON Schemas of every event, command and control message. */
export function protocolJsonSchema(): Record<'event' | 'command' | 'control', Record<string, unknown>> {
  return {
    event: jsonSchemaOf(EventSchema),
    command: jsonSchemaOf(Command),
    control: jsonSchemaOf(ControlSchema),
  }
}

/** A schema for use inside another one: only the outermost schema names its draft. */
function withoutDraft({ $schema: _, ...schema }: Record<string, unknown>): Record<string, unknown> {
  return schema
}
