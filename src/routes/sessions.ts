/** Sessions over HTTP: create, list, describe, delete. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { mustBeAllowed } from '../auth/authorize.ts'
import { check, Id, TwinrailError, wholeNumber } from '../protocol/index.ts'
import { newSessionId, type SessionSummary } from '../sessions/sessions.ts'
import { allow, type TransportContext } from '../transports/context.ts'

/** Maximum size of a session's metadata, in UTF-8 bytes of JSON. */
const METADATA_BYTES = 16 * 1024

export const CreateSession = z.object({
  sessionId: Id.optional(),
  metadata: z
    .record(z.string(), z.unknown())
    .refine(
      metadata => Buffer.byteLength(JSON.stringify(metadata)) <= METADATA_BYTES,
      `expected at most ${METADATA_BYTES} bytes of JSON`,
    )
    .optional(),
})

const ListQuery = z.object({
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

  app.post('/v1/sessions', async (request, reply) => {
    const { sessionId = newSessionId(), metadata } = check(CreateSession, request.body ?? {}, 'body')
    await allow(context, request, 'session.create', sessionId)
    context.connections.mustBeOpen()
    const { created, ...answer } = await sessions.create(sessionId, metadata)
    return reply.code(created ? 201 : 200).send(answer)
  })

  app.get('/v1/sessions', async request => {
    const { after, limit } = check(ListQuery, request.query, 'query')
    await allow(context, request, 'session.list')
    const seen: SessionSummary[] = []
    // Skips sessions that the principal may not see, so that an empty page means the end.
    for (let from = after; seen.length < limit; ) {
      const found = await sessions.list(from, limit)
      for (const session of found) {
        if (seen.length < limit && (await maySee(session.sessionId))) seen.push(session)
      }
      from = found.at(-1)?.sessionId
      if (found.length < limit) break
    }
    return { sessions: seen }

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

  app.get('/v1/sessions/:sessionId', { exposeHeadRoute: false }, async request => {
    const sessionId = sessionIdOf(request.params)
    await allow(context, request, 'session.read', sessionId)
    return sessions.describe(sessionId)
  })

  app.delete('/v1/sessions/:sessionId', async (request, reply) => {
    const sessionId = sessionIdOf(request.params)
    await allow(context, request, 'session.delete', sessionId)
    await sessions.delete(sessionId)
    return reply.code(204).send()
  })
}
