/** Sessions over HTTP: create, list, describe, delete. */
import { z } from 'zod'
import { mustBeAllowed } from '../auth/authorize.ts'
import {
  eventData,
  FreeObject,
  Id,
  Offset,
  PAGE_BYTES,
  TwinrailError,
  wholeNumber,
} from '../protocol/index.ts'
import { newSessionId, type SessionSummary } from '../sessions/sessions.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { named } from './component-names.ts'
import { type Api, guarded, json, logged, SessionPath } from './schemas.ts'

/** Maximum size of a session's metadata, in UTF-8 bytes of JSON. */
const METADATA_BYTES = 16 * 1024

/** Sessions that are read at a time. Each may have as much metadata as is allowed. */
const LIST_BATCH = 50

/** Sessions that one request looks at. Those that the principal may not see count. */
const LIST_LOOKED = 1000

export const CreateSession = z.object({
  sessionId: Id.optional(),
  metadata: FreeObject.refine(
    metadata => Buffer.byteLength(JSON.stringify(metadata)) <= METADATA_BYTES,
    `expected at most ${METADATA_BYTES} bytes of JSON`,
  ).optional(),
})

const LIST_RANGE = 'expected 1 to 1000'

export const ListQuery = z.object({
  after: Id.optional().describe('Only sessions after this id: the `next` of the page before'),
  limit: wholeNumber('a count of sessions')
    .pipe(z.number().int().min(1, LIST_RANGE).max(1000, LIST_RANGE))
    .default(100)
    .describe('Maximum number of sessions'),
})

const Created = named('CreatedSession', z.object({ sessionId: Id, head: Offset }))

const summary = {
  sessionId: Id,
  metadata: z.record(z.string(), z.unknown()),
  head: Offset.describe('The newest event; `<epoch>-0` without events'),
  earliest: Offset.describe('The oldest event that the log still holds; head + 1 without events'),
}

const time = z.int().describe('In ms since 1970')

const SessionList = named(
  'SessionList',
  z.object({
    sessions: z.array(named('SessionSummary', z.object({ ...summary, createdAt: time }))),
    next: Id.optional().describe('The `after` of the next page; absent on the last one'),
  }),
)

const Run = named(
  'Run',
  z.object({
    runId: Id,
    agent: z.string(),
    status: z.enum(['running', 'completed', 'failed', 'cancelled']),
    startedAt: time,
    startOffset: Offset,
    endOffset: Offset.optional(),
  }),
)

const PendingInput = named(
  'PendingInput',
  z.object({ ...eventData['input.requested'].shape, offset: Offset, runId: Id.optional() }),
)

const Session = named(
  'Session',
  z.object({
    ...summary,
    runs: z.array(Run).describe('All open runs and the last 100 ended ones'),
    pendingInputs: z.array(PendingInput).describe('All open questions'),
  }),
)

export function sessionRoutes(app: Api, context: TransportContext): void {
  const { sessions } = context

  const created = {
    operationId: 'createSession',
    summary: 'Create a session, or return the existing one',
    tags: ['sessions'],
    body: CreateSession,
    response: { 201: json('Created', Created), 200: json('The session exists already', Created) },
    errors: [...guarded, ...logged, 'restart'],
  } as const
  app.post('/v1/sessions', { schema: created }, async (request, reply) => {
    const { sessionId = newSessionId(), metadata } = request.body
    await allow(context, request, 'session.create', sessionId)
    context.connections.mustBeOpen()
    const { created, ...answer } = await sessions.create(sessionId, metadata)
    return reply.code(created ? 201 : 200).send(answer)
  })

  const listed = {
    operationId: 'listSessions',
    summary: 'List the sessions that the caller may read, in the order of their ids',
    tags: ['sessions'],
    querystring: ListQuery,
    response: { 200: json('A page of at most 1 MiB, which covers at most 1000 sessions', SessionList) },
    errors: [...guarded, ...logged],
  } as const
  app.get('/v1/sessions', { schema: listed }, async request => {
    const { after, limit } = request.query
    await allow(context, request, 'session.list')
    const seen: SessionSummary[] = []
    let bytes = 0
    let looked = 0
    let last = after
    const batch = Math.min(limit, LIST_BATCH)
    for (;;) {
      const found = await sessions.list(last, batch)
      for (const session of found) {
        const size = Buffer.byteLength(JSON.stringify(session))
        const full = seen.length >= limit || (seen.length > 0 && bytes + size > PAGE_BYTES)
        if (full || looked >= LIST_LOOKED) return { sessions: seen, next: last }
        looked++
        last = session.sessionId
        if (!(await maySee(session.sessionId))) continue
        seen.push(session)
        bytes += size
      }
      if (found.length < batch) return { sessions: seen }
      // Logs in memory answer without a turn of the event loop in between.
      await new Promise(resolve => setImmediate(resolve))
    }

    async function maySee(sessionId: string): Promise<boolean> {
      try {
        await mustBeAllowed(context.authorize, request, 'session.read', sessionId)
        return true
      } catch (error) {
        if (error instanceof TwinrailError) return false
        throw error
      }
    }
  })

  const read = {
    operationId: 'getSession',
    summary: 'A session with its runs and open questions',
    tags: ['sessions'],
    params: SessionPath,
    response: { 200: json('The session', Session) },
    errors: [...guarded, ...logged, 'session-not-found'],
  } as const
  app.get('/v1/sessions/:sessionId', { schema: read, exposeHeadRoute: false }, async request => {
    const { sessionId } = request.params
    await allow(context, request, 'session.read', sessionId)
    return sessions.describe(sessionId)
  })

  const deleted = {
    operationId: 'deleteSession',
    summary: 'Delete a session, end its streams and abort its runs',
    tags: ['sessions'],
    params: SessionPath,
    response: { 204: z.void().describe('There is no such session now') },
    errors: [...guarded, ...logged],
  } as const
  app.delete('/v1/sessions/:sessionId', { schema: deleted }, async (request, reply) => {
    const { sessionId } = request.params
    await allow(context, request, 'session.delete', sessionId)
    await sessions.delete(sessionId)
    return reply.code(204).send()
  })
}
