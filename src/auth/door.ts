/** The door: every route, upgrade and command passes it before it does anything, and open streams pass it again. */
import type { FastifyRequest } from 'fastify'
import type { Journal } from '../bus/journal.ts'
import type { Addresses } from '../http/address.ts'
import { takeBodySize } from '../http/bodies.ts'
import type { SessionInfo } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import type { Principal } from '../sessions/principal.ts'
import { type Action, createsSession, groupOf, isCommand } from './actions.ts'
import { type Authorize, allowLocal, local } from './authorize.ts'
import { unauthorized } from './bearer.ts'
import { HeldRefusals } from './held-refusals.ts'
import type { OpenKind } from './holdings.ts'
import { Judge } from './judge.ts'
import type { LimitName, LimitOf, PrincipalLimits } from './limits.ts'
import { LimitError, Quotas, type Who } from './quotas.ts'
import { Held, Rechecks } from './rechecks.ts'
import { Revocations, type Target } from './revocations.ts'
import { DEFAULT_TICKET_MS, Tickets, ticketOf } from './tickets.ts'

export interface DoorParts {
  readonly authorize: Authorize
  readonly journal: Journal
  readonly limits: PrincipalLimits
  /** What the clients of one address may do together, as a multiple of what one principal may. */
  readonly perAddress: number
  readonly addresses: Addresses
  /** How long other nodes believe what this one has told them to be open, in ms. */
  readonly toldMs: number
  /** Counts a refusal by a limit. */
  onLimited(limit: LimitName, of: LimitOf): void
  /** How often what is open is authorized again, in ms. */
  readonly recheckMs: number
  /** Reports a failure of the hook while something open was authorized again. */
  onError(error: unknown): void
  /** Reports what an operator may have to account for. It has no credentials and no content. */
  audit(entry: AuditEntry): void
}

export type { OpenKind } from './holdings.ts'

/** An entry of the audit log. */
export interface AuditEntry {
  readonly what: 'refused' | 'lost' | 'connected' | 'ticket' | 'revoked' | 'deleted' | 'ended'
  readonly action: Action
  readonly code?: string
  readonly principal?: string | undefined
  readonly sessionId?: string | undefined
  /** Who did it, where that is not the principal that it concerns. */
  readonly by?: string
}

/** The right to something open, such as a stream. */
export interface Hold {
  /** Whose it is. */
  readonly principal: Principal
  /** Authorizes it again now. @throws TwinrailError the refusal */
  check(): Promise<unknown>
  /** It is not open any more. */
  release(): void
}

/** Asks the application's hook, and answers refusals so that they do not tell of a session's existence. */
export class Door {
  /** Whether every action is allowed to everybody: nobody is asked, and nothing is asked again. */
  readonly isOpen: boolean
  readonly #parts: DoorParts
  readonly #judge: Judge
  readonly #revocations: Revocations
  readonly #quotas: Quotas
  readonly #refusals = new HeldRefusals()
  readonly #rechecks: Rechecks
  /** Requests for which the hook was asked. */
  readonly #asked = new WeakSet<FastifyRequest>()

  constructor(parts: DoorParts) {
    this.#parts = parts
    this.isOpen = parts.authorize === allowLocal
    this.#quotas = new Quotas(parts)
    const { recheckMs, onError } = parts
    this.#rechecks = new Rechecks({
      recheckMs,
      onError,
      allow: held => this.#allowAll(held),
      onLost: (held, refusal) => this.#lost(held, refusal),
    })
    this.#revocations = new Revocations(parts.journal, target => this.#rechecks.recheck(target))
    this.#judge = new Judge(parts.authorize, new Tickets(parts.journal), this.#revocations)
    if (!this.isOpen) this.#revocations.start()
  }

  /**
   * Authorizes an action, and counts it: a command, the bytes of the request's body, a session that it creates. A request
   * without valid credentials counts as a command of its address.
   * @param sessionId the session that it concerns, if any
   * @param options.isCounted whether {@link takeCommand} has counted the command
   * @throws TwinrailError the refusal, or `rate-limited`, which is held back up to half a second unless the command was
   * counted; or the exception of the hook
   */
  async allow(
    request: FastifyRequest,
    action: Action,
    sessionId?: string,
    { isCounted = false } = {},
  ): Promise<Principal> {
    const bytes = takeBodySize(request.raw)
    const allowed = this.#count(request, action, sessionId, bytes, isCounted)
    return isCounted ? allowed : this.#heldBack(allowed, bytes)
  }

  async #count(
    request: FastifyRequest,
    action: Action,
    sessionId: string | undefined,
    bytes: number,
    isCounted: boolean,
  ): Promise<Principal> {
    let principal: Principal
    let session: SessionInfo | undefined
    const address = this.#addressOf(request)
    // Nobody is asked, and nothing of this client is counted.
    if (this.isOpen && address === undefined) return local
    this.#asked.add(request)
    try {
      const isKnown = sessionId === undefined || (this.isOpen && address === undefined)
      session = isKnown ? undefined : await this.#parts.journal.findSession(sessionId)
      principal = await this.#judge.decide(request, action, sessionId, session)
    } catch (error) {
      if (error instanceof TwinrailError && !error.retryable) {
        this.#refused(error, action, sessionId, address)
      }
      throw error
    }
    const who = this.#who(principal, address)
    if (isCommand(action) && !isCounted) this.#quotas.spend('commands', who)
    if (bytes > 0) this.#quotas.spend('bytes', who, bytes)
    const isLimited = who.principal !== undefined || address !== undefined
    if (isLimited && sessionId !== undefined && !session && createsSession(action)) {
      await this.#quotas.newSession(who)
    }
    return principal
  }

  /**
   * Counts a command of a principal that is known, before the command is checked and authorized: a principal that sends
   * too many costs little that way. {@link allow} must not count it again.
   * @returns the refusal, `rate-limited`; `undefined` when the command may be executed
   */
  takeCommand(request: FastifyRequest, principal: Principal): TwinrailError | undefined {
    return this.#quotas.take('commands', this.#who(principal, this.#addressOf(request)))
  }

  /**
   * The refusal of a request that failed before anybody was asked for it, such as one with a malformed body: so whoever
   * may not do it learns nothing else. `undefined` when it may, or was asked for before.
   */
  async refusalOf(request: FastifyRequest, action: Action, sessionId?: string): Promise<unknown> {
    if (this.isOpen || groupOf(action) === 'public' || this.#asked.has(request)) return undefined
    this.#asked.add(request)
    try {
      await this.#allow(request, action, sessionId)
      return undefined
    } catch (error) {
      // A session that the principal may not see is answered as a missing one, and what is wrong is told for both.
      if (error instanceof TwinrailError && error.code === 'session-not-found') return undefined
      if (!(error instanceof TwinrailError) || error.retryable) return error
      try {
        this.#refused(error, action, sessionId, this.#addressOf(request))
        return error
      } catch (limited) {
        if (limited instanceof LimitError) await this.#refusals.hold(limited, takeBodySize(request.raw))
        return limited
      }
    }
  }

  /**
   * Counts bytes that a principal sends other than as the body of a request that was read as a whole.
   * @throws TwinrailError `rate-limited`
   */
  take(request: FastifyRequest, principal: Principal, bytes: number): void {
    this.#quotas.spend('bytes', this.#who(principal, this.#addressOf(request)), bytes)
  }

  /**
   * Counts a run of a principal as open until the returned function is called.
   * @param options.mayExceed whether it is there whatever the limit says
   * @throws TwinrailError `rate-limited` when the principal has as many open as it may
   */
  openRun(principal: string, { mayExceed = false } = {}): () => void {
    if (this.isOpen) return () => {}
    return this.#quotas[mayExceed ? 'force' : 'open'](['runs'], { principal })
  }

  /**
   * Authorizes several actions on one session. A session of somebody else is answered as a missing one, which means that
   * the other actions are asked for as well: one of them may be refused whether the session exists or not.
   * @param isAgain whether it was allowed before; refusals are not reported then
   */
  async allowEach(
    request: FastifyRequest,
    actions: readonly Action[],
    sessionId: string | undefined,
    isAgain = false,
  ): Promise<Principal> {
    let principal: Principal | undefined
    let missing: TwinrailError | undefined
    for (const action of actions) {
      try {
        principal = await (isAgain
          ? this.#allow(request, action, sessionId)
          : this.allow(request, action, sessionId))
      } catch (error) {
        if (!(error instanceof TwinrailError && error.code === 'session-not-found')) throw error
        missing ??= error
      }
    }
    if (missing) throw missing
    if (!principal) throw new Error('nothing was asked for')
    return principal
  }

  /** As `allow`, for a session that was just read from the log. Refusals are not reported. */
  allowOn(request: FastifyRequest, action: Action, session: SessionInfo): Promise<Principal> {
    return this.#judge.decide(request, action, session.sessionId, session)
  }

  /** Whether the request may do all of these on a session. Refusals are not reported. */
  async mayDo(request: FastifyRequest, actions: readonly Action[], sessionId: string): Promise<boolean> {
    if (this.isOpen) return true
    try {
      for (const action of actions) await this.#allow(request, action, sessionId)
      return true
    } catch (error) {
      if (!(error instanceof TwinrailError)) this.#parts.onError(error)
      return false
    }
  }

  /**
   * Authorizes something that stays open, and authorizes it again when the principal expires, at intervals, and after
   * revocations, until `release`.
   * @param kinds what it counts as while it is open
   * @param onLost called once when it is refused later; it is released then
   * @throws TwinrailError the refusal; or the exception of the hook
   */
  async enter(
    request: FastifyRequest,
    actions: readonly Action[],
    sessionId: string | undefined,
    kinds: readonly OpenKind[],
    onLost: (refusal: TwinrailError) => void,
  ): Promise<Hold> {
    const held = new Held(this.#rechecks, request, actions, sessionId, onLost)
    // Before it is authorized, so that it misses no revocation.
    if (!this.isOpen) this.#rechecks.add(held)
    try {
      held.principal = await this.#allowAll(held)
      held.close = this.#quotas.open(kinds, this.#who(held.principal, this.#addressOf(request)))
    } catch (error) {
      this.#rechecks.release(held)
      // What a WebSocket asks for is refused at once: its other commands would wait.
      if (error instanceof LimitError && kinds.includes('connections')) await this.#refusals.hold(error, 0)
      throw error
    }
    if (!this.isOpen) this.#rechecks.schedule(held)
    return held as Held & Hold
  }

  /**
   * Takes a token as the credentials of an open connection from now on.
   * @param before whose the connection is; undefined when that is not known yet
   * @throws TwinrailError `unauthorized`; `forbidden` when the token is of another principal
   */
  async renew(request: FastifyRequest, token: string, before: Principal | undefined): Promise<Principal> {
    const renewed = this.#judge.withToken(request, token)
    const principal = await this.allow(renewed, 'connect')
    if (before && principal.id !== before.id) {
      throw new TwinrailError(
        'forbidden',
        'the token is of another principal; open another connection for it',
      )
    }
    this.#judge.takeCredentials(request, renewed)
    this.#rechecks.recheckRequest(request)
    return principal
  }

  /** Whether a request came without credentials, so that its connection may prove them in band. */
  hasNoCredentials({ headers, raw }: FastifyRequest): boolean {
    return headers.authorization === undefined && headers.cookie === undefined && ticketOf(raw) === undefined
  }

  /** Issues a ticket for the request's principal, with no more than its rights. */
  async issueTicket(
    request: FastifyRequest,
    {
      sessionId,
      allow,
      ttlMs = DEFAULT_TICKET_MS,
    }: {
      sessionId?: string | undefined
      allow?: readonly string[] | undefined
      ttlMs?: number
    },
  ): Promise<{ ticket: string; expiresAt: number }> {
    const { id } = await this.#allow(request, 'ticket.create', undefined)
    const issued = await this.#judge.issueTicket(request, { principal: id, sessionId, allow }, ttlMs)
    this.#parts.audit({ what: 'ticket', action: 'ticket.create', principal: id, sessionId })
    return issued
  }

  /**
   * Authorizes what is open again, on all nodes. @param options.voids whether credentials that were issued before now
   * are refused from now on, too
   */
  async revoke(target: Target, { voids }: { voids: boolean }): Promise<void> {
    if (!this.isOpen) await this.#revocations.revoke(target, voids)
  }

  /** For the audit log. */
  report(entry: AuditEntry): void {
    this.#parts.audit(entry)
  }

  close(): void {
    this.#rechecks.close()
    this.#revocations.close()
    this.#quotas.close()
    this.#refusals.close()
  }

  /** What was allowed, or its refusal by a limit, later. */
  async #heldBack(allowed: Promise<Principal>, bodyBytes: number): Promise<Principal> {
    try {
      return await allowed
    } catch (error) {
      if (error instanceof LimitError) await this.#refusals.hold(error, bodyBytes)
      throw error
    }
  }

  async #allow(request: FastifyRequest, action: Action, sessionId: string | undefined): Promise<Principal> {
    if (this.isOpen || sessionId === undefined)
      return this.#judge.decide(request, action, sessionId, undefined)
    return this.#judge.decide(request, action, sessionId, await this.#parts.journal.findSession(sessionId))
  }

  async #allowAll({ request, actions, sessionId, principal: before }: Held): Promise<Principal> {
    const principal = await this.allowEach(request, actions, sessionId, before !== undefined)
    if (before && before.id !== principal.id)
      throw unauthorized('the credentials are of another principal now')
    return principal
  }

  /** Reports a refusal. @throws TwinrailError `rate-limited` when the address was refused too often */
  #refused(
    error: TwinrailError,
    action: Action,
    sessionId: string | undefined,
    address: string | undefined,
  ): void {
    this.#parts.audit({ what: 'refused', action, code: error.code, sessionId })
    if (error.code === 'unauthorized') this.#quotas.spend('commands', { address })
  }

  #addressOf({ raw }: FastifyRequest): string | undefined {
    return this.#parts.addresses.of(raw)
  }

  /** Where everybody may do everything, all are the same principal. */
  #who({ id }: Principal, address: string | undefined): Who {
    return { principal: this.isOpen ? undefined : id, address }
  }

  /** Something open was refused when it was authorized again. */
  #lost({ actions, principal, sessionId, onLost }: Held, refusal: TwinrailError): void {
    const [action = 'connect'] = actions
    this.#parts.audit({ what: 'lost', action, code: refusal.code, principal: principal?.id, sessionId })
    onLost(refusal)
  }
}
