/** `GET /openapi.json`: the HTTP API as OpenAPI 3.1, made by @fastify/swagger from the schemas of the routes. */
import swagger from '@fastify/swagger'
import type { FastifyInstance, FastifySchema } from 'fastify'
import { z } from 'zod'
import { controlSchemas, type ErrorCode, entryOf, errorMeanings, errorTable } from '../protocol/index.ts'
import { answerNames, requestNames } from './component-names.ts'
import { ErrorAnswer } from './errors.ts'

type Json = Record<string, unknown>

/** Schemas by their names. */
type Components = Record<string, Json>

const DESCRIPTION = `Agent runs as durable sessions over SSE, WebSocket and long-poll. PROTOCOL.md is the full description.

Ignore fields, event types and control messages that are not described here: later versions add some. Each server decides \
which credentials it wants; without valid ones it answers 401 or 403.`

/**
 * Describes the routes that are added to this instance from now on; `api.swagger()` makes the document.
 * @param prefix the path below which the routes are
 * @param foreign the paths of foreign protocols, which are described elsewhere
 */
export async function describeRoutes(
  api: FastifyInstance,
  prefix: string,
  foreign: Json = {},
): Promise<void> {
  const components: Components = {}
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Twinrail',
        version: '1',
        description: DESCRIPTION,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      ...(prefix !== '' && { servers: [{ url: prefix }] }),
    },
    convertConstToEnum: false,
    transform: ({ schema, url }) => ({ schema: described(schema, components), url }),
    transformObject: document => ({
      ...('openapiObject' in document && document.openapiObject),
      paths: { ...('openapiObject' in document && document.openapiObject.paths), ...foreign } as never,
      components: { schemas: sorted(components) } as never,
    }),
  })
}

/** A route's schema with JSON Schemas in place of those of zod, and with its refusals. */
function described(schema: FastifySchema | undefined, components: Components): FastifySchema {
  if (!schema || schema.hide) return { hide: true }
  const {
    params,
    querystring,
    headers,
    body,
    response,
    errors,
    nacks,
    'x-websocket': socket,
    ...rest
  } = schema
  const request = (part: unknown) => convert(part as z.ZodType, 'input', components)
  return {
    ...rest,
    ...(params !== undefined && { params: parametersOf(params) }),
    ...(querystring !== undefined && { querystring: parametersOf(querystring) }),
    ...(headers !== undefined && { headers: parametersOf(headers) }),
    ...(body !== undefined && {
      body: body instanceof z.ZodType ? request(body) : { content: contentOf(body, request) },
    }),
    ...(socket && {
      'x-websocket': {
        subprotocol: socket.subprotocol,
        send: request(socket.send),
        receive: convert(socket.receive, 'output', components),
      } as never,
    }),
    response: { ...answersOf(response, components), ...refusalsOf(schema, components) },
  }
}

interface Contents {
  content: Record<string, { schema: z.ZodType }>
}

const contentOf = (part: unknown, convert: (schema: z.ZodType) => Json) =>
  Object.fromEntries(
    Object.entries((part as Contents).content).map(([type, { schema }]) => [
      type,
      { schema: convert(schema) },
    ]),
  )

function answersOf(response: unknown, components: Components): Json {
  const answers = response as Record<string, z.ZodType | ({ description: string } & Contents)>
  return Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => [
      status,
      answer instanceof z.ZodType
        ? { type: 'null', description: answer.description }
        : { ...answer, content: contentOf(answer, schema => convert(schema, 'output', components)) },
    ]),
  )
}

/** All refusals of a route by their status. */
function refusalsOf(
  { errors = [], nacks, params, querystring, body }: FastifySchema,
  components: Components,
): Json {
  const codes = new Set<ErrorCode>(['forbidden', 'internal', ...errors])
  if (params ?? querystring ?? body) codes.add('bad-request')
  if (body !== undefined) for (const code of bodyRefusals) codes.add(code)
  const schema = convert(nacks ? controlSchemas.nack : ErrorAnswer, 'output', components)
  const refusals: Record<number, { description: string; content: Json; headers?: Json }> = {}
  for (const [code, { status, retryable }] of Object.entries(errorTable)) {
    if (!codes.has(code as ErrorCode)) continue
    const meaning = `\`${code}\`: ${errorMeanings[code as ErrorCode]}`
    refusals[status] = {
      description: refusals[status] ? `${refusals[status].description}\n\n${meaning}` : meaning,
      content: { 'application/json': { schema } },
      ...(retryable && { headers: retryAfter }),
    }
  }
  return refusals
}

const bodyRefusals = ['timeout', 'too-large', 'unsupported-media-type'] as const satisfies ErrorCode[]

const retryAfter = {
  'Retry-After': {
    type: 'integer',
    description: '`retryAfterMs` in seconds, rounded up; absent without one',
  },
}

/** The JSON Schema of an object whose fields are parameters. They are described as what their text is parsed to. */
function parametersOf(schema: unknown): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema as z.ZodType, {
    io: 'output',
    unrepresentable: 'any',
    override: amend(),
  })
  // What has a default may be left out.
  const { properties = {}, required = [] } = json as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return { ...json, required: required.filter(name => properties[name]?.['default'] === undefined) }
}

/** The JSON Schema of a body or an answer. Named schemas are added to the components. */
function convert(schema: z.ZodType, io: 'input' | 'output', components: Components): Json {
  const name = (io === 'input' ? requestNames : answerNames).get(schema)?.id
  if (name !== undefined && components[name]) return { $ref: `#/components/schemas/${name}` }
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io,
    metadata: io === 'input' ? requestNames : answerNames,
    unrepresentable: 'any',
    override: amend(components),
  })
  const { $defs = {}, ...rest } = JSON.parse(
    JSON.stringify(json).replaceAll('"#/$defs/', '"#/components/schemas/'),
  ) as Json & { $defs?: Components }
  Object.assign(components, $defs)
  return rest
}

type Override = NonNullable<NonNullable<Parameters<typeof z.toJSONSchema>[1]>['override']>

/** What zod leaves out, and what would give generated clients worse types. */
function amend(components?: Components): Override {
  return ({ zodSchema, jsonSchema }) => {
    const { def } = zodSchema._zod
    Object.assign(jsonSchema, z.globalRegistry.get(zodSchema))
    const entry = entryOf(zodSchema)
    if (entry && components) jsonSchema.items = convert(entry as z.ZodType, 'input', components)
    // Unknown fields are always allowed, which is what JSON Schema means without a word about them.
    if (def.type === 'object') delete jsonSchema.additionalProperties
    if (jsonSchema.type === 'integer') widen(jsonSchema)
    if (components) tellDefault(jsonSchema)
    if ('discriminator' in def && jsonSchema.oneOf) {
      jsonSchema['discriminator'] = {
        propertyName: def.discriminator,
        mapping: mappingOf(zodSchema as unknown as z.ZodDiscriminatedUnion, jsonSchema.oneOf),
      }
    }
  }
}

/** Puts the default of a field into words: generators make a field that has one a field that must be sent. */
function tellDefault(schema: { default?: unknown; description?: string }): void {
  if (schema.default === undefined) return
  const told = `default \`${JSON.stringify(schema.default)}\``
  schema.description = schema.description ? `${schema.description}; ${told}` : told
  delete schema.default
}

/** Times in ms need 64 bits; generators of some languages take 32 without a word about it. */
function widen(schema: { minimum?: number; maximum?: number; format?: string }): void {
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum
  if (schema.maximum === undefined || schema.maximum > 2 ** 31 - 1) schema.format = 'int64'
}

/** Which `type` has which schema. A union within the union has several. */
function mappingOf(
  { options }: { options: readonly z.core.$ZodType[] },
  refs: readonly { $ref?: string }[],
): Json {
  return Object.fromEntries(
    options.flatMap((option, i) =>
      [...(option._zod.propValues?.['type'] ?? [])].map(type => [String(type), refs[i]?.$ref]),
    ),
  )
}

function sorted(components: Components): Components {
  return Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1)))
}
