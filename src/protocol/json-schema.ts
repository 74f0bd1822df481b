/** The protocol as JSON Schema (draft 2020-12), for docs, OpenAPI and clients in other languages. */
import { z } from 'zod'
import { Command } from './commands.ts'
import { ControlSchema } from './controls.ts'
import { EventSchema } from './events.ts'

/** JSON Schema of what a caller may send for a zod schema. */
export function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>
}

/** JSON Schemas of every event, command and control message. */
export function protocolJsonSchema(): Record<'event' | 'command' | 'control', Record<string, unknown>> {
  return {
    event: jsonSchemaOf(EventSchema),
    command: jsonSchemaOf(Command),
    control: jsonSchemaOf(ControlSchema),
  }
}
