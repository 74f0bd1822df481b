/** Tickets and revocations. docs/authorization.md describes them. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { rights } from '../auth/actions.ts'
import { DEFAULT_TICKET_MS, TICKET_MS } from '../auth/tickets.ts'
import { check, Id, TwinrailError } from '../protocol/index.ts'
import { allow, type TransportContext } from '../transports/context.ts'

export const TicketRequest = z.object({
  sessionId: Id.optional(),
  allow: z.array(z.enum(rights)).max(rights.length).optional(),
  ttlMs: z.number().int().min(1).max(TICKET_MS).default(DEFAULT_TICKET_MS),
})

export const RevocationRequest = z
  .object({ principal: z.string().min(1).max(1024).optional(), sessionId: Id.optional() })
  .refine(({ principal, sessionId }) => principal !== undefined || sessionId !== undefined, {
    message: 'expected a principal, a sessionId or both',
    path: ['principal'],
  })

export function authRoutes(app: FastifyInstance, context: TransportContext): void {
  const { door } = context

  app.post('/v1/tickets', { config: { action: 'ticket.create' } }, async (request, reply) => {
    await allow(context, request, 'ticket.create')
    const wanted = check(TicketRequest, request.body ?? {}, 'body')
    if (door.isOpen) {
      throw new TwinrailError('conflict', 'this server needs no tickets: everybody may do everything')
    }
    reply.code(201).header('cache-control', 'no-store')
    return door.issueTicket(request, wanted)
  })

  app.post('/v1/revocations', { config: { action: 'revocation.create' } }, async (request, reply) => {
    const { id } = await allow(context, request, 'revocation.create')
    const target = check(RevocationRequest, request.body ?? {}, 'body')
    await door.revoke(target, { voids: true })
    door.report({ what: 'revoked', action: 'revocation.create', by: id, ...target })
    return reply.code(204).send()
  })
}
