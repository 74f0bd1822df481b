/** Authorization of foreign requests: by the same hook and the same actions as native ones. */
import type { FastifyRequest } from 'fastify'
import type { Principal } from '../sessions/principal.ts'
import { allow, type TransportContext } from '../transports/context.ts'

/** What a foreign request may need the right to. */
export type DialectAction =
  | 'run.start'
  | 'run.cancel'
  | 'input.answer'
  | 'input.steer'
  | 'subscribe'
  | 'session.read'
  | 'agents.list'

/** Returns the principal that may do all of this. @throws TwinrailError the refusal */
export async function mayDo(
  context: TransportContext,
  request: FastifyRequest,
  actions: readonly [DialectAction, ...DialectAction[]],
  sessionId?: string,
): Promise<Principal> {
  const [first, ...rest] = actions
  const principal = await allow(context, request, first, sessionId)
  for (const action of rest) await allow(context, request, action, sessionId)
  return principal
}
