/** Commands over HTTP, with the schema and the `ack` or `nack` of a WebSocket. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { commandActions } from '../auth/actions.ts'
import {
  CommandBody,
  type ControlOf,
  connectionCommandTypes,
  controlSchemas,
  ServerMessage,
  type SessionCommand,
  SubscriptionQuery,
  TwinrailError,
} from '../protocol/index.ts'
import { allow, allowSubscription, type TransportContext } from '../transports/context.ts'
import { serveSse } from '../transports/sse.ts'
import { acceptsEventStream } from './accept.ts'
import { answerWith, asTwinrailError, authorizedFirst } from './errors.ts'
import { CursorHeader, cursorFromHeader } from './events.ts'
import { type Api, called, guarded, logged, SessionPath } from './schemas.ts'

const sent = {
  operationId: 'sendCommand',
  summary: 'Send one command',
  description:
    '`run.start` with `Accept: text/event-stream` is answered with the stream of the run. `publish` with `ephemeral: true` sends an event to live subscribers only.',
  tags: ['commands'],
  params: SessionPath,
  querystring: SubscriptionQuery,
  headers: CursorHeader,
  body: CommandBody,
  response: {
    200: {
      description: 'The command was executed',
      content: {
        'application/json': { schema: controlSchemas.ack },
        'text/event-stream': { schema: ServerMessage },
      },
    },
  },
  errors: [
    ...guarded,
    ...logged,
    'session-not-found',
    'run-not-found',
    'agent-not-found',
    'input-not-found',
    'conflict',
    'already-answered',
    'input-expired',
    'run-ended',
    'restart',
  ],
  nacks: true,
} as const

called.add(CommandBody, { what: 'command' })

export function commandRoutes(app: Api, context: TransportContext): void {
  app.post(
    '/v1/sessions/:sessionId/commands',
    {
      schema: sent,
      config: { action: 'command' },
      errorHandler: (error, request, reply) => nack(context, error, request, reply),
      preValidation: async request => {
        context.connections.mustBeOpen()
        refuseConnectionCommand(request.body)
        await cursorFromHeader(request)
      },
    },
    async (request, reply) => {
      const { sessionId } = request.params
      if (request.body.sessionId !== undefined && request.body.sessionId !== sessionId) {
        throw new TwinrailError(
          'bad-request',
          'the body names another session than the path; leave sessionId out of the body',
          { details: { path: 'sessionId' } },
        )
      }
      const { traceparent = request.headers['traceparent'] } = request.body
      const command: SessionCommand = {
        ...request.body,
        sessionId,
        ...(typeof traceparent === 'string' && { traceparent }),
      }
      const { id, type } = command
      const principal = await allow(context, request, commandActions[type], sessionId)
      const streams = type === 'run.start' && acceptsEventStream(request.headers.accept)
      const options = request.query
      if (streams) await allowSubscription(context, request, sessionId, options)
      const fields = await context.sessions.execute(command, principal)
      const ack: ControlOf<'ack'> = { type: 'ack', id, ...fields }
      if (!streams) return ack
      await serveSse(context, reply, { sessionId, options: { ...options, run: fields.runId }, ack })
      return reply
    },
  )
}

/** @throws TwinrailError for commands that concern a WebSocket and its subscriptions */
function refuseConnectionCommand(body: unknown): void {
  const { type } = (body ?? {}) as { type?: unknown }
  if (typeof type !== 'string' || !connectionCommandTypes.has(type)) return
  throw new TwinrailError('bad-request', `${type} goes over a WebSocket only`, { details: { path: 'type' } })
}

async function nack(
  context: TransportContext,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { id } = (request.body ?? {}) as { id?: unknown }
  const known = asTwinrailError(await authorizedFirst(context.door, error, request), request)
  answerWith(known, reply, refusal => ({
    type: 'nack',
    id: typeof id === 'string' && id.length <= 64 ? id : null,
    ...refusal,
  }))
  return reply
}
