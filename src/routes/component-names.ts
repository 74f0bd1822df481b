/**
 * The names of schemas in /openapi.json. A named schema is described once, under `components`, and referred to by name;
 * generators of clients make a type of each. Requests are described as they are before the schema has parsed them,
 * answers as they are after it.
 */
import { z } from 'zod'
import {
  Command,
  CommandBody,
  ConnectionCommand,
  ControlSchema,
  CustomBody,
  CustomEventSchema,
  controlSchemas,
  EphemeralEventSchema,
  EventBodySchema,
  EventSchema,
  eventData,
  Id,
  KnownBody,
  KnownEventSchema,
  Offset,
  ProviderId,
  ServerMessage,
  SessionCommand,
} from '../protocol/index.ts'

type Names = z.core.$ZodRegistry<{ id: string }>

/** `tool.called` → `ToolCalled` */
const pascal = (type: string) =>
  type.replace(/(?:^|[.-])([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** Names each schema of a union after its `type`. */
function nameByType(names: Names, { options }: { options: readonly unknown[] }, suffix: string): void {
  for (const option of options as z.ZodObject<{ type: z.ZodLiteral<string> }>[]) {
    names.add(option, { id: pascal(option.shape.type.value) + suffix })
  }
}

const common = { Id, Offset, ProviderId }

function namesOf(schemas: Record<string, z.ZodType>): Names {
  const names: Names = z.registry()
  for (const [id, schema] of Object.entries({ ...common, ...schemas })) names.add(schema, { id })
  return names
}

/** Names of schemas in requests. */
export const requestNames = namesOf({
  EventBody: EventBodySchema,
  KnownEventBody: KnownBody,
  CustomEventBody: CustomBody,
  CommandBody,
  Command,
})
nameByType(requestNames, KnownBody, 'EventBody')
nameByType(requestNames, CommandBody as unknown as typeof SessionCommand, 'CommandBody')
nameByType(requestNames, SessionCommand, 'Command')
nameByType(requestNames, ConnectionCommand, 'Command')

/** Names of schemas in answers. Routes add those of their own. */
export const answerNames = namesOf({
  Event: EventSchema,
  KnownEvent: KnownEventSchema,
  CustomEvent: CustomEventSchema,
  EphemeralEvent: EphemeralEventSchema,
  Control: ControlSchema,
  ServerMessage,
})
nameByType(answerNames, KnownEventSchema, 'Event')
for (const [type, data] of Object.entries(eventData)) answerNames.add(data, { id: `${pascal(type)}Data` })
for (const [type, control] of Object.entries(controlSchemas))
  answerNames.add(control, { id: `${pascal(type)}Control` })

/** Gives a schema of an answer its name. */
export function named<S extends z.ZodType>(id: string, schema: S): S {
  answerNames.add(schema, { id })
  return schema
}
