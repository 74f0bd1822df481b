/** The application's hook that authorizes every action. */
import type { FastifyRequest } from 'fastify'
import type { SessionInfo } from '../log/log.ts'
import type { Principal } from '../sessions/principal.ts'
import type { Action, Group } from './actions.ts'

/** What is known of a session when an action on it is authorized. */
export type SessionFacts = Pick<SessionInfo, 'createdBy' | 'metadata' | 'createdAt'>

/** An action that somebody asks for. */
export interface Wanted {
  /** The action; docs/authorization.md lists all of them. */
  readonly action: Action
  /** The action's group of rights. */
  readonly group: Group
  /** The session that the action concerns; absent for actions that concern none. */
  readonly sessionId?: string | undefined
  /**
   * The session as the log has it now; absent when it does not exist. Allow an action on a session that does not exist
   * if you allow it on sessions of the principal's own: the server then creates it, or answers `session-not-found`.
   */
  readonly session?: SessionFacts | undefined
}

/**
 * The application's authorization hook. Returns the principal that the request comes from, or `undefined` to refuse the
 * action with `forbidden` (403). To refuse with another code or message, throw a `TwinrailError`; throw `unauthorized`
 * when the request has no valid credentials. Any other exception is answered as `internal` and only logged.
 *
 * The hook is called for each request and each command, and again for every open stream: when the principal's
 * `expiresAt` has passed, at intervals, and after a revocation. So it should be fast. An exception other than a refusal
 * leaves open streams as they are until the next time.
 *
 * A refusal does not tell of a session's existence: when the hook refuses a session that exists, but would allow the same
 * action on one that does not, the client is told what it would be told of a missing one, such as `session-not-found`.
 */
export type Authorize = (
  request: FastifyRequest,
  wanted: Wanted,
) => Principal | undefined | Promise<Principal | undefined>

/** Allows every request every action, as the principal `local`. Only for servers that listen on loopback. */
export const allowLocal: Authorize = () => local

/** Everybody, on a server that allows everything to everybody. */
export const local: Principal = { id: 'local' }
