/** A session's events over HTTP: read as a stream or in pages, written by ingest. */
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { chunksOf } from '../http/bodies.ts'
import { check, Id, limits, SubscriptionQuery, TwinrailError, wholeNumber } from '../protocol/index.ts'
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
  const { producer, seq } = check(ProducerQuery, query, 'query')
  return producer === undefined || seq === undefined ? undefined : { id: producer, seq }
}

export function eventRoutes(app: FastifyInstance, context: TransportContext): void {
  const path = '/v1/sessions/:sessionId/events'

  app.get(path, { exposeHeadRoute: false, config: { action: 'subscribe' } }, async (request, reply) => {
    const sessionId = sessionIdOf(request.params)
    const form = eventsForm(request.headers.accept)
    if (!form) {
      throw new TwinrailError(
        'bad-request',
        'Accept text/event-stream for a stream or application/json for a page',
      )
    }
    const query = { ...(request.query as object), ...lastEventId(request) }
    const options = check(SubscriptionQuery, query, 'query')
    if (form === 'stream') refuseForDoctor(request)
    if (form === 'page') return servePage(context, request, reply, sessionId, options)
    await serveSse(context, reply, { sessionId, options })
    return reply
  })

  app.post(path, { config: { action: 'ingest' } }, async request => {
    context.connections.mustBeOpen()
    const sessionId = sessionIdOf(request.params)
    const producer = producerOf(request.query)
    const { body } = request
    if (isStream(body)) {
      let lost: TwinrailError | undefined
      const hold = await context.door.enter(request, ['ingest'], sessionId, refusal => {
        lost = refusal
      })
      const mustBeAllowed = () => {
        if (lost) throw lost
      }
      try {
        const pieces = chunksOf(body, context.limits.linesMs)
        const batches = lines(body, pieces, mustBeAllowed)
        return await context.sessions.ingestLines(sessionId, batches, hold.principal, producer)
      } finally {
        hold.release()
      }
    }
    const principal = await allow(context, request, 'ingest', sessionId)
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

/**
 * The complete lines of each chunk as it arrives. The last line may have no line feed.
 * @param mustBeAllowed called before each chunk's lines; throws when the producer has lost its right
 */
async function* lines(
  body: Readable,
  pieces: AsyncIterable<Buffer>,
  mustBeAllowed: () => void,
): AsyncGenerator<string[]> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  try {
    for await (const chunk of pieces) {
      const parts = (rest + decoder.write(chunk)).split('\n')
      rest = parts.pop() as string
      if (rest.length > limits.messageBytes || parts.some(line => line.length > limits.messageBytes)) {
        throw new TwinrailError('too-large', `a line is larger than ${limits.messageBytes} bytes`)
      }
      mustBeAllowed()
      if (parts.length > 0) yield parts
    }
  } finally {
    // After a refused line the rest is read and discarded. Unread, it would block the connection.
    body.resume()
  }
  rest += decoder.end()
  if (rest !== '') yield [rest]
}
