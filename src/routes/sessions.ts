/** Sessions over HTTP: create, list, describe, delete. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { SessionInfo } from '../log/log.ts'
import { check, FreeObject, Id, PAGE_BYTES, TwinrailError, wholeNumber } from '../protocol/index.ts'
import { newSessionId, type SessionSummary, summaryOf } from '../sessions/sessions.ts'
import { allow, type TransportContext } from '../transports/context.ts'

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

export const ListQuery = z.object({
  after: Id.optional(),
  limit: wholeNumber('a count of sessions')
    .refine(limit => limit >= 1 && limit <= 1000, 'expected 1 to 1000')
    .default(100),
})

/** The session id in the path. */
export function sessionIdOf(params: unknown): string {
  return check(z.object({ sessionId: Id }), params, 'path').sessionId
}

export function sessionRoutes(app: FastifyInstance, context: TransportContext): void {
  const { sessions } = context

  app.post('/v1/sessions', { config: { action: 'session.create' } }, async (request, reply) => {
    const { sessionId = newSessionId(), metadata } = check(CreateSession, request.body ?? {}, 'body')
    const principal = await allow(context, request, 'session.create', sessionId)
    context.connections.mustBeOpen()
    const { created, ...answer } = await sessions.create(sessionId, metadata, principal.id)
    return reply.code(created ? 201 : 200).send(answer)
  })

  app.get('/v1/sessions', { config: { action: 'session.list' } }, async request => {
    const { after, limit } = check(ListQuery, request.query, 'query')
    await allow(context, request, 'session.list')
    const seen: SessionSummary[] = []
    let bytes = 0
    let looked = 0
    let last = after
    const batch = Math.min(limit, LIST_BATCH)
    for (;;) {
      const found = await context.journal.list(last, batch)
      for (const info of found) {
        const session = summaryOf(info)
        const size = Buffer.byteLength(JSON.stringify(session))
        const full = seen.length >= limit || (seen.length > 0 && bytes + size > PAGE_BYTES)
        if (full || looked >= LIST_LOOKED) return { sessions: seen, next: last }
        looked++
        last = session.sessionId
        if (!(await maySee(info))) continue
        seen.push(session)
        bytes += size
      }
      if (found.length < batch) return { sessions: seen }
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

  app.get(
    '/v1/sessions/:sessionId',
    { exposeHeadRoute: false, config: { action: 'session.read' } },
    async request => {
      const sessionId = sessionIdOf(request.params)
      await allow(context, request, 'session.read', sessionId)
      return sessions.describe(sessionId)
    },
  )

  app.delete('/v1/sessions/:sessionId', { config: { action: 'session.delete' } }, async (request, reply) => {
    const sessionId = sessionIdOf(request.params)
    try {
      const { id } = await allow(context, request, 'session.delete', sessionId)
      const deleted = await sessions.delete(sessionId)
      if (deleted) {
        context.door.report({ what: 'deleted', action: 'session.delete', principal: id, sessionId })
      }
    } catch (error) {
      // It does not exist for this principal, whoever else may have it.
      if (!(error instanceof TwinrailError && error.code === 'session-not-found')) throw error
    }
    return reply.code(204).send()
  })
}
