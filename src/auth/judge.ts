/** Who a request is from, and whether it may do what it wants: credentials, tickets, revocations and the hook. */
import type { FastifyRequest } from 'fastify'
import { sessionNotFound } from '../bus/journal.ts'
import type { SessionInfo } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import type { Principal } from '../sessions/principal.ts'
import { type Action, createsSession, type Group, groupOf } from './actions.ts'
import { type Authorize, allowLocal, type SessionFacts, type Wanted } from './authorize.ts'
import { unauthorized } from './bearer.ts'
import { covers } from './grants.ts'
import type { Revocations } from './revocations.ts'
import { type Proof, type Tickets, ticketOf } from './tickets.ts'

/** Decides who a request is from and whether it may do something. It counts and reports nothing: see `Door`. */
export class Judge {
  readonly #authorize: Authorize
  readonly #tickets: Tickets
  readonly #revocations: Revocations
  readonly #proofs = new WeakMap<FastifyRequest, Promise<Proof>>()
  /** Requests whose ticket does not count any more: their connections have proven their principal in band. */
  readonly #proven = new WeakSet<FastifyRequest>()

  constructor(authorize: Authorize, tickets: Tickets, revocations: Revocations) {
    this.#authorize = authorize
    this.#tickets = tickets
    this.#revocations = revocations
  }

  /** The request as it would be with a token for its credentials. Its ticket, if it had one, was used when it came. */
  withToken(request: FastifyRequest, token: string): FastifyRequest {
    const { cookie: _, ...others } = request.headers
    const headers = { ...others, authorization: `Bearer ${token}` }
    const renewed = Object.create(request, { headers: { value: headers } }) as FastifyRequest
    this.#proven.add(renewed)
    return renewed
  }

  /** Gives a request the credentials of another. Its ticket, if it had one, binds it no longer. */
  takeCredentials(request: FastifyRequest, { headers }: FastifyRequest): void {
    request.raw.headers = headers
    this.#proofs.delete(request)
    this.#proven.add(request)
  }

  /** Issues a ticket that stands for the credentials of the request. */
  issueTicket(
    request: FastifyRequest,
    proof: Pick<Proof, 'principal' | 'sessionId' | 'allow'>,
    ttlMs: number,
  ): Promise<{ ticket: string; expiresAt: number }> {
    const { headers } = request
    return this.#tickets.issue({ ...proof, headers, origin: originOf(request) }, ttlMs)
  }

  /**
   * Asks whether a request may do something. A session that its principal may not see is answered as a missing one.
   * @returns the principal @throws TwinrailError the refusal; or the exception of the hook
   */
  async decide(
    request: FastifyRequest,
    action: Action,
    sessionId: string | undefined,
    session: SessionInfo | undefined,
  ): Promise<Principal> {
    const wanted = { action, group: groupOf(action), sessionId }
    const refusal = await this.#ask(request, { ...wanted, session: session && factsOf(session) })
    if (!(refusal instanceof TwinrailError)) return refusal
    if (!session || refusal.code !== 'forbidden' || createsSession(action)) throw refusal
    // The answer must be the one that is given for a session that does not exist.
    const asMissing = await this.#ask(request, wanted)
    throw asMissing instanceof TwinrailError ? asMissing : sessionNotFound(session.sessionId)
  }

  /** The principal, or the refusal. @throws the exception of the hook */
  async #ask(request: FastifyRequest, wanted: Wanted): Promise<Principal | TwinrailError> {
    const { action, sessionId } = wanted
    try {
      const proof = await this.#proofOf(request)
      if (proof && !proofAllows(proof, wanted)) return notAllowed(action)
      const principal = await this.#authorize(request, wanted)
      if (!principal) return notAllowed(action)
      if (proof && proof.principal !== principal.id) return unauthorized('the ticket is of another principal')
      if (await this.#revocations.isVoid(principal, sessionId)) {
        return unauthorized('the credentials were revoked; get new ones')
      }
      return principal
    } catch (error) {
      if (error instanceof TwinrailError && !error.retryable) return error
      throw error
    }
  }

  /** What the request's ticket stands for. Its credentials become those of the request. */
  #proofOf(request: FastifyRequest): Promise<Proof> | undefined {
    if (this.#authorize === allowLocal) return undefined
    const known = this.#proofs.get(request)
    if (known) return known
    const ticket = ticketOf(request.raw)
    if (ticket === undefined || this.#proven.has(request)) return undefined
    const redeemed = this.#tickets.redeem(ticket, originOf(request)).then(proof => {
      Object.assign(request.raw.headers, proof.headers)
      return proof
    })
    this.#proofs.set(request, redeemed)
    return redeemed
  }
}

function factsOf({ createdBy, metadata, createdAt }: SessionInfo): SessionFacts {
  return { ...(createdBy !== undefined && { createdBy }), metadata, createdAt }
}

function notAllowed(action: Action): TwinrailError {
  return new TwinrailError('forbidden', `not allowed: ${action}`, { details: { action } })
}

/** What a ticket was not issued for is refused, whatever its principal may do. */
function proofAllows({ sessionId, allow }: Proof, wanted: Wanted): boolean {
  if (sessionId !== undefined && wanted.sessionId !== undefined && wanted.sessionId !== sessionId)
    return false
  const free: readonly Group[] = ['any', 'public']
  return (
    allow === undefined || free.includes(wanted.group) || allow.some(right => covers(right, wanted.group))
  )
}

/** The origin of the page that sent a request. A page's own server often gets none from it. */
function originOf({ headers: { origin }, host }: FastifyRequest): string {
  return origin === undefined || origin === `http://${host}` || origin === `https://${host}` ? 'own' : origin
}
