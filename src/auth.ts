/** The door: who may do what. Every route, upgrade and command passes it. */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from './protocol/index.ts'
import type { Principal } from './sessions/principal.ts'

/** What somebody wants to do. */
export type Action =
  | 'connect'
  | 'session.create'
  | 'session.list'
  | 'session.read'
  | 'session.delete'
  | 'subscribe'
  | 'subscribe:wait'
  | 'run.start'
  | 'run.cancel'
  | 'input.answer'
  | 'input.steer'
  | 'publish'
  | 'ingest'
  | 'agents.list'

/**
 * Says who asks, if they may; nothing when they may not. A hook may also throw a {@link TwinrailError}, such as
 * `unauthorized`, with what to do. `sessionId` is absent where no session is concerned.
 */
export type Authorize = (
  request: FastifyRequest,
  action: Action,
  sessionId?: string,
) => Principal | undefined | Promise<Principal | undefined>

/** Everybody who reaches the server may do everything, as `local`. Only for loopback. */
export const allowLocal: Authorize = () => ({ id: 'local' })

/** Asks the hook. @throws TwinrailError `forbidden`, or what the hook threw */
export async function mustBeAllowed(
  authorize: Authorize,
  request: FastifyRequest,
  action: Action,
  sessionId?: string,
): Promise<Principal> {
  const principal = await authorize(request, action, sessionId)
  if (principal) return principal
  throw new TwinrailError('forbidden', `not allowed: ${action}`, { details: { action } })
}
