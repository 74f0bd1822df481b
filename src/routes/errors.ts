/** Errors as HTTP answers. PROTOCOL.md, "Errors". */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Door } from '../auth/door.ts'
import { ErrorCodeSchema, Id, limits, type Refusal, refusalOf, TwinrailError } from '../protocol/index.ts'
import { named } from './component-names.ts'

/** The body of every refusal, except those of commands. */
export const ErrorAnswer = named(
  'Error',
  z.object({
    error: z.object({
      code: ErrorCodeSchema,
      message: z.string().describe('For people: what was received, what was expected, what to do'),
      requestId: z.string().describe("The server's log has the request under this id"),
      details: z.record(z.string(), z.unknown()).optional().describe('For programs; PROTOCOL.md says which'),
      retryAfterMs: z.int().optional().describe('How long to wait before a retry'),
    }),
  }),
)

/** Converts any error to a refusal. An unexpected error is reported to the diagnostic output and becomes `internal` without its text. */
export function asTwinrailError(error: unknown, request: FastifyRequest): TwinrailError {
  if (error instanceof TwinrailError) return error
  const { statusCode, code } = error as FastifyError
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE' || statusCode === 413) {
    return new TwinrailError('too-large', `the body is larger than ${limits.messageBytes} bytes; send less`)
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' || statusCode === 415) {
    return new TwinrailError(
      'unsupported-media-type',
      'send application/json, or application/x-ndjson where events are ingested',
    )
  }
  if (statusCode === 404) return new TwinrailError('not-found', 'there is no such route')
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new TwinrailError(
      'bad-request',
      'the request is malformed; expected JSON as PROTOCOL.md describes',
    )
  }
  request.log.error({ err: error }, 'a request failed')
  return new TwinrailError(
    'internal',
    'the server failed; its diagnostic output, if enabled, has the cause under this requestId',
  )
}

/** Sends a refusal with its status, in the form that `form` gives it. */
export function answerWith(
  error: TwinrailError,
  reply: FastifyReply,
  form: (refusal: Refusal) => unknown,
): void {
  if (error.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000))
  void reply
    .code(error.status)
    .type('application/json; charset=utf-8')
    .send(form(refusalOf(error)))
}

/**
 * Says in each answer whether its connection ends. Fastify ends it after each body that it refuses. The rest of the body would
 * then meet a closed socket, and a proxy that still sends it would answer 502 instead. Here the rest is read and dropped,
 * within its own time limit.
 */
function connectionsStay(app: FastifyInstance): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    if (endsConnection(request, reply)) reply.header('connection', 'close')
    else if (reply.hasHeader('connection')) reply.removeHeader('connection')
    done(null, payload)
  })
}

/** After a body that did not come in time, and after a request that HTTP/1.1 does not allow, nothing can follow. */
function endsConnection({ raw }: FastifyRequest, { statusCode }: FastifyReply): boolean {
  if (raw.httpVersionMajor > 1) return false
  return (statusCode === 408 && !raw.complete) || (statusCode >= 400 && raw.headers.host === undefined)
}

/** Answers `{"error":{…}}`. */
function answer(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  answerWith(
    asTwinrailError(error, request),
    reply,
    ({ code, message, details, retryAfterMs }) =>
      ({
        error: {
          code,
          message,
          requestId: request.id,
          ...(details && { details }),
          ...(retryAfterMs !== undefined && { retryAfterMs }),
        },
      }) satisfies z.output<typeof ErrorAnswer>,
  )
}

/** Answers a request with a malformed URL, such as a broken escape. Fastify runs no hooks for it. */
export function answerUnroutable(_error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request
  // Node leaves the socket of an upgrade to the handler.
  if (raw.headers.upgrade !== undefined) reply.raw.once('finish', () => raw.socket.destroy())
  answer(
    new TwinrailError('bad-request', 'the URL is malformed: an escape is broken, or a part is too long'),
    request,
    reply,
  )
}

/**
 * The error that a request is answered with: where it failed before it was authorized and is not allowed, the refusal.
 * What the request says is parsed and checked before the action is known, so the order is restored here.
 */
export async function authorizedFirst(door: Door, error: unknown, request: FastifyRequest): Promise<unknown> {
  const { code } = (error ?? {}) as { code?: unknown }
  if (code === 'unauthorized' || code === 'forbidden' || code === 'rate-limited') return error
  const { action } = request.routeOptions.config
  if (!action) return error
  const { sessionId } = (request.params ?? {}) as { sessionId?: unknown }
  const session = Id.safeParse(sessionId).data
  // Which command it is stands in the body.
  return (await door.refusalOf(request, action === 'command' ? 'connect' : action, session)) ?? error
}

/**
 * Sets the error format of every route except commands and some dialects, and of unknown routes.
 * @param prefix the path below which the routes are
 */
export function errorHandling(app: FastifyInstance, door: Door, prefix: string): void {
  connectionsStay(app)
  app.setErrorHandler(async (error, request, reply) => {
    answer(await authorizedFirst(door, error, request), request, reply)
    return reply
  })
  app.setNotFoundHandler((request, reply) =>
    answer(
      new TwinrailError('not-found', `there is no such route; see ${prefix}/openapi.json`),
      request,
      reply,
    ),
  )
}
