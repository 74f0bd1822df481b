/** How bodies of requests are read, and how long answers are sent. */
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Answers } from '../http/answers.ts'
import type { Arriving } from '../http/arriving.ts'
import { noteBodySize, readBody, textOf, tooLarge } from '../http/bodies.ts'
import type { Turnstile } from '../http/turnstile.ts'
import { parseJson } from '../protocol/index.ts'

/** A body that is longer than this takes the parser more than a millisecond. */
const LONG_BYTES = 64 * 1024

/** What bodies share with all others that arrive. */
export interface Incoming {
  readonly turnstile: Turnstile
  readonly arriving: Arriving
}

/** Reads bodies of JSON up to the route's limit, with a deadline for their next bytes. @param type their media type */
export function jsonBodies(
  app: FastifyInstance,
  idleMs: number,
  { turnstile, arriving }: Incoming,
  type = 'application/json',
): void {
  if (app.hasContentTypeParser(type)) app.removeContentTypeParser(type)
  app.addContentTypeParser(type, (request, payload, done) => {
    const { bodyLimit } = request.routeOptions
    if (Number(request.headers['content-length']) > bodyLimit) return done(tooLarge(bodyLimit))
    readBody(payload, bodyLimit, idleMs, arriving).then(body => {
      noteBodySize(request.raw, body.length)
      // Some clients send the type of a body that they leave out.
      if (body.length === 0 && request.routeOptions.config.mayHaveNoBody) return done(null, undefined)
      turnstile.pass(body.length > LONG_BYTES, () => {
        try {
          const text = body.take(bytes => textOf(bytes, 'body'))
          done(null, parseJson(text, 'body'))
        } catch (error) {
          done(error as Error)
        }
      })
    }, done)
  })
}

/** Passes NDJSON bodies of any length on as streams, which are read line by line. */
export function ndjsonBodies(app: FastifyInstance): void {
  app.addContentTypeParser('application/x-ndjson', (_request, payload, done) => done(null, payload))
}

/** Books every answer with its size, and sends long ones piece by piece as they are read. */
export function answersInPieces(app: FastifyInstance, answers: Answers): void {
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) return done(null, payload)
    const sent = answers.sized(reply.raw, payload)
    if (sent instanceof Readable) reply.header('content-length', Buffer.byteLength(payload))
    done(null, sent)
  })
}
