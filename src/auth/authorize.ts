/** Authorization: every route, upgrade and command asks the {@link Authorize} hook before it does anything. */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from '../protocol/index.ts'
import type { Principal } from '../sessions/principal.ts'

/** An action that needs authorization. */
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
 * The application's authorization hook. Returns the principal that the request comes from, or `undefined` to refuse the
 * action with `forbidden` (403). To refuse with another code or message, throw a {@link TwinrailError} such as
 * `unauthorized`. Any other exception is answered as `internal` and only logged. `sessionId` is `undefined` for actions
 * that do not concern a session. Called for each request and each command, so it should be fast.
 */
export type Authorize = (
  request: FastifyRequest,
  action: Action,
  sessionId?: string,
) => Principal | undefined | Promise<Principal | undefined>

/** Allows every request every action, as the principal `local`. Only for servers that listen on loopback. */
export const allowLocal: Authorize = () => ({ id: 'local' })

/** Calls the hook and returns the principal. @throws TwinrailError `forbidden`; or the exception of the hook */
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
