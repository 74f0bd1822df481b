/** Commands over HTTP, with the schema and the `ack` or `nack` of a WebSocket. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { commandActions } from '../auth/actions.ts'
import {
  type Control,
  type ControlOf,
  check,
  connectionCommandTypes,
  SessionCommand,
  SubscriptionQuery,
  TwinrailError,
} from '../protocol/index.ts'
import { allow, allowSubscription, type TransportContext } from '../transports/context.ts'
import { serveSse } from '../transports/sse.ts'
import { acceptsEventStream } from './accept.ts'
import { answerWith, asTwinrailError } from './errors.ts'
import { lastEventId } from './events.ts'
import { sessionIdOf } from './sessions.ts'

/** Parses the command in a body for the session in the path. */
function commandOf(request: FastifyRequest): SessionCommand {
  const sessionId = sessionIdOf(request.params)
  const body = (request.body ?? {}) as Record<string, unknown>
  if (typeof body['type'] === 'string' && connectionCommandTypes.has(body['type'])) {
    throw new TwinrailError('bad-request', `${body['type']} goes over a WebSocket only`, {
      details: { path: 'type' },
    })
  }
  if (body['sessionId'] !== undefined && body['sessionId'] !== sessionId) {
    throw new TwinrailError(
      'bad-request',
      'the body names another session than the path; leave sessionId out of the body',
      {
        details: { path: 'sessionId' },
      },
    )
  }
  const command = Array.isArray(request.body) ? request.body : { ...body, sessionId }
  return check(SessionCommand, command, 'command')
}

export function commandRoutes(app: FastifyInstance, context: TransportContext): void {
  app.post(
    '/v1/sessions/:sessionId/commands',
    { config: { action: 'command' }, errorHandler: (error, request, reply) => nack(error, request, reply) },
    async (request, reply) => {
      context.connections.mustBeOpen()
      const command = commandOf(request)
      const { id, type, sessionId } = command
      const principal = await allow(context, request, commandActions[type], sessionId)
      const streams = type === 'run.start' && acceptsEventStream(request.headers.accept)
      const options = streams
        ? check(SubscriptionQuery, { ...(request.query as object), ...lastEventId(request) }, 'query')
        : undefined
      if (options) await allowSubscription(context, request, sessionId, options)
      const fields = await context.sessions.execute(command, principal)
      const ack: ControlOf<'ack'> = { type: 'ack', id, ...fields }
      if (!options) return ack satisfies Control
      await serveSse(context, reply, { sessionId, options: { ...options, run: fields.runId }, ack })
      return reply
    },
  )
}

function nack(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { id } = (request.body ?? {}) as { id?: unknown }
  const known = asTwinrailError(error, request)
  answerWith(known, reply, refusal => ({
    type: 'nack',
    id: typeof id === 'string' && id.length <= 64 ? id : null,
    ...refusal,
  }))
}
