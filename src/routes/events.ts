/** A session's events over HTTP: read as a stream or in pages, written by ingest. */
import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { chunksOf, textOf } from '../http/bodies.ts'
import { checkQuery, Id, limits, SubscriptionQuery, TwinrailError, wholeNumber } from '../protocol/index.ts'
import type { Producer } from '../sessions/ingest.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { servePage } from '../transports/long-poll.ts'
import { serveSse } from '../transports/sse.ts'
import { eventsForm } from './accept.ts'
import { sessionIdOf } from './sessions.ts'

/** The cursor that a reconnecting EventSource sends. It takes precedence over `after`. */
export function lastEventId(request: FastifyRequest): { after?: string } {
  const id = request.headers['last-event-id']
  return typeof id === 'string' && id !== '' ? { after: id } : {}
}

export const ProducerQuery = z
  .object({ producer: Id.optional(), seq: wholeNumber('the number of the first event').optional() })
  .refine(({ producer, seq }) => (producer === undefined) === (seq === undefined), {
    message: 'producer and seq go together',
    path: ['producer'],
  })

function producerOf(query: unknown): Producer | undefined {
  const { producer, seq } = checkQuery(ProducerQuery, query)
  return producer === undefined || seq === undefined ? undefined : { id: producer, seq }
}

export function eventRoutes(app: FastifyInstance, context: TransportContext): void {
  const path = '/v1/sessions/:sessionId/events'

  app.get(path, { exposeHeadRoute: false }, async (request, reply) => {
    const sessionId = sessionIdOf(request.params)
    const form = eventsForm(request.headers.accept)
    if (!form) {
      throw new TwinrailError(
        'bad-request',
        'Accept text/event-stream for a stream or application/json for a page',
      )
    }
    const query = { ...(request.query as object), ...lastEventId(request) }
    const options = checkQuery(SubscriptionQuery, query)
    if (form === 'stream') refuseForDoctor(request)
    if (form === 'page') return servePage(context, request, reply, sessionId, options)
    await serveSse(context, reply, { sessionId, options })
    return reply
  })

  app.post(path, async request => {
    context.connections.mustBeOpen()
    const sessionId = sessionIdOf(request.params)
    const producer = producerOf(request.query)
    const principal = await allow(context, request, 'ingest', sessionId)
    const { body } = request
    if (isStream(body)) {
      const pieces = chunksOf(body, context.limits.linesMs)
      return context.sessions.ingestLines(sessionId, lines(body, pieces), principal, producer)
    }
    const values = Array.isArray(body) ? body : [body]
    return context.sessions.ingest(sessionId, values, principal, producer)
  })
}

/**
 * `twinrail doctor` asks for a 503 on an event stream, to see what the proxies make of it; they often send one themselves
 * while a server restarts. The details hold a header that every proxy for HTTP changes.
 * @throws TwinrailError `unavailable`
 */
function refuseForDoctor({ headers }: FastifyRequest): void {
  if (headers['twinrail-doctor'] !== 'unavailable') return
  throw new TwinrailError('unavailable', 'the doctor asked for this answer', {
    details: { connection: headers.connection ?? '' },
  })
}

const isStream = (body: unknown): body is Readable =>
  body !== null && typeof body === 'object' && Symbol.asyncIterator in body

const LINE_FEED = 10

/**
 * The complete lines of each chunk as it arrives. The last line may have no line feed.
 * @throws TwinrailError at the first line that is too large or not UTF-8, after the lines before it
 */
async function* lines(body: Readable, pieces: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  let begun: Buffer[] = []
  let begunBytes = 0
  try {
    for await (const chunk of pieces) {
      const end = chunk.lastIndexOf(LINE_FEED)
      if (end >= 0) {
        yield* linesIn(Buffer.concat([...begun, chunk.subarray(0, end)]))
        begun = []
        begunBytes = 0
      }
      const rest = chunk.subarray(end + 1)
      begun.push(rest)
      begunBytes += rest.length
      if (begunBytes > limits.messageBytes) throw lineTooLarge()
    }
  } finally {
    // After a refused line the rest is read and discarded. Unread, it would block the connection.
    body.resume()
  }
  if (begunBytes > 0) yield* linesIn(Buffer.concat(begun))
}

/** The lines, all at once unless one of them is refused. */
function* linesIn(bytes: Buffer): Generator<string[]> {
  const good: string[] = []
  let refusal: unknown
  try {
    for (let start = 0, end = 0; end < bytes.length; start = end + 1) {
      end = bytes.indexOf(LINE_FEED, start)
      if (end < 0) end = bytes.length
      if (end - start > limits.messageBytes) throw lineTooLarge()
      good.push(textOf(bytes.subarray(start, end), 'line'))
    }
  } catch (error) {
    refusal = error
  }
  if (good.length > 0) yield good
  if (refusal) throw refusal
}

function lineTooLarge(): TwinrailError {
  return new TwinrailError('too-large', `a line is larger than ${limits.messageBytes} bytes`)
}
