/** Authorization of foreign requests: by the same hook and the same actions as native ones. */
import type { FastifyRequest } from 'fastify'
import type { Action } from '../auth/actions.ts'
import type { Principal } from '../sessions/principal.ts'
import { allow, type TransportContext } from '../transports/context.ts'

/** Returns the principal that may do all of this. @throws TwinrailError the refusal */
export async function mayDo(
  context: TransportContext,
  request: FastifyRequest,
  actions: readonly [Action, ...Action[]],
  sessionId?: string,
): Promise<Principal> {
  const [first, ...rest] = actions
  const principal = await allow(context, request, first, sessionId)
  for (const action of rest) await allow(context, request, action, sessionId)
  return principal
}
