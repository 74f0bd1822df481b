/** Presence over HTTP: who is in a session. PROTOCOL.md, "Presence". */
import { z } from 'zod'
import { MEMBERS } from '../presence/members.ts'
import { Id, PresenceMember } from '../protocol/index.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { named } from './component-names.ts'
import { type Api, guarded, json, logged, SessionPath } from './schemas.ts'

/** Maximum size of a member's public state, in UTF-8 bytes of JSON. */
const STATE_BYTES = 1024

export const EnterSession = z.object({
  memberId: Id.describe('Chosen by the client, for example one for each tab'),
  state: z
    .unknown()
    .refine(
      state => state === undefined || Buffer.byteLength(JSON.stringify(state)) <= STATE_BYTES,
      `expected at most ${STATE_BYTES} bytes of JSON`,
    )
    .optional()
    .describe('What the member shows to others: any JSON'),
})

export const LeaveQuery = z.object({ memberId: Id.describe('The member that leaves') })

const MemberList = named(
  'MemberList',
  z.object({
    members: z.array(PresenceMember).describe(`Those first that joined first; at most ${MEMBERS}`),
    truncated: z.literal(true).optional().describe('Some did not fit into the answer'),
  }),
)

const Present = named(
  'Present',
  z.object({
    since: z.int().describe('When the member joined, in ms since 1970'),
    renewMs: z.int().describe('The member says that it is there again after this many ms'),
  }),
)

const errors = [...guarded, ...logged, 'session-not-found'] as const

export function presenceRoutes(app: Api, context: TransportContext): void {
  const { members, journal } = context

  const listed = {
    operationId: 'listMembers',
    summary: 'Who is in a session',
    tags: ['sessions'],
    params: SessionPath,
    response: { 200: json('The members', MemberList) },
    errors,
  } as const
  const path = '/v1/sessions/:sessionId/presence'
  app.get(
    path,
    { schema: listed, exposeHeadRoute: false, config: { action: 'presence.read' } },
    async request => {
      const { sessionId } = request.params
      await allow(context, request, 'presence.read', sessionId)
      await journal.session(sessionId)
      return members.list(sessionId)
    },
  )

  const entered = {
    operationId: 'enterSession',
    summary: 'Say that a member is in a session; to be repeated after `renewMs`',
    tags: ['sessions'],
    params: SessionPath,
    body: EnterSession,
    response: { 200: json('The member is there', Present) },
    errors: [...errors, 'conflict'],
  } as const
  app.put(path, { schema: entered, config: { action: 'presence.enter' } }, async request => {
    const { sessionId } = request.params
    const { memberId, state } = request.body
    const { id: principal } = await allow(context, request, 'presence.enter', sessionId)
    context.connections.mustBeOpen()
    await journal.session(sessionId)
    return members.enter(sessionId, { memberId, principal, state })
  })

  const left = {
    operationId: 'leaveSession',
    summary: 'A member leaves a session at once',
    tags: ['sessions'],
    params: SessionPath,
    querystring: LeaveQuery,
    response: { 204: z.void().describe('The member is not there now') },
    errors,
  } as const
  app.delete(path, { schema: left, config: { action: 'presence.enter' } }, async (request, reply) => {
    const { sessionId } = request.params
    const { id: principal } = await allow(context, request, 'presence.enter', sessionId)
    await journal.session(sessionId)
    await members.leave(sessionId, { memberId: request.query.memberId, principal })
    return reply.code(204).send()
  })
}
