/** Errors as HTTP answers. PROTOCOL.md, "Errors". */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { limits, type Refusal, refusalOf, TwinrailError } from '../protocol/index.ts'

/** Makes a refusal of whatever was thrown; what is not meant for clients is logged and becomes `internal`. */
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
      'the request cannot be read; expected JSON as PROTOCOL.md describes',
    )
  }
  request.log.error({ err: error }, 'a request failed')
  return new TwinrailError(
    'internal',
    'the server failed; the cause is in its log, if it keeps one, under this requestId',
  )
}

/** Sends a refusal in the given form, with its status. */
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

/** Answers `{"error":{…}}`. */
function answer(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  answerWith(asTwinrailError(error, request), reply, ({ code, message, details, retryAfterMs }) => ({
    error: {
      code,
      message,
      requestId: request.id,
      ...(details && { details }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    },
  }))
}

/** Answers a request whose URL leads to no route, such as one with a broken escape. No hooks run for it. */
export function answerUnroutable(_error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request
  // Nobody else closes the socket of an upgrade.
  if (raw.headers.upgrade !== undefined) reply.raw.once('finish', () => raw.socket.destroy())
  answer(
    new TwinrailError('bad-request', 'the URL cannot be read: an escape is broken, or a part too long'),
    request,
    reply,
  )
}

/** The same form for every route but commands, unknown routes and unreadable requests included. */
export function errorHandling(app: FastifyInstance): void {
  app.setErrorHandler(answer)
  app.setNotFoundHandler((request, reply) =>
    answer(new TwinrailError('not-found', 'there is no such route; see /openapi.json'), request, reply),
  )
}

/** The answer to bytes that are no HTTP request, such as a header with a line break in it. */
export const unreadableRequest = (() => {
  const message = 'the request is not valid HTTP'
  const body = JSON.stringify({ error: { code: 'bad-request', message, requestId: '' } })
  return `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
})()
