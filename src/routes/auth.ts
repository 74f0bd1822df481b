/** Tickets and revocations. docs/authorization.md describes them. */
import { z } from 'zod'
import { rights } from '../auth/actions.ts'
import { DEFAULT_TICKET_MS, TICKET_MS } from '../auth/tickets.ts'
import { Id, TwinrailError } from '../protocol/index.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { named } from './component-names.ts'
import { type Api, guarded, json, logged } from './schemas.ts'

const TicketRequest = z.object({
  sessionId: Id.optional().describe('The only session that the ticket can be used for'),
  allow: z
    .array(z.union([z.enum(rights), z.string().regex(/^work:.{1,256}$/)]))
    .max(100)
    .optional()
    .describe('The only groups of rights that the ticket can be used for'),
  ttlMs: z
    .int()
    .min(1)
    .max(TICKET_MS)
    .default(DEFAULT_TICKET_MS)
    .describe('How long the ticket can be used, in ms'),
})

const Ticket = named(
  'Ticket',
  z.object({ ticket: z.string(), expiresAt: z.int().describe('In ms since 1970') }),
)

const Revocation = z
  .object({ principal: z.string().min(1).max(1024).optional(), sessionId: Id.optional() })
  .refine(({ principal, sessionId }) => principal !== undefined || sessionId !== undefined, {
    message: 'expected a principal, a sessionId or both',
    path: ['principal'],
  })

const issued = {
  operationId: 'createTicket',
  summary: 'Issue a single-use ticket for `?ticket=` on the event stream and the WebSocket',
  tags: ['operations'],
  body: TicketRequest,
  response: { 201: json('The ticket', Ticket) },
  errors: [...guarded, ...logged, 'conflict'],
} as const

const revoked = {
  operationId: 'revoke',
  summary: 'Void the credentials that were issued before, and authorize what is open again on all nodes',
  tags: ['operations'],
  body: Revocation,
  response: { 204: z.void().describe('All nodes were told') },
  errors: [...guarded, ...logged],
} as const

export function authRoutes(app: Api, context: TransportContext): void {
  const { door } = context

  app.post('/v1/tickets', { schema: issued, config: { action: 'ticket.create' } }, async (request, reply) => {
    await allow(context, request, 'ticket.create')
    if (door.isOpen) {
      throw new TwinrailError('conflict', 'this server needs no tickets: everybody may do everything')
    }
    const ticket = await door.issueTicket(request, request.body)
    return reply.code(201).header('cache-control', 'no-store').send(ticket)
  })

  app.post(
    '/v1/revocations',
    { schema: revoked, config: { action: 'revocation.create' } },
    async (request, reply) => {
      const { id } = await allow(context, request, 'revocation.create')
      await door.revoke(request.body, { voids: true })
      door.report({ what: 'revoked', action: 'revocation.create', by: id, ...request.body })
      return reply.code(204).send()
    },
  )
}
