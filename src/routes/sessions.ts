/** Sessions over HTTP: create, list, describe, change, delete. */
import { z } from 'zod'
import { formatPlace, PLACE, parsePlace, placeOf } from '../log/activity.ts'
import type { SessionInfo } from '../log/log.ts'
import {
  eventData,
  FreeObject,
  Id,
  Offset,
  PAGE_BYTES,
  TwinrailError,
  wholeNumber,
} from '../protocol/index.ts'
import { METADATA_BYTES } from '../sessions/merge-metadata.ts'
import { newSessionId, type SessionSummary, summaryOf } from '../sessions/sessions.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { named } from './component-names.ts'
import { PollHint } from './poll-hint.ts'
import { type Api, guarded, json, logged, SessionPath } from './schemas.ts'

/** Sessions that are read at a time. Each may have as much metadata as is allowed. */
const LIST_BATCH = 50

/** Sessions that one request looks at. Those that the principal may not see count. */
const LIST_LOOKED = 1000

const Metadata = FreeObject.refine(
  metadata => Buffer.byteLength(JSON.stringify(metadata)) <= METADATA_BYTES,
  `expected at most ${METADATA_BYTES} bytes of JSON`,
)

export const CreateSession = z.object({ sessionId: Id.optional(), metadata: Metadata.optional() })

export const UpdateSession = z.object({
  metadata: Metadata.describe('A JSON Merge Patch (RFC 7396) of the metadata: `null` removes a field'),
})

const Cursor = z.string().max(144).regex(PLACE, 'expected the `next` of a page')

const LIST_RANGE = 'expected 1 to 1000'

export const ListQuery = z.object({
  after: Cursor.optional().describe('The `next` of the page before'),
  limit: wholeNumber('a count of sessions')
    .pipe(z.number().int().min(1, LIST_RANGE).max(1000, LIST_RANGE))
    .default(100)
    .describe('Maximum number of sessions'),
})

const Created = named('CreatedSession', z.object({ sessionId: Id, head: Offset }))

const time = z.int().describe('In ms since 1970')

const summary = {
  sessionId: Id,
  createdAt: time,
  activeAt: z
    .int()
    .describe('When it was created or last got an event, in ms since 1970; up to a second too early'),
  metadata: z.record(z.string(), z.unknown()),
  head: Offset.describe('The newest event; `<epoch>-0` without events'),
  earliest: Offset.describe('The oldest event that the log still holds; head + 1 without events'),
}

const SessionSummarySchema = named('SessionSummary', z.object(summary))

const SessionList = named(
  'SessionList',
  z.object({
    sessions: z.array(SessionSummarySchema),
    next: z.string().optional().describe('The `after` of the next page; absent on the last one'),
    pollMs: z.int().describe('Ask for the first page again after this many ms, to keep the list current'),
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
  const pollHint = new PollHint()

  const created = {
    operationId: 'createSession',
    summary: 'Create a session, or return the existing one',
    tags: ['sessions'],
    body: CreateSession,
    response: { 201: json('Created', Created), 200: json('The session exists already', Created) },
    errors: [...guarded, ...logged, 'restart'],
  } as const
  app.post(
    '/v1/sessions',
    { schema: created, config: { action: 'session.create' } },
    async (request, reply) => {
      const { sessionId = newSessionId(), metadata } = request.body
      const principal = await allow(context, request, 'session.create', sessionId)
      context.connections.mustBeOpen()
      const { created, ...answer } = await sessions.create(sessionId, metadata, principal.id)
      return reply.code(created ? 201 : 200).send(answer)
    },
  )

  const listed = {
    operationId: 'listSessions',
    summary: 'List the sessions that the caller may read, the last active ones first',
    tags: ['sessions'],
    querystring: ListQuery,
    response: { 200: json('A page of at most 1 MiB, which covers at most 1000 sessions', SessionList) },
    errors: [...guarded, ...logged],
  } as const
  app.get('/v1/sessions', { schema: listed, config: { action: 'session.list' } }, async request => {
    const { after, limit } = request.query
    await allow(context, request, 'session.list')
    const pollMs = after ? pollHint.ms : pollHint.asked()
    const seen: SessionSummary[] = []
    let bytes = 0
    let looked = 0
    let last = after === undefined ? undefined : parsePlace(after)
    const batch = Math.min(limit, LIST_BATCH)
    for (;;) {
      const found = await context.journal.recent(last, batch)
      for (const info of found) {
        const session = summaryOf(info)
        const size = Buffer.byteLength(JSON.stringify(session))
        const full = seen.length >= limit || (seen.length > 0 && bytes + size > PAGE_BYTES)
        if (full || looked >= LIST_LOOKED) {
          return { sessions: seen, ...(last && { next: formatPlace(last) }), pollMs }
        }
        looked++
        last = placeOf(info)
        if (!(await maySee(info))) continue
        seen.push(session)
        bytes += size
      }
      if (found.length < batch) return { sessions: seen, pollMs }
      // Logs in memory answer without a turn of the event loop in between.
      await new Promise(resolve => setImmediate(resolve))
    }

    async function maySee(session: SessionInfo): Promise<boolean> {
      try {
        await context.door.allowOn(request, 'session.read', session)
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
  app.get(
    '/v1/sessions/:sessionId',
    { schema: read, exposeHeadRoute: false, config: { action: 'session.read' } },
    async request => {
      const { sessionId } = request.params
      await allow(context, request, 'session.read', sessionId)
      return sessions.describe(sessionId)
    },
  )

  const updated = {
    operationId: 'updateSession',
    summary: 'Change the metadata of a session; its subscribers get `session.updated`',
    tags: ['sessions'],
    params: SessionPath,
    body: UpdateSession,
    response: { 200: json('The session', SessionSummarySchema) },
    errors: [...guarded, ...logged, 'session-not-found', 'too-large', 'rate-limited'],
  } as const
  app.patch(
    '/v1/sessions/:sessionId',
    { schema: updated, config: { action: 'session.update' } },
    async request => {
      const { sessionId } = request.params
      const principal = await allow(context, request, 'session.update', sessionId)
      return sessions.update(sessionId, request.body.metadata, principal)
    },
  )

  const deleted = {
    operationId: 'deleteSession',
    summary: 'Delete a session, end its streams and abort its runs',
    tags: ['sessions'],
    params: SessionPath,
    response: { 204: z.void().describe('There is no such session now') },
    errors: [...guarded, ...logged],
  } as const
  app.delete(
    '/v1/sessions/:sessionId',
    { schema: deleted, config: { action: 'session.delete' } },
    async (request, reply) => {
      const { sessionId } = request.params
      try {
        const { id } = await allow(context, request, 'session.delete', sessionId)
        const isDeleted = await sessions.delete(sessionId)
        if (isDeleted) {
          context.door.report({ what: 'deleted', action: 'session.delete', principal: id, sessionId })
        }
      } catch (error) {
        // It does not exist for this principal, whoever else may have it.
        if (!(error instanceof TwinrailError && error.code === 'session-not-found')) throw error
      }
      return reply.code(204).send()
    },
  )
}
