/** How bodies of requests are read, and how long answers are sent. */
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Answers } from '../http/answers.ts'
import { readBody, textOf, tooLarge } from '../http/bodies.ts'
import { parseJson } from '../protocol/index.ts'

/** Reads bodies of JSON up to the route's limit, with a deadline for their next bytes. */
export function jsonBodies(app: FastifyInstance, idleMs: number): void {
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', (request, payload, done) => {
    const { bodyLimit } = request.routeOptions
    if (Number(request.headers['content-length']) > bodyLimit) return done(tooLarge(bodyLimit))
    readBody(payload, bodyLimit, idleMs)
      .then(body => parseJson(textOf(body, 'body'), 'body'))
      .then(value => done(null, value), done)
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
