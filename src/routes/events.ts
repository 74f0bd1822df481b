/** A session's events over HTTP: read as a stream or in pages, written by ingest. */
import type { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Arriving } from '../http/arriving.ts'
import { chunksOf, textOf } from '../http/bodies.ts'
import { Gathered } from '../http/gathered.ts'
import {
  ControlSchema,
  EventBodySchema,
  EventSchema,
  EventsQuery,
  Id,
  limits,
  Offset,
  ServerMessage,
  TwinrailError,
  wholeNumber,
} from '../protocol/index.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { servePage } from '../transports/long-poll.ts'
import { serveSse } from '../transports/sse.ts'
import { eventsForm } from './accept.ts'
import { named } from './component-names.ts'
import { type Api, guarded, json, logged, SessionPath } from './schemas.ts'

/** The header of a reconnecting `EventSource`. */
export const CursorHeader = z.object({
  'Last-Event-ID': Offset.optional().describe(
    'The cursor of a reconnecting EventSource; takes precedence over `after`',
  ),
})

/** Takes the cursor from the header, where it is checked as `after`. */
export async function cursorFromHeader(request: FastifyRequest): Promise<void> {
  const after = request.headers['last-event-id']
  if (typeof after === 'string' && after !== '') request.query = { ...(request.query as object), after }
}

const Page = named(
  'Page',
  z.object({
    events: z.array(EventSchema),
    controls: z.array(ControlSchema).describe('The `reset`, `gap` and `end` that a stream would send'),
    head: Offset,
    earliest: Offset,
    next: Offset.describe('The `after` of the next page, or with `before` the next `before`'),
    caughtUp: z.boolean().describe('Whether there are no more events in this direction'),
  }),
)

/** Runs that one request names to renew their leases. */
const RENEWED_RUNS = 100

export const ProducerQuery = z
  .object({
    producer: Id.optional().describe('Makes retries exact, together with `seq`'),
    seq: wholeNumber('the number of the first event')
      .pipe(z.number().int().min(0))
      .optional()
      .describe("The producer's number of the first event in the body"),
    writer: Id.optional().describe(
      'The producer appends only while it is the newest one that names this writer; goes with `epoch`',
    ),
    epoch: wholeNumber("the producer's epoch")
      .pipe(z.number().int().min(1))
      .optional()
      .describe(
        'Which producer of the writer this is, from 1 on: the first append of an epoch ends those before it',
      ),
    runs: z
      .string()
      // A request's head has no room for more.
      .max(16 * 1024)
      .transform(text => text.split(','))
      .pipe(z.array(Id).max(RENEWED_RUNS))
      .optional()
      .describe(
        'With an empty array: the runs whose leases it renews, separated by commas; default all open ones',
      ),
  })
  .refine(({ producer, seq }) => (producer === undefined) === (seq === undefined), {
    message: 'producer and seq go together',
    path: ['producer'],
  })
  .refine(({ writer, epoch }) => (writer === undefined) === (epoch === undefined), {
    message: 'writer and epoch go together',
    path: ['writer'],
  })
  .refine(({ producer, writer }) => producer !== undefined || writer === undefined, {
    message: 'writer needs producer and seq',
    path: ['writer'],
  })

const Ingested = named(
  'Ingested',
  z.object({
    first: Offset.optional().describe(
      "The offset of the body's first event, also where the log had it before; absent for an empty array, and where that was too long ago",
    ),
    head: Offset,
    count: z.int(),
  }),
)

const read = {
  operationId: 'getEvents',
  summary: "A session's events as a stream, or in pages with `Accept: application/json`",
  tags: ['events'],
  params: SessionPath,
  querystring: EventsQuery,
  headers: CursorHeader,
  response: {
    200: {
      description:
        'Events after the cursor, in order. In a stream the `data` of each server-sent event is one message as JSON; the `event` of a control message is its type, and the `id` of an event its offset. A refusal that passes, such as `restart`, is a stream that has only `closing`',
      content: { 'text/event-stream': { schema: ServerMessage }, 'application/json': { schema: Page } },
    },
    204: z
      .void()
      .describe('A stream of a run that has ended, with a cursor past its end: no more events will come'),
  },
  errors: [...guarded, ...logged, 'session-not-found', 'run-not-found', 'restart'],
} as const

const ingested = {
  operationId: 'ingestEvents',
  summary: 'Append events of an external producer',
  description:
    'One event, an array (all or nothing), or NDJSON with one event on each line, which is appended line by line. An empty array renews the leases of `runs`, or of all open runs of the principal in the session. `run.started` opens a run that belongs to the producer.',
  tags: ['events'],
  params: SessionPath,
  querystring: ProducerQuery,
  body: {
    content: {
      'application/json': { schema: z.union([EventBodySchema, z.array(EventBodySchema)]) },
      'application/x-ndjson': { schema: EventBodySchema },
    },
  },
  response: { 200: json('Every event is in the log', Ingested) },
  errors: [...guarded, ...logged, 'run-not-found', 'conflict', 'run-ended', 'restart'],
} as const

export function eventRoutes(app: Api, context: TransportContext): void {
  const path = '/v1/sessions/:sessionId/events'

  app.get(
    path,
    {
      schema: read,
      config: { action: 'subscribe' },
      preValidation: cursorFromHeader,
      exposeHeadRoute: false,
    },
    async (request, reply) => {
      const { sessionId } = request.params
      const form = eventsForm(request.headers.accept)
      if (!form) {
        throw new TwinrailError(
          'bad-request',
          'Accept text/event-stream for a stream or application/json for a page',
        )
      }
      if (form === 'stream') refuseForDoctor(request)
      if (form === 'page') return servePage(context, request, reply, sessionId, request.query)
      await serveSse(context, reply, { sessionId, options: request.query })
      return reply
    },
  )

  app.post(
    path,
    {
      schema: ingested,
      config: { action: 'ingest' },
      preValidation: async () => context.connections.mustBeOpen(),
    },
    async request => {
      const { sessionId } = request.params
      const { producer: id, seq, writer: name, epoch, runs } = request.query
      const writer = name === undefined || epoch === undefined ? undefined : { name, epoch }
      const producer = id === undefined || seq === undefined ? undefined : { id, seq, writer }
      const { body } = request
      if (isStream(body)) {
        let lost: TwinrailError | undefined
        const hold = await context.door.enter(request, ['ingest'], sessionId, ['connections'], refusal => {
          lost = refusal
        })
        const mayTake = (bytes: number) => {
          if (lost) throw lost
          context.door.take(request, hold.principal, bytes)
        }
        try {
          if (runs) throw runsWithEvents()
          const pieces = chunksOf(body, context.limits.linesMs)
          const arrived = lines(body, pieces, context.arriving, mayTake)
          return await context.sessions.ingestLines(sessionId, arrived, hold.principal, producer)
        } finally {
          hold.release()
        }
      }
      const principal = await allow(context, request, 'ingest', sessionId)
      const values = Array.isArray(body) ? body : [body]
      if (runs && values.length > 0) throw runsWithEvents()
      return context.sessions.ingest(sessionId, values, principal, producer, runs)
    },
  )
}

/** Events name their runs themselves. */
function runsWithEvents(): TwinrailError {
  return new TwinrailError(
    'bad-request',
    '`runs` says which leases an empty array renews; leave it out when there are events',
    { details: { path: 'runs' } },
  )
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
 * @param mayTake called before each chunk's lines; throws when the producer has lost its right, or sends too much
 * @throws TwinrailError at the first line that is too large or not UTF-8, after the lines before it
 */
async function* lines(
  body: Readable,
  pieces: AsyncIterable<Buffer>,
  arriving: Arriving,
  mayTake: (bytes: number) => void,
): AsyncGenerator<string[]> {
  // The loop below waits for a line that may never end.
  const holder = { giveUp: () => void body.destroy() }
  const begun = new Gathered()
  try {
    for await (const chunk of pieces) {
      mayTake(chunk.length)
      const end = chunk.lastIndexOf(LINE_FEED)
      if (end >= 0) {
        const whole = chunk.subarray(0, end)
        if (begun.length > 0) begun.add(whole)
        yield* begun.length > 0 ? begun.take(linesIn) : linesIn(whole)
      }
      const rest = chunk.subarray(end + 1)
      if (begun.length + rest.length > limits.messageBytes) throw lineTooLarge()
      if (rest.length > 0) begun.add(rest)
      arriving.set(holder, begun.capacity)
    }
    arriving.set(holder, 0)
    if (begun.length > 0) yield* begun.take(linesIn)
  } finally {
    arriving.set(holder, 0)
    begun.drop()
    // After a refused line the rest is read and discarded. Unread, it would block the connection.
    body.resume()
  }
}

/** The lines, all at once; those before one that is refused, and its refusal. */
function linesIn(bytes: Buffer): Generator<string[]> {
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
  return given(good, refusal)
}

function* given(lines: string[], refusal: unknown): Generator<string[]> {
  if (lines.length > 0) yield lines
  if (refusal) throw refusal
}

function lineTooLarge(): TwinrailError {
  return new TwinrailError('too-large', `a line is larger than ${limits.messageBytes} bytes`)
}
