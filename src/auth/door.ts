/** The door: every route, upgrade and command passes it before it does anything. */
import type { FastifyRequest } from 'fastify'
import { type Journal, sessionNotFound } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import type { Principal } from '../sessions/principal.ts'
import { type Action, actionGroups, createsSession } from './actions.ts'
import { type Authorize, allowLocal, type SessionFacts, type Wanted } from './authorize.ts'

export interface DoorParts {
  readonly authorize: Authorize
  readonly journal: Journal
}

/** Asks the application's hook, and answers refusals so that they do not tell of a session's existence. */
export class Door {
  /** Whether every action is allowed to everybody. */
  readonly isOpen: boolean
  readonly #parts: DoorParts

  constructor(parts: DoorParts) {
    this.#parts = parts
    this.isOpen = parts.authorize === allowLocal
  }

  /**
   * Authorizes an action. @param sessionId the session that it concerns, if any
   * @throws TwinrailError the refusal; or the exception of the hook
   */
  async allow(request: FastifyRequest, action: Action, sessionId?: string): Promise<Principal> {
    if (this.isOpen || sessionId === undefined) return this.#judge(request, action, sessionId, undefined)
    return this.#judge(request, action, sessionId, await this.#parts.journal.findSession(sessionId))
  }

  /** As `allow`, for a session that was just read from the log. */
  allowOn(request: FastifyRequest, action: Action, session: SessionInfo): Promise<Principal> {
    return this.#judge(request, action, session.sessionId, session)
  }

  async #judge(
    request: FastifyRequest,
    action: Action,
    sessionId: string | undefined,
    session: SessionInfo | undefined,
  ): Promise<Principal> {
    const wanted = { action, group: actionGroups[action], sessionId }
    const refusal = await this.#ask(request, { ...wanted, session: session && factsOf(session) })
    if (!(refusal instanceof TwinrailError)) return refusal
    if (!session || refusal.code !== 'forbidden' || createsSession(action)) throw refusal
    // The answer must be the one that is given for a session that does not exist.
    const asMissing = await this.#ask(request, wanted)
    throw asMissing instanceof TwinrailError ? asMissing : sessionNotFound(session.sessionId)
  }

  /** The principal, or the refusal. @throws the exception of the hook */
  async #ask(request: FastifyRequest, wanted: Wanted): Promise<Principal | TwinrailError> {
    const { action } = wanted
    try {
      const principal = await this.#parts.authorize(request, wanted)
      return principal ?? new TwinrailError('forbidden', `not allowed: ${action}`, { details: { action } })
    } catch (error) {
      if (error instanceof TwinrailError) return error
      throw error
    }
  }
}

function factsOf({ createdBy, metadata, createdAt }: SessionInfo): SessionFacts {
  return { ...(createdBy !== undefined && { createdBy }), metadata, createdAt }
}
