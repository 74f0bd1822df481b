/** Authorization of foreign requests: by the same hook and the same actions as native ones. */
import type { FastifyRequest } from 'fastify'
import type { Action } from '../auth/actions.ts'
import { TwinrailError } from '../protocol/index.ts'
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

/**
 * Whether the principal may read a session; `false` for a session of somebody else, as for a missing one. To be asked
 * before anything is looked up that only a session's readers may know.
 * @throws TwinrailError any other refusal
 */
export async function maySee(
  context: TransportContext,
  request: FastifyRequest,
  sessionId: string,
): Promise<boolean> {
  try {
    await mayDo(context, request, ['subscribe'], sessionId)
    return true
  } catch (error) {
    if (error instanceof TwinrailError && error.code === 'session-not-found') return false
    throw error
  }
}
