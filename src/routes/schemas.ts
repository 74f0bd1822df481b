/**
 * Routes with zod schemas: Fastify checks requests against them before the handler runs, the types of requests and
 * answers come from them, and /openapi.json is made from them.
 */
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifySchemaCompiler,
  FastifyTypeProvider,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import { z } from 'zod'
import { check, checkQuery, type ErrorCode, Id } from '../protocol/index.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** The codes with which the route may refuse, beside those that every route of its kind has. */
    errors?: readonly ErrorCode[]
    /** Whether refusals are a `nack`. @default false: `{"error":{…}}` */
    nacks?: boolean
    /** The messages of the connection that the route opens. */
    'x-websocket'?: { subprotocol: string; send: z.ZodType; receive: z.ZodType }
  }
}

/** What JSON can be made of: as the schema's type, but read-only, and an optional field may be `undefined`. */
type Sendable<T> = T extends readonly (infer E)[]
  ? readonly Sendable<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Sendable<T[K]> | (undefined extends T[K] ? undefined : never) }
    : T

interface ZodProvider extends FastifyTypeProvider {
  validator: this['schema'] extends z.ZodType ? z.output<this['schema']> : unknown
  serializer: this['schema'] extends z.ZodType ? Sendable<z.output<this['schema']>> : unknown
}

/** A Fastify instance whose routes have zod schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodProvider
>

/** How messages name a part of a request, and the values of schemas that have a name of their own. */
const partNames: Readonly<Record<string, string>> = { params: 'path', body: 'body' }

export const called = z.registry<{ what: string }>()

/**
 * Checks parts of requests as {@link check} does. Two kinds of parts are only described by their schema: headers, which
 * stand for an option of the query, and bodies of several media types, whose events are checked one by one.
 */
const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart = '', ...route }) => {
  if (httpPart === 'headers' || 'contentType' in route) return () => true
  const what = called.get(schema)?.what ?? partNames[httpPart] ?? httpPart
  return value => {
    try {
      return {
        value: httpPart === 'querystring' ? checkQuery(schema, value) : check(schema, value ?? {}, what),
      }
    } catch (error) {
      return { error: error as Error }
    }
  }
}

/** Lets routes of this instance have zod schemas. Answers are sent as they are: a check would cost time and drop fields. */
export function withZodSchemas(app: FastifyInstance): Api {
  return app
    .setValidatorCompiler(validatorCompiler)
    .setSerializerCompiler(() => data => JSON.stringify(data))
    .withTypeProvider<ZodProvider>()
}

/** An answer of JSON. */
export const json = <S extends z.ZodType>(description: string, schema: S) => ({
  description,
  content: { 'application/json': { schema } },
})

/** The path of a session's routes. */
export const SessionPath = z.object({ sessionId: Id })

/** Refusals of routes that ask the `authorize` hook. The hook may refuse with other codes, too. */
export const guarded = ['unauthorized', 'rate-limited'] as const satisfies ErrorCode[]

/** Refusals of routes that read or write the log. */
export const logged = ['unavailable'] as const satisfies ErrorCode[]
